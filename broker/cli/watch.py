"""On a developer's machine the files are what is in force: a saved file is put in force at once.

By the same door as everybody else, with the operator's token of this machine, so that each reload
is an audited change. What is refused is logged, and what was in force before stays.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Final

import structlog

from broker.cli.connection import ACTIVATE_DEADLINE_S, Line, find_token, open_channel
from broker.cli.directory_files import entries_out, provisions
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.hold_picture import digest
from broker.cli.library_picture import is_to_upgrade
from broker.cli.tools_putting import put_tools
from broker.cli.trees import checked, documents, policy_files
from broker.config import Settings
from broker.core.canonical import content_digest
from broker.core.directory_rows import said
from broker.tools.registry import Document
from broker.v1 import admin_pb2
from broker.v1.admin_pb2_grpc import AdminServiceStub

LOOK_EVERY_S: Final = 0.5
_REASON: Final = "serve --watch: a file changed"

Seen = frozenset[tuple[str, int, int]]
_log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def watching(settings: Settings, address: str) -> AsyncIterator[None]:
    """Put `settings.tools`, `policies` and `directory` in force now and whenever they change.

    Args:
        settings: of the broker that runs in this process.
        address: where it listens; loopback.

    Raises:
        CommandFailed: there is nothing to watch, or no operator token.
    """
    if not any(_watched(settings)):
        raise CommandFailed(
            "--watch has nothing to watch: name `tools`, `policies` or `directory` in "
            "callbroker.toml.",
            exit_code=ExitCode.USAGE,
        )
    token = find_token("operator")
    with open_channel(address) as channel:
        line = Line(stub=AdminServiceStub(channel), address=address, token=token)
        task = asyncio.create_task(_watch(settings, line))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _watch(settings: Settings, line: Line[AdminServiceStub]) -> None:
    in_force: Seen | None = None
    before: Seen | None = None
    while True:
        now = await asyncio.to_thread(_seen, _watched(settings))
        # A file may be half written: it counts once it has been left alone for one look.
        if now == before and now != in_force:
            await asyncio.to_thread(reload, settings, line)
            in_force = now
        before = now
        await asyncio.sleep(LOOK_EVERY_S)


def _watched(settings: Settings) -> tuple[Path | None, ...]:
    return (settings.tools, settings.policies, settings.directory)


def reload(settings: Settings, line: Line[AdminServiceStub]) -> bool:
    """Put the files in force. Whether everything was taken; what was not is logged."""
    tools = settings.tools is None
    manifests: list[tuple[str, Document]] = []
    with _logged("tools"):
        manifests = _manifests(settings)
    with _logged("tools"):
        tools = tools or _put_tools(manifests, line)
    policy = settings.policies is None
    with _logged("policies"):
        policy = policy or _activate(settings, line)
    if policy and not tools:
        # The policy before read something that these tools have no more; the new one does not.
        with _logged("tools"):
            tools = _put_tools(manifests, line)
    known = settings.directory is None
    with _logged("directory"):
        known = known or _put_directory(settings, line)
    return tools and policy and known


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except CommandFailed as failed:
        told = " | ".join(
            line for part in (str(failed), *failed.findings) for line in part.split("\n")
        )
        _log.warning("watch_refused", what=what, why=told, kept="what was in force before")


def _manifests(settings: Settings) -> list[tuple[str, Document]]:
    if settings.tools is None:
        return []
    read = documents([settings.tools])
    checked(read)
    return read


def _put_tools(manifests: list[tuple[str, Document]], line: Line[AdminServiceStub]) -> bool:
    if not manifests:
        return False
    told = put_tools(line, manifests, replace_all=True, reason=_REASON)
    _log.info("watch_tools", tools=told.tools)
    return True


def _activate(settings: Settings, line: Line[AdminServiceStub]) -> bool:
    if settings.policies is None:
        return True
    if is_to_upgrade(line.ask(line.stub.GetStatus, admin_pb2.GetStatusRequest())):
        # Your files have not changed the shipped rules; that a new release did is seen first.
        raise CommandFailed(
            "This release ships other rules than those in force: callbroker policy upgrade."
        )
    request = admin_pb2.ActivatePolicyRequest(
        files=policy_files(settings.policies), preset=settings.preset, reason=_REASON
    )
    told = line.ask(line.stub.ActivatePolicy, request, deadline_s=ACTIVATE_DEADLINE_S)
    _log.info("watch_policy", policy=digest(told.policy_revision))
    return True


def _put_directory(settings: Settings, line: Line[AdminServiceStub]) -> bool:
    """What is in force as it is gets no new date here: nobody has looked at it again."""
    if settings.directory is None:
        return True
    told = line.ask(line.stub.ListDirectories, admin_pb2.ListDirectoriesRequest())
    before = {one.source: one.digest for one in told.directories}
    for provision in provisions(settings.directory):
        if before.get(provision.source) == content_digest(said(provision)):
            continue
        request = admin_pb2.PutDirectoryRequest(
            source=provision.source, entries=entries_out(provision.entries), reason=_REASON
        )
        line.ask(line.stub.PutDirectory, request, deadline_s=ACTIVATE_DEADLINE_S)
        _log.info("watch_directory", source=provision.source, entries=len(provision.entries))
    return True


def _seen(directories: Iterable[Path | None]) -> Seen:
    """Every file that counts, by path, size and time of change."""
    found: set[tuple[str, int, int]] = set()
    for directory in directories:
        if directory is None:
            continue
        for path in (directory, *directory.rglob("*")):
            with contextlib.suppress(OSError):
                stat = path.stat()
                if path.is_file():
                    found.add((str(path), stat.st_size, stat.st_mtime_ns))
    return frozenset(found)
