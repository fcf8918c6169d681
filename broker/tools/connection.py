"""One worker's stream: what waits to be sent to it, what it offered, and its free places."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from broker.core.control import RegisteredTool
from broker.core.credentials import Credential
from broker.core.manifest import ToolManifest
from broker.core.previews import previewed
from broker.core.signatures import misfits
from broker.ports import FrozenCall, NeverStarted, Outcome
from broker.tools.worker_messages import (
    Acknowledgement,
    Answer,
    BrokersTold,
    Declined,
    Handover,
    Load,
    ToolOffer,
)

if TYPE_CHECKING:
    from broker.tools.worker import WorkerHub

# Calls that wait to be sent are bounded by slots; this bounds acknowledgements of late answers.
OUTBOX_MAX: Final = 1_000
# One that was declined is offered to so many workers in all: each may take seconds to say so.
OFFERED_MAX: Final = 3


@dataclass(slots=True, eq=False)
class Pending:
    """A hand-over that waits for its answer."""

    connection: "Connection"
    call: FrozenCall
    outcome: "asyncio.Future[Outcome]"
    sent: bool = False
    answered_by: "Connection | None" = None


@dataclass(slots=True, eq=False)
class Connection:
    """One worker's stream, from its hello to its end.

    Attributes:
        used: slots that calls of this broker have.
        elsewhere: slots that calls of other brokers have, as the worker told last.
    """

    name: str
    credential: Credential
    offers: Mapping[str, ToolOffer]
    slots: int
    hub: "WorkerHub"
    used: int = 0
    elsewhere: int = 0
    draining: bool = False
    closed: bool = False
    _fits: dict[str, tuple[str, bool]] = field(default_factory=dict)
    _outbox: "asyncio.Queue[Handover | Acknowledgement | BrokersTold | None]" = field(
        default_factory=asyncio.Queue,
    )
    _taken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def free(self) -> int:
        """Slots that a call of this broker may have."""
        return max(self.slots - self.used - self.elsewhere, 0)

    @property
    def tools(self) -> frozenset[str]:
        """Names of the tools that it offered, without their previews."""
        return frozenset(map(previewed, self.offers))

    def lacks_preview(self, tool: RegisteredTool | None) -> bool:
        """Whether a manifest names a preview, and this worker of the tool does not offer it."""
        return (
            tool is not None
            and tool.preview is not None
            and tool.manifest.name in self.offers
            and tool.preview.manifest.name not in self.offers
        )

    def fits(self, manifest: ToolManifest) -> bool:
        """Whether what it offered is this revision of the tool; a manifest may have changed."""
        offer = self.offers.get(manifest.name)
        if offer is None:
            return False
        revision, fits = self._fits.get(manifest.name, ("", False))
        if revision != manifest.revision:
            fits = not misfits_of(manifest, offer)
            self._fits[manifest.name] = (manifest.revision, fits)
        return fits

    async def handovers(self) -> AsyncIterator[Handover | Acknowledgement | BrokersTold]:
        """What is to be sent to the worker, until the connection is closed."""
        while (message := await self._outbox.get()) is not None:
            self._taken.set()
            # One that was reported as never started, or was frozen while it queued, does not go.
            if isinstance(message, Handover) and not self.hub.sent(message):
                continue
            yield message

    async def answer(self, answer: Answer) -> None:
        """Take the worker's answer; it is acknowledged once it is safe to forget.

        Raises:
            StoreUnavailable: it cannot be kept; the worker comes back with it.
        """
        if not self.hub.count(self, answer):
            await self.hub.keep(self, answer)
            # A worker that answers and answers and does not read is not heard any further.
            while self._outbox.qsize() >= OUTBOX_MAX:
                self._taken.clear()
                await self._taken.wait()
            self.acknowledge(answer.invocation, answer.fencing_token)

    def acknowledge(self, invocation: str, fencing_token: str) -> None:
        """Have the worker forget an answer."""
        if not self.closed:
            self._outbox.put_nowait(
                Acknowledgement(invocation=invocation, fencing_token=fencing_token),
            )

    def tell(self, brokers: BrokersTold) -> None:
        """Let the worker know where all brokers are."""
        if not self.closed:
            self._outbox.put_nowait(brokers)

    def load(self, load: Load) -> None:
        """Count on no more than what other brokers leave of the worker."""
        before, self.elsewhere = self.free, max(load.elsewhere, 0)
        if self.free > before:
            self.hub.freed()

    def give_back(self) -> None:
        """A place that a call of this broker had is free again."""
        self.used -= 1
        self.hub.freed()

    def drain(self) -> None:
        """Hand nothing new to this worker."""
        self.draining = True

    def close(self) -> None:
        """The stream is over. What was handed over and not answered may have taken effect."""
        self.closed = True
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
    _pending: Pending | None = None

    async def run(self, call: FrozenCall) -> Outcome:
        """Hand the call over and wait for its answer until the deadline.

        A worker that has no place for it says that it never began: then another one is asked.
        """
        offered = {self.connection.name}
        while True:
            outcome = await self._offer(call)
            if not isinstance(outcome, Declined) or len(offered) == OFFERED_MAX:
                return outcome
            self.acknowledge()
            instead = self.connection.hub.take(call.manifest, but=offered)
            if instead is None:
                return outcome
            self.connection.give_back()
            self.connection = instead
            offered.add(instead.name)

    async def _offer(self, call: FrozenCall) -> Outcome:
        hub = self.connection.hub
        self._pending = hub.hand(self.connection, call)
        if self._pending is None:
            return NeverStarted(why="the worker left before the call was handed over")
        return await hub.outcome(self._pending)

    def release(self) -> None:
        """Give the place back."""
        if not self._released:
            self._released = True
            self.connection.give_back()

    def acknowledge(self) -> None:
        """The outcome is recorded: whoever gave it may forget it."""
        if self._pending is not None and self._pending.answered_by is not None:
            call = self._pending.call
            self._pending.answered_by.acknowledge(call.invocation.name, call.fencing_token)


def misfits_of(manifest: ToolManifest, offer: ToolOffer) -> list[str]:
    """What about an offer does not fit its manifest, one sentence each."""
    return misfits(manifest, parameters=offer.parameters_schema, result=offer.result_schema)
