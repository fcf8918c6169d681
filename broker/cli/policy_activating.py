"""Puts a policy in force after past decisions were taken again under it, and were looked at."""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.cli import environment
from broker.cli.connection import ACTIVATE_DEADLINE_S, Line, administering
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.hold_picture import digest
from broker.cli.json_output import plain, print_json
from broker.cli.library_picture import library_text
from broker.cli.opening import refusing
from broker.cli.policy_replay import end_of_progress, progress
from broker.cli.recorded import broker_decisions
from broker.cli.replay_picture import replay_picture
from broker.cli.screen import around, ours, say, theirs
from broker.cli.times import parse_start
from broker.cli.trees import policy_files
from broker.core.recorded import RecordedDecision
from broker.policy.replay_tally import LOOSENING, Replay
from broker.ports import PolicyOrder
from broker.v1 import admin_pb2
from broker.v1.admin_pb2 import ActivatePolicyRequest, ActivatePolicyResponse
from broker.v1.admin_pb2_grpc import AdminServiceStub

DECISIONS_MAX: Final = 20_000
"""Of the newest, so many are taken again: half a minute or so. `policy replay` has no such end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """What is to come into force, and how carefully.

    Attributes:
        directory: an operator's own tree; the shipped library alone where there is none.
        since: from when on decisions are taken again; not at all where empty.
        yes: nobody is asked, and it may loosen.
    """

    directory: Path | None
    drop: tuple[str, ...]
    preset: str
    reason: str
    only_check: bool
    since: str
    yes: bool
    as_json: bool


def activated(wanted: Activation) -> None:
    """Put a policy in force, and say so.

    Raises:
        CommandFailed: it is refused, or somebody said no, or it loosens and nobody said yes;
            nothing has changed then.
    """
    if not wanted.since and not wanted.only_check and not wanted.reason.strip():
        raise CommandFailed(
            "--no-replay needs a --reason: the log keeps both.", exit_code=ExitCode.USAGE
        )
    request = ActivatePolicyRequest(
        files={} if wanted.directory is None else policy_files(wanted.directory),
        drop_families=wanted.drop,
        validate_only=wanted.only_check,
        reason=wanted.reason,
        preset=wanted.preset,
    )
    found: Replay | None = None
    with administering() as line:
        if wanted.since and not wanted.only_check:
            found = _looked_at(line, request, wanted)
        told = line.ask(line.stub.ActivatePolicy, request, deadline_s=ACTIVATE_DEADLINE_S)
    _say(told, found, wanted)


def _looked_at(
    line: Line[AdminServiceStub], request: ActivatePolicyRequest, wanted: Activation
) -> Replay | None:
    """Take past decisions again, and have somebody agree; the request says then what was seen."""
    before = line.ask(line.stub.GetStatus, admin_pb2.GetStatusRequest()).policy_revision
    if not before:
        return None  # the first policy: none decided anything
    ask = ActivatePolicyRequest()
    ask.CopyFrom(request)
    ask.validate_only = True
    would_be = line.ask(line.stub.ActivatePolicy, ask, deadline_s=ACTIVATE_DEADLINE_S)
    if would_be.policy_revision == before:
        return None
    found = _replayed(line, request, would_be, since=wanted.since)
    if not wanted.as_json:
        revision, preset = would_be.policy_revision, wanted.preset
        say(*replay_picture(found, around(), revision=revision, preset=preset))
    loosened = sum(found.changes[kind].count for kind in LOOSENING if kind in found.changes)
    _agree(found, loosened, wanted)
    request.expected_policy_revision = would_be.policy_revision
    changed = found.asked - found.unchanged
    request.replay.CopyFrom(
        admin_pb2.ReplayTold(decisions=found.asked, changed=changed, loosened=loosened)
    )
    return found


def _replayed(
    line: Line[AdminServiceStub],
    request: ActivatePolicyRequest,
    would_be: ActivatePolicyResponse,
    *,
    since: str,
) -> Replay:
    # OPA's parts, for these commands alone.
    from broker.cli.policy_candidate import built, manifests_in_force  # noqa: PLC0415
    from broker.policy.many import ManyQuestions  # noqa: PLC0415
    from broker.policy.replaying import replay  # noqa: PLC0415

    order = PolicyOrder(files=dict(request.files), preset=request.preset)
    with built(order, manifests_in_force(line)) as candidate, refusing():
        if candidate.bundle.revision != would_be.policy_revision:
            raise CommandFailed(
                "The broker's release ships another library than this one, so nothing can be "
                "replayed here. Ask with the broker's own release, or with --no-replay."
            )
        found = replay(
            _recent(line, since),
            ManyQuestions(
                opa=candidate.opa, bundle=candidate.path, revision=candidate.bundle.revision
            ),
            progress=progress,
        )
        end_of_progress()
    return found


def _recent(line: Line[AdminServiceStub], since: str) -> Iterator[RecordedDecision]:
    start = parse_start(since, now=environment.now())
    return itertools.islice(broker_decisions(line, tool="", since=start), DECISIONS_MAX)


def _agree(found: Replay, loosened: int, wanted: Activation) -> None:
    """Return where it may go on."""
    if wanted.yes or not found.changes:
        return
    if sys.stdin.isatty() and sys.stdout.isatty() and not wanted.as_json:
        if _answer("Put it in force? [y/N] ") not in {"y", "yes"}:
            raise CommandFailed("Nothing was changed.")
        return
    if loosened:
        if wanted.as_json:
            print_json({"in_force": False, "replay": found.to_json()})
        raise CommandFailed(
            f"It loosens {loosened:,} of {found.asked:,} past decisions, so nothing was changed: "
            "look at them, then say --yes."
        )


def _answer(question: str) -> str:
    try:
        return input(question).strip().lower()
    except EOFError:
        return ""


def _say(told: ActivatePolicyResponse, found: Replay | None, wanted: Activation) -> None:
    if wanted.as_json:
        print_json({**plain(told), "replay": None if found is None else found.to_json()})
        return
    done = "would be taken" if wanted.only_check else "in force"
    library = ours(", library ") + library_text(told.library) if told.HasField("library") else ""
    say(
        ours("Policy ")
        + theirs(digest(told.policy_revision), "bold")
        + library
        + ours(f" {done}: ")
        + theirs(", ".join(told.families))
    )
