"""A gate belongs to one container: closed until its call, open to what the call may ask, closed."""

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
from pathlib import Path

import structlog

from sandboxes.egress import addresses, lint, passage, rules
from sandboxes.egress.budget import Budget
from sandboxes.egress.heads import HEAD_BYTES_MAX, Head
from sandboxes.egress.journal import EgressRequest, Entry, Journal
from sandboxes.egress.outside import Outside
from sandboxes.egress.passage import Permit
from sandboxes.egress.refusals import EgressRefused
from sandboxes.egress.tool_side import ToolSide
from sandboxes.profile import Egress

SOCKET_NAME = "proxy.sock"
CONNECTIONS_MAX = 8
HEAD_DEADLINE_S = 10.0
EARLY_ENTRIES_MAX = 16
_PEER = struct.Struct("3i")  # pid, uid, gid
_log = structlog.get_logger()


class EgressGate:
    """The proxy of one container, on a unix socket of its own.

    `await start()` before the container is made; `open` when its call is handed over; `await
    close()` when it is over. Once closed it stays closed.
    """

    def __init__(self, directory: Path, outside: Outside, *, peer_uid: int | None = None) -> None:
        """A gate that does not listen yet.

        Args:
            directory: made by `start`, removed by `close`; to be mounted read-only at
                /callbroker/egress. What is above it must be the node's alone (0700).
            outside: shared by all gates of the node.
            peer_uid: the container's, where the kernel tells it as it is (no user namespaces):
                others are refused. None: whoever reaches the socket.
        """
        self._directory = directory
        self._outside = outside
        self._peer_uid = peer_uid
        self._journal = Journal(EARLY_ENTRIES_MAX)
        self._permit: Permit | None = None
        self._server: asyncio.Server | None = None
        self._descriptor = -1
        self._conversations: set[asyncio.Task[None]] = set()
        self._is_over = False

    async def start(self) -> None:
        """Listen; every request is refused until `open`.

        Raises:
            OSError: the directory is there already, or what is above it is not private.
            RuntimeError: started before.
        """
        if self._server is not None or self._is_over:
            raise RuntimeError("a gate is started once")
        if self._directory.parent.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise PermissionError(f"{self._directory.parent} is open to others")
        self._directory.mkdir()
        self._directory.chmod(0o755)
        self._descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # By descriptor: the path of a socket has 107 bytes at most, a state directory may not.
            listening.bind(f"/proc/self/fd/{self._descriptor}/{SOCKET_NAME}")
            (self._directory / SOCKET_NAME).chmod(0o666)
            self._server = await asyncio.start_unix_server(
                self._converse, sock=listening, limit=HEAD_BYTES_MAX
            )
        except BaseException:
            listening.close()
            self._remove()
            raise

    def open(self, egress: Egress, input_json: bytes, subject: str) -> None:
        """Bind the rules to this call. Once only.

        Args:
            egress: of the profile; without findings (`lint.findings`).
            input_json: one JSON object, which templates read.
            subject: for whom; picks credentials that are kept per subject.

        Raises:
            ValueError: the input is not one JSON object, or the profile's way out has findings.
            RuntimeError: not started, open already, or closed.
        """
        if self._server is None or self._permit is not None or self._is_over:
            raise RuntimeError("a gate is opened once, while it is there")
        given = json.loads(input_json)
        if not isinstance(given, dict):
            raise ValueError("the input is not one JSON object")  # noqa: TRY004 - it is a value
        found = lint.findings(egress, self._outside.credentials)
        if found:
            raise ValueError(found[0])
        self._permit = Permit(
            rules=rules.bind(egress.rules, given),
            exceptions=addresses.blocks(egress.private_addresses),
            subject=subject,
            budget=Budget(egress),
            request_deadline_s=egress.request_deadline_s,
        )
        self._journal.make_room(egress.requests_max)

    async def close(self) -> tuple[tuple[EgressRequest, ...], bool]:
        """Let nothing pass any more, cut what is under way, and remove the directory.

        Returns:
            Every request in the order they came, and whether the list stopped at its cap. Again
            the same when called again.
        """
        self._is_over = True
        if self._server is not None:
            self._server.close()
        under_way = tuple(self._conversations)
        for conversation in under_way:
            conversation.cancel()
        if under_way:
            await asyncio.wait(under_way)
        self._remove()
        return self._journal.requests, self._journal.is_cut

    def _remove(self) -> None:
        if self._descriptor < 0:
            return
        with contextlib.suppress(FileNotFoundError):
            (self._directory / SOCKET_NAME).unlink()
        with contextlib.suppress(FileNotFoundError):
            self._directory.rmdir()
        os.close(self._descriptor)
        self._descriptor = -1

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tool = ToolSide(reader, writer)
        if (
            self._is_over
            or len(self._conversations) >= CONNECTIONS_MAX
            or self._is_stranger(writer)
        ):
            tool.cut()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._conversations.add(task)
        try:
            await self._hear(tool)
            await tool.leave()
        except asyncio.CancelledError:
            tool.cut()  # the gate closes; who cancels waits for this and needs no word of it
        finally:
            self._conversations.discard(task)

    def _is_stranger(self, writer: asyncio.StreamWriter) -> bool:
        if self._peer_uid is None:
            return False
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as peer:
            said = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        uid: int = _PEER.unpack(said)[1]
        if uid != self._peer_uid:
            _log.warning("egress_stranger", uid=uid)
        return uid != self._peer_uid

    async def _hear(self, tool: ToolSide) -> None:
        """Take one request; whatever becomes of it is noted."""
        try:
            async with asyncio.timeout(HEAD_DEADLINE_S):
                said: bytes | EgressRefused | None = await tool.read_head()
        except TimeoutError:
            said = EgressRefused("EGRESS_TOO_LATE", "The head did not come.", status=408)
        except OSError:
            return
        except EgressRefused as refused:
            said = refused
        if said is None:
            return
        entry = self._journal.begin(self._outside.now())
        try:
            await self._carry(said, tool, entry)
        except EgressRefused as refused:
            entry.note(code=refused.code)
            await tool.refuse(refused)
        except OSError:  # of the tool's side: the other one's has codes
            entry.note(code="EGRESS_CUT")
            tool.cut()
        except asyncio.CancelledError:
            entry.note(code="EGRESS_CUT")
            raise
        except Exception:  # noqa: BLE001 - a fault of ours lets nothing more pass, and is told
            entry.note(code="EGRESS_FAILED")
            _log.exception("egress_failed")
            tool.cut()

    async def _carry(self, said: bytes | EgressRefused, tool: ToolSide, entry: Entry) -> None:
        asked = _read(said, entry)  # noted first, whether or not anything may pass
        permit = self._permit
        if permit is None:
            raise EgressRefused("EGRESS_CLOSED", "No call is under way.", status=503)
        permit.budget.take_request()
        if isinstance(asked, EgressRefused):
            raise asked
        try:
            async with asyncio.timeout(permit.request_deadline_s):
                await passage.carry(
                    asked, tool=tool, permit=permit, outside=self._outside, entry=entry
                )
        except TimeoutError:
            raise EgressRefused(
                "EGRESS_TOO_LATE", "The request took longer than it may.", status=504
            ) from None


def _read(said: bytes | EgressRefused, entry: Entry) -> Head | EgressRefused:
    if isinstance(said, EgressRefused):
        return said
    try:
        return passage.read_head(said, entry)
    except EgressRefused as refused:
        return refused
