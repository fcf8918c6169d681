"""Tools' own processes: each keeps a stream, announces free slots and is handed frozen calls.

A worker gets only calls of tools that its credential names and that it offered with a signature
which fits the manifest in force. Every hand-over carries a fencing token; an answer counts once,
with that token, from the worker that was handed the call, and is acknowledged once its outcome is
recorded. One that nobody waits for any more is evidence and changes nothing.
"""

import asyncio
from collections.abc import Callable, Collection

from broker.core import freezes
from broker.core.control import Control
from broker.core.credentials import Credential
from broker.core.errors import IllegalTransition, NoPreview, NotPermitted, RunnerUnavailable
from broker.core.manifest import ToolManifest
from broker.core.previews import previewed
from broker.ports import (
    Asker,
    Clock,
    FrozenCall,
    IdFactory,
    Lost,
    NeverStarted,
    Outcome,
    Store,
    WorkerView,
)
from broker.tools.connection import Connection, Pending, WorkerSlot, misfits_of
from broker.tools.evidence import Evidence
from broker.tools.worker_messages import (
    SLOTS_MAX,
    Acknowledgement,
    Answer,
    BrokerAddress,
    BrokersTold,
    Declined,
    Handover,
    Load,
    Offer,
    ToolOffer,
)

__all__ = [
    "SLOTS_MAX",
    "Acknowledgement",
    "Answer",
    "BrokerAddress",
    "BrokersTold",
    "Connection",
    "Declined",
    "Handover",
    "Load",
    "Offer",
    "ToolOffer",
    "WorkerHub",
    "WorkerSlot",
]


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
        self._clock = clock
        self._evidence = Evidence(store, clock)
        self._ids = ids
        self._connections: dict[str, Connection] = {}
        self._pending: dict[str, Pending] = {}
        self._changed = asyncio.Event()
        self.brokers: BrokersTold | None = None

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Those that are open now, by name."""
        return tuple(self._connections[name] for name in sorted(self._connections))

    def views(self) -> tuple[WorkerView, ...]:
        """The same for operators."""
        tools = self._control().tools
        return tuple(
            WorkerView(
                name=c.name,
                tools=tuple(sorted(c.tools)),
                free=c.free,
                slots=c.slots,
                without_preview=tuple(
                    name for name in sorted(c.tools) if c.lacks_preview(tools.get(name))
                ),
            )
            for c in self.connections
        )

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
        findings = self._findings(offer)
        if findings:
            raise IllegalTransition("; ".join(findings), metadata={"findings": str(len(findings))})
        slots = min(max(offer.slots, 1), SLOTS_MAX)
        connection = Connection(
            name=f"workers/{self._ids()}",
            credential=credential,
            offers={t.name: t for tool in offer.tools for t in (tool, tool.preview) if t},
            slots=slots,
            hub=self,
        )
        self._connections[connection.name] = connection
        self.freed()
        return connection

    async def reserve(
        self,
        manifest: ToolManifest,
        *,
        profile: str = "",
        wait_s: float,
        asker: Asker | None = None,
    ) -> WorkerSlot:
        """Keep a place free at the worker of this tool that has the most, whoever asks.

        Raises:
            NoPreview: it is a preview, and whoever implements the tool does not offer it.
            RunnerUnavailable: nobody implements this revision of the tool, or nobody is free in
                time.
        """
        del profile, asker  # a worker has neither isolation nor favourites
        self._check_preview(manifest)
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    if (connection := self.take(manifest)) is not None:
                        return WorkerSlot(connection=connection)
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise RunnerUnavailable(
                f"No worker for {manifest.name} is free.",
                metadata={"tool": manifest.name},
            ) from None

    def tell(self, brokers: BrokersTold) -> None:
        """Let all workers, now and later, know where all brokers are."""
        if brokers != self.brokers:
            self.brokers = brokers
            for connection in self._connections.values():
                connection.tell(brokers)

    def take(self, manifest: ToolManifest, but: Collection[str] = ()) -> Connection | None:
        """Have a place at the worker of a tool that has the most, if one is free now.

        Args:
            manifest: of the tool.
            but: names of workers that are not to have it.

        Returns:
            Whoever has the place for it; `Connection.give_back` makes it free again.
        """
        able = [
            c
            for c in self._connections.values()
            if c.free and not c.draining and c.name not in but and c.fits(manifest)
        ]
        if not able:
            return None
        # The most free slots first, so that load is shared; the name settles ties.
        chosen = min(able, key=lambda c: (-c.free, c.name))
        chosen.used += 1
        return chosen

    def hand(self, connection: Connection, call: FrozenCall) -> Pending | None:
        """Queue a frozen call for a worker; None where the worker has left."""
        if connection.closed:
            return None
        pending = Pending(
            connection=connection,
            call=call,
            outcome=asyncio.get_running_loop().create_future(),
        )
        self._pending[call.invocation.name] = pending
        connection.hand(Handover(call=call, deadline_at=self._clock() + call.deadline_s))
        return pending

    async def outcome(self, pending: Pending) -> Outcome:
        """How a call that was queued ended; returns by its deadline."""
        try:
            async with asyncio.timeout(pending.call.deadline_s):
                return await pending.outcome
        except TimeoutError:
            # One that came with the last moment was counted; else waiting was cancelled with it.
            if pending.outcome.done() and not pending.outcome.cancelled():
                return pending.outcome.result()
            return Lost(why="no answer before the deadline") if pending.sent else _never_sent()
        finally:
            # What comes from here on is late, and a call that is still queued stays there.
            self._pending.pop(pending.call.invocation.name, None)

    def sent(self, handover: Handover) -> bool:
        """The call goes on the wire: from here on it may take effect. False: it may not go."""
        pending = self._pending.get(handover.call.invocation.name)
        if pending is None or pending.call.fencing_token != handover.call.fencing_token:
            return False
        if pending.outcome.done():
            return False
        freeze = freezes.covering_call(
            self._control().freezes,
            handover.call.invocation,
            now=self._clock(),
        )
        if freeze is not None:
            pending.outcome.set_result(NeverStarted(why=f"frozen: {freeze.name}"))
            return False
        pending.sent = True
        return True

    def count(self, connection: Connection, answer: Answer) -> bool:
        """Count an answer, once; False where nobody waits for this one from this worker."""
        pending = self._pending.get(answer.invocation)
        if (
            pending is None
            or pending.call.fencing_token != answer.fencing_token
            or pending.connection.credential.name != connection.credential.name
            or pending.outcome.done()
        ):
            return False
        pending.answered_by = connection
        pending.outcome.set_result(answer.outcome)
        return True

    async def keep(self, connection: Connection, answer: Answer) -> None:
        """Keep an answer that nobody waits for.

        Raises:
            StoreUnavailable: ask again.
        """
        await self._evidence.keep_answer(
            answer, worker=connection.name, credential=connection.credential
        )

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

    def _check_preview(self, manifest: ToolManifest) -> None:
        """Nobody waits for what none of a tool's workers has."""
        tool = previewed(manifest.name)
        able = [c for c in self._connections.values() if tool in c.offers]
        if able and all(manifest.name not in c.offers for c in able):
            raise NoPreview(
                f"No worker of {tool} offers its preview.", metadata={"tool": manifest.name}
            )

    def _findings(self, offer: Offer) -> list[str]:
        tools = self._control().tools
        findings: list[str] = []
        for tool in offer.tools:
            registered = tools.get(tool.name)
            if registered is None:
                findings.append(f"{tool.name}: no manifest is in force; `callbroker tools put`")
                continue
            findings += misfits_of(registered.manifest, tool)
            if tool.preview is not None and registered.preview is not None:
                findings += misfits_of(registered.preview.manifest, tool.preview)
        return findings


def _never_sent() -> NeverStarted:
    return NeverStarted(why="the call was never handed over")
