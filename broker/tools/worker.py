"""Tools' own processes: each keeps a stream, announces free slots and is handed frozen calls.

A worker gets only calls of tools that its credential names and that it offered with a signature
which fits the manifest. Every hand-over carries a fencing token; an answer counts once, with that
token, from the worker that was handed the call. An answer that nobody waits for any more is kept as
evidence and changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.control import Control
from broker.core.credentials import Credential
from broker.core.errors import IllegalTransition, NotPermitted, RunnerUnavailable
from broker.core.manifest import ToolManifest
from broker.core.signatures import misfits
from broker.core.unit import Unit
from broker.ports import (
    Clock,
    Failed,
    FrozenCall,
    IdFactory,
    Lost,
    NeverStarted,
    Outcome,
    Store,
    Succeeded,
)

_log = structlog.get_logger(__name__)

SLOTS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOffer:
    """One implementation: JSON Schemas of its parameters and, where annotated, its result."""

    name: str
    parameters_schema: Mapping[str, JsonValue]
    result_schema: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A worker's hello."""

    slots: int
    tools: tuple[ToolOffer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A frozen call on its way to a worker. `deadline_at` in POSIX seconds."""

    call: FrozenCall
    deadline_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """An answer was taken, or refused for good; the worker forgets it."""

    invocation: str
    fencing_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a worker says that a call ended."""

    invocation: str
    fencing_token: str
    outcome: Outcome


@dataclass(slots=True, eq=False)
class _Pending:
    """A hand-over that waits for its answer."""

    connection: "Connection"
    token: str
    outcome: "asyncio.Future[Outcome]"
    sent: bool = False


@dataclass(slots=True, eq=False)
class Connection:
    """One worker's stream, from its hello to its end."""

    name: str
    credential: Credential
    tools: frozenset[str]
    slots: int
    hub: "WorkerHub"
    free: int
    draining: bool = False
    _outbox: "asyncio.Queue[Handover | Acknowledgement | None]" = field(
        default_factory=asyncio.Queue,
    )

    async def handovers(self) -> AsyncIterator[Handover | Acknowledgement]:
        """What is to be sent to the worker, until the connection is closed."""
        while (message := await self._outbox.get()) is not None:
            # A call whose time was up while it queued was reported as never started: it stays so.
            if isinstance(message, Handover) and not self.hub.sent(message):
                continue
            yield message

    async def answer(self, answer: Answer) -> None:
        """Take the worker's answer; it is acknowledged once it is safe to forget."""
        await self.hub.take(self, answer)
        self._outbox.put_nowait(
            Acknowledgement(
                invocation=answer.invocation,
                fencing_token=answer.fencing_token,
            ),
        )

    def drain(self) -> None:
        """Hand nothing new to this worker."""
        self.draining = True

    def close(self) -> None:
        """The stream is over. What was handed over and not answered may have taken effect."""
        self._outbox.put_nowait(None)
        self.hub.forget(self)

    def hand(self, handover: Handover) -> None:
        """Queue a call for the worker."""
        self._outbox.put_nowait(handover)


@dataclass(slots=True, eq=False)
class WorkerSlot:
    """One free place at one worker (`ports.Slot`)."""

    connection: Connection
    _released: bool = False

    async def run(self, call: FrozenCall) -> Outcome:
        """Hand the call over and wait for its answer until the deadline."""
        return await self.connection.hub.run(self.connection, call)

    def release(self) -> None:
        """Give the place back."""
        if not self._released:
            self._released = True
            self.connection.free += 1
            self.connection.hub.freed()


class WorkerHub:
    """All connected workers (`ports.Runner`)."""

    def __init__(
        self,
        *,
        control: Callable[[], Control],
        store: Store,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._control = control
        self._store = store
        self._clock = clock
        self._ids = ids
        self._connections: dict[str, Connection] = {}
        self._pending: dict[str, _Pending] = {}
        self._changed = asyncio.Event()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Those that are open now, by name."""
        return tuple(self._connections[name] for name in sorted(self._connections))

    def connect(self, credential: Credential, offer: Offer) -> Connection:
        """Take a worker in.

        Raises:
            NotPermitted: it offers a tool that its credential does not name.
            IllegalTransition: a signature does not fit its manifest, or a tool is not registered.
        """
        foreign = sorted({t.name for t in offer.tools} - set(credential.tools))
        if foreign:
            raise NotPermitted(
                f"This worker's credential does not name: {', '.join(foreign)}.",
                metadata={"tools": ", ".join(foreign)},
            )
        findings = self._misfits(offer)
        if findings:
            raise IllegalTransition("; ".join(findings), metadata={"findings": str(len(findings))})
        slots = min(max(offer.slots, 1), SLOTS_MAX)
        connection = Connection(
            name=f"workers/{self._ids()}",
            credential=credential,
            tools=frozenset(t.name for t in offer.tools),
            slots=slots,
            hub=self,
            free=slots,
        )
        self._connections[connection.name] = connection
        self.freed()
        return connection

    async def reserve(self, manifest: ToolManifest, *, wait_s: float) -> WorkerSlot:
        """Keep a place free at the worker of this tool that has the most.

        Raises:
            RunnerUnavailable: nobody implements the tool, or nobody is free in time.
        """
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    if (slot := self._free(manifest.name)) is not None:
                        return slot
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise RunnerUnavailable(
                f"No worker for {manifest.name} is free.",
                metadata={"tool": manifest.name},
            ) from None

    async def run(self, connection: Connection, call: FrozenCall) -> Outcome:
        """Hand a frozen call to a worker; returns by its deadline."""
        if connection.name not in self._connections:
            return NeverStarted(why="the worker left before the call was handed over")
        pending = _Pending(
            connection=connection,
            token=call.fencing_token,
            outcome=asyncio.get_running_loop().create_future(),
        )
        self._pending[call.invocation.name] = pending
        handover = Handover(call=call, deadline_at=self._clock() + call.deadline_s)
        connection.hand(handover)
        try:
            async with asyncio.timeout(call.deadline_s):
                return await pending.outcome
        except TimeoutError:
            return Lost(why="no answer before the deadline") if pending.sent else _never_sent()
        finally:
            self._pending.pop(call.invocation.name, None)

    def sent(self, handover: Handover) -> bool:
        """The call goes on the wire: from here on it may take effect. False: it may not go."""
        pending = self._pending.get(handover.call.invocation.name)
        if pending is None or pending.token != handover.call.fencing_token:
            return False
        if pending.outcome.done():
            return False
        pending.sent = True
        return True

    async def take(self, connection: Connection, answer: Answer) -> None:
        """Count an answer once; keep any other as evidence."""
        pending = self._pending.get(answer.invocation)
        awaited = (
            pending is not None
            and pending.token == answer.fencing_token
            and pending.connection.credential.name == connection.credential.name
            and not pending.outcome.done()
        )
        if awaited and pending is not None:
            pending.outcome.set_result(answer.outcome)
            return
        await self._keep(connection, answer)

    def forget(self, connection: Connection) -> None:
        """A stream ended; calls that were on the wire wait for their answer until the deadline.

        The worker keeps its answer and comes back with it; a call that was never sent is proved
        not to have started.
        """
        self._connections.pop(connection.name, None)
        for pending in tuple(self._pending.values()):
            lost = pending.connection is connection and not pending.sent
            if lost and not pending.outcome.done():
                pending.outcome.set_result(_never_sent())

    def freed(self) -> None:
        """Wake whoever waits for a place."""
        self._changed.set()

    def _free(self, tool: str) -> WorkerSlot | None:
        able = [
            c for c in self._connections.values() if tool in c.tools and c.free and not c.draining
        ]
        if not able:
            return None
        # The most free slots first, so that load is shared; the name settles ties.
        chosen = min(able, key=lambda c: (-c.free, c.name))
        chosen.free -= 1
        return WorkerSlot(connection=chosen)

    def _misfits(self, offer: Offer) -> list[str]:
        tools = self._control().tools
        findings: list[str] = []
        for tool in offer.tools:
            registered = tools.get(tool.name)
            if registered is None:
                findings.append(f"{tool.name}: no manifest is in force; `callbroker tools put`")
                continue
            findings += misfits(
                registered.manifest,
                parameters=tool.parameters_schema,
                result=tool.result_schema,
            )
        return findings

    async def _keep(self, connection: Connection, answer: Answer) -> None:
        entry = EntryDraft(
            kind=EntryKind.ATTEMPT_ANSWERED_LATE,
            at=self._clock(),
            actor=connection.credential.subject,
            invocation=answer.invocation,
            body={"worker": connection.name, "outcome": type(answer.outcome).__name__},
            contents=_evidence(answer.outcome),
        )
        await self._store.commit(Unit(changes=(), entries=(entry,)))
        _log.warning("answer_kept_as_evidence", invocation=answer.invocation)


def _never_sent() -> NeverStarted:
    return NeverStarted(why="the call was never handed over")


def _evidence(outcome: Outcome) -> Mapping[str, JsonValue]:
    match outcome:
        case Succeeded(result_json=result):
            return {"result_json": result.decode("utf-8", "replace")}
        case Failed(code=code, message=message):
            return {"code": code, "message": message}
        case Lost(why=why) | NeverStarted(why=why):
            return {"why": why}
