"""However many manifests there are: as many requests as they need, told as one.

All of one request are put in force, or none. Where it takes several, those that are named come
before any goes out of force; what is refused on the way is told with how many were taken by then,
and the same command again goes on from there.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from broker.cli.connection import ACTIVATE_DEADLINE_S, Line
from broker.cli.failures import CommandFailed
from broker.cli.in_force import tools_in_force
from broker.cli.trees import as_bytes
from broker.core.limits import MESSAGE_BYTES_MAX
from broker.tools.registry import Document
from broker.v1.admin_pb2 import PutToolsRequest, PutToolsResponse
from broker.v1.admin_pb2_grpc import AdminServiceStub

BATCH_BYTES_MAX: Final = MESSAGE_BYTES_MAX - 64 * 1024
"""Of manifests in one request; the rest is for the reason and for how they are laid out."""

_LAID_OUT_BYTES: Final = 8


def put_tools(
    line: Line[AdminServiceStub],
    read: Sequence[tuple[str, Document]],
    *,
    reason: str,
    replace_all: bool = False,
    only_check: bool = False,
) -> PutToolsResponse:
    """Put manifests in force, or ask whether they would be taken.

    Args:
        line: to the broker.
        read: manifests that were checked, each with where it is from.
        reason: for the log.
        replace_all: every other tool goes out of force.
        only_check: only ask; of several requests each is asked about by itself.

    Returns:
        What the broker says of all of them.

    Raises:
        CommandFailed: it took none, or not all; then the sentence says how many.
    """
    batches = list(_batches(as_bytes(read)))
    if len(batches) <= 1:
        whole = PutToolsRequest(
            manifests_json=batches[0] if batches else (),
            replace_all=replace_all,
            validate_only=only_check,
            reason=reason,
        )
        return _put(line, whole)
    requests = [
        PutToolsRequest(manifests_json=batch, validate_only=only_check, reason=reason)
        for batch in batches
    ]
    names = {str(document["name"]) for _, document in read}
    if replace_all and not only_check:
        requests.append(PutToolsRequest(kept=sorted(names), replace_all=True, reason=reason))
    told = _put_each(line, requests, of=len(read))
    if only_check:
        before = () if replace_all else (tool.name for tool in tools_in_force(line))
        told.tools = len(names.union(before))
    return told


def _put_each(
    line: Line[AdminServiceStub], requests: Sequence[PutToolsRequest], *, of: int
) -> PutToolsResponse:
    told, warnings = PutToolsResponse(), dict[str, None]()
    taken = 0
    for request in requests:
        try:
            told = _put(line, request)
        except CommandFailed as failed:
            raise _after(taken, of, failed) from failed
        warnings |= dict.fromkeys(told.warnings)
        taken += 0 if request.validate_only else len(request.manifests_json)
    del told.warnings[:]
    told.warnings.extend(warnings)
    return told


def _put(line: Line[AdminServiceStub], request: PutToolsRequest) -> PutToolsResponse:
    return line.ask(line.stub.PutTools, request, deadline_s=ACTIVATE_DEADLINE_S)


def _batches(manifests: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    room = BATCH_BYTES_MAX
    for manifest in manifests:
        size = len(manifest) + _LAID_OUT_BYTES
        if batch and size > room:
            yield batch
            batch, room = [], BATCH_BYTES_MAX
        batch.append(manifest)
        room -= size
    if batch:
        yield batch


def _after(taken: int, of: int, failed: CommandFailed) -> CommandFailed:
    """What stopped it, and where it stands: the sentence itself is the broker's."""
    if not taken:
        return failed
    stands = f"{taken} of these {of} tools are in force by now, and none went out of force."
    again = "The same command again goes on from there."
    return CommandFailed(
        str(failed), exit_code=failed.exit_code, findings=(*failed.findings, stands, again)
    )
