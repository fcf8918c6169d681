"""One container's life. It is made for one call, and no event leads back from that.

    STARTING ─waits→ READY ─claim→ CLAIMED ─ask→ ASKED ─end→ ENDING ─removed→ GONE
                       ↑─────give_back──┘                      └─stuck→ QUARANTINED ─removed→ GONE

A claim that ends before anything was handed over may be given back; once asked, a container can
only end. One that cannot be removed is set aside and counts until the engine says that it is gone.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from sandboxes import spec
from sandboxes.answers import AnswerReader
from sandboxes.egress.proxy import EgressGate
from sandboxes.engine import ContainerState, Engine, EngineRefused, EngineUnavailable, Stream
from sandboxes.entry.frames import Caps
from sandboxes.hearing import Broke, Ended, Heard, Hearing, Waiting
from sandboxes.profile import Profile

READY_WITHIN_S: Final = 30.0
NODE_LABEL: Final = "callbroker.sandboxd"
RUN_LABEL: Final = "callbroker.run"
POOL_LABEL: Final = "callbroker.pool"


class State(Enum):
    """Where a slot is in its life."""

    STARTING = auto()
    READY = auto()
    CLAIMED = auto()
    ASKED = auto()
    ENDING = auto()
    QUARANTINED = auto()
    GONE = auto()


class Event(Enum):
    """What happens to it."""

    WAITS = auto()
    CLAIM = auto()
    GIVE_BACK = auto()
    ASK = auto()
    END = auto()
    STUCK = auto()
    REMOVED = auto()


LIFE_CYCLE: Final[Mapping[tuple[State, Event], State]] = {
    (State.STARTING, Event.WAITS): State.READY,
    (State.STARTING, Event.END): State.ENDING,
    (State.READY, Event.CLAIM): State.CLAIMED,
    (State.READY, Event.END): State.ENDING,
    (State.CLAIMED, Event.GIVE_BACK): State.READY,
    (State.CLAIMED, Event.ASK): State.ASKED,
    (State.CLAIMED, Event.END): State.ENDING,
    (State.ASKED, Event.END): State.ENDING,
    (State.ENDING, Event.REMOVED): State.GONE,
    (State.ENDING, Event.STUCK): State.QUARANTINED,
    (State.QUARANTINED, Event.REMOVED): State.GONE,
}


class IllegalEvent(Exception):
    """The event has no place in the life cycle there; nothing was changed."""


class NotReady(Exception):
    """The container did not come to wait for a question; `str` is one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOrder:
    """What a container is made from.

    Attributes:
        name: unique on this machine.
        image: its digest.
        seccomp: text of the allow-list.
        labels: who it belongs to.
        gate: the way out, listening; None for none.
    """

    name: str
    image: str
    profile: Profile
    uid: int
    seccomp: str
    labels: Mapping[str, str]
    gate: EgressGate | None = None
    egress_directory: Path | None = None


class Slot:
    """One container, from before it is made until it is gone."""

    def __init__(
        self,
        engine: Engine,
        order: SlotOrder,
        *,
        started_at_s: float,
        created: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make nothing yet.

        Args:
            engine: that will have the container.
            order: what it is made from.
            started_at_s: by the event loop's clock.
            created: told the container's id, before it is started.
        """
        self._created = created
        self.interruptions = engine.interruptions
        loop = asyncio.get_running_loop()
        self.order = order
        self.started_at_s = started_at_s
        self.state = State.STARTING
        self.container = ""
        self.claims = 0
        self.was_asked = False
        self.last_state: ContainerState | None = None  # once somebody has seen how it ended
        self.told: Mapping[str, object] = {}  # of its run, for the log
        self.claimed_at_s = 0.0
        self.outcome: asyncio.Future[Heard] = loop.create_future()
        self._loaded: asyncio.Future[Heard] = loop.create_future()
        self._engine = engine
        self._hearing = Hearing()
        self._stream: Stream | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def run(self) -> str:
        """Names the run; another claim is another run."""
        return f"{self.order.name}.{self.claims}"

    @property
    def errors(self) -> bytes:
        """The beginning of its standard error, for the log."""
        return self._hearing.errors

    def happen(self, event: Event) -> None:
        """Go on in its life.

        Raises:
            IllegalEvent: not from here.
        """
        after = LIFE_CYCLE.get((self.state, event))
        if after is None:
            raise IllegalEvent(f"{event.name} while {self.state.name}")
        self.state = after

    async def start(self) -> None:
        """Make and start the container, until it waits for a question.

        Raises:
            NotReady: it ended, or said something else, or nothing in time.
            EngineUnavailable, EngineRefused: as the engine says.
        """
        order = self.order
        body = spec.body(
            order.profile,
            image=order.image,
            uid=order.uid,
            seccomp=order.seccomp,
            labels=order.labels,
            egress_directory=order.egress_directory,
        )
        self.container = await self._engine.create(order.name, body)
        self._created(self.container)
        self._stream = await self._engine.attach(self.container)
        self._listening = asyncio.create_task(self._listen(self._stream))
        await self._engine.start(self.container)
        await asyncio.wait((self._loaded,), timeout=READY_WITHIN_S)
        if not self._loaded.done():
            raise NotReady(f"It was not ready within {READY_WITHIN_S:g} s.")
        match self._loaded.result():
            case Waiting():
                self.happen(Event.WAITS)
            case Broke() as broke:
                raise NotReady(broke.message)
            case _:
                raise NotReady(await self._why_ended())

    def usable(self) -> bool:
        """Whether it waits and has said nothing since."""
        return (
            self.state is State.READY
            and not self.outcome.done()
            and self._stream is not None
            and not self._stream.pending()
        )

    def claim(self, *, at_s: float) -> None:
        """Keep it for one run; `at_s` by the event loop's clock."""
        self.happen(Event.CLAIM)
        self.claims += 1
        self.claimed_at_s = at_s

    async def ask(self, question: bytes, *, nonce: str, caps: Caps) -> None:
        """Hand a question over; what comes back settles `outcome`.

        Raises:
            EngineUnavailable: the stream is gone.
        """
        if self._stream is None:
            raise IllegalEvent("asked before it was started")
        self.happen(Event.ASK)
        self.was_asked = True
        if self.outcome.done():  # it has said something, or ended, since it was claimed
            return
        self._hearing.expect(AnswerReader(nonce=nonce, caps=caps))
        await self._stream.send(question)

    async def fall_silent(self, *, within_s: float) -> None:
        """Return once it has closed its output, or is listened to no longer, or not in time."""
        if self._listening is not None:
            await asyncio.wait((self._listening,), timeout=within_s)

    def hang_up(self) -> None:
        """Listen no longer. Unread output would keep the engine from removing it."""
        if self._listening is not None:
            self._listening.cancel()
        if self._stream is not None:
            self._stream.close()

    async def _listen(self, stream: Stream) -> None:
        while (piece := await stream.receive()) is not None:
            heard = self._hearing.hear(*piece)
            if heard is not None:
                self._settle(heard)
            if isinstance(heard, Broke):
                return  # nothing more of it is read
        self._settle(Ended())

    def _settle(self, heard: Heard) -> None:
        future = self.outcome if self._loaded.done() else self._loaded
        if not future.done():
            future.set_result(heard)

    async def _why_ended(self) -> str:
        state: ContainerState | None = None
        with contextlib.suppress(EngineUnavailable, EngineRefused):
            state = await self._engine.ended(self.container, within_s=2.0)
        if state is None:
            return "It ended before it was ready."
        if state.out_of_memory:
            return "It ran out of memory before it was ready."
        return f"It ended with exit code {state.exit_code} before it was ready."


def new_name() -> str:
    """A name for a container that nobody can guess."""
    return f"callbroker-{secrets.token_hex(8)}"
