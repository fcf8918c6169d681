"""Tools that cannot move: the agent's own process executes, on a permit, and says how it ended.

A permit is for one attempt of one frozen call. It is made once the call is recorded as RUNNING and
goes to the one process that asked for it as its taker, and to no other however often that one asks.
What nobody took never began; what was taken counts as said, once, by whoever shows the permit
before its end, and is lost otherwise. What is said is the agent's word, and is marked as that.

The permit's token is made of the attempt and of a key that the brokers over one database have: each
of them knows it when it is shown, and none has kept it.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from broker.core import freezes, limits
from broker.core.arguments import JsonValue
from broker.core.caller_word import BY_AGENT
from broker.core.calls import Invocation
from broker.core.control import Control
from broker.core.errors import IllegalTransition, LimitExceeded
from broker.core.manifest import ToolManifest
from broker.ports import Asker, Clock, Failed, FrozenCall, Lost, NeverStarted, Outcome, Succeeded
from broker.tools.reports import digest_of

_REMEMBERED_MAX: Final = 4_096
_OPEN_WITHIN_S: Final = 1.0
_KEY_BYTES: Final = 32

REPORT: Final = "report"
"""Of the trail: the keyed digest of the report that counted, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What lets the agent's process execute one call.

    Attributes:
        call: exactly this; its fencing token is the permit's secret.
        expires_at: POSIX seconds. What is said later changes nothing.
        ends_at: the same by the loop's clock, which nobody sets.
    """

    call: FrozenCall
    expires_at: float
    ends_at: float

    def left_s(self) -> float:
        """Seconds for which its word is waited for; negative once it is not."""
        return self.ends_at - asyncio.get_running_loop().time()


@dataclass(slots=True, eq=False)
class OpenPermit:
    """One whose call is RUNNING here.

    Attributes:
        taker: of the one process that has it; empty while nobody has.
        said: keyed digest of the report that counted; empty before.
        recorded: set once its outcome is stored.
    """

    permit: Permit
    outcome: "asyncio.Future[Outcome]"
    taker: str = ""
    said: bytes = b""
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    recorded: asyncio.Event = field(default_factory=asyncio.Event)


class CallerHub:
    """All permits of this broker (`ports.Runner`).

    Attributes:
        last_look: what is done before a permit that was taken ends in silence: have no other broker
            take a word any more, and count what one has taken.
    """

    def __init__(
        self,
        *,
        control: Callable[[], Control],
        clock: Clock,
        key: bytes = b"",
        of_session_max: int = limits.PERMITS_OF_SESSION_MAX,
        of_agent_max: int = limits.PERMITS_OF_AGENT_MAX,
        take_within_s: float = limits.PERMIT_TAKE_S,
    ) -> None:
        """Make one.

        Args:
            control: what is in force.
            clock: POSIX seconds.
            key: which tokens are made of; where none is given, one that nobody else has.
            of_session_max: permits that one session may have open.
            of_agent_max: permits that all sessions of one agent may have open.
            take_within_s: how long a permit waits for its taker.
        """
        self._control = control
        self._clock = clock
        self._key = key or secrets.token_bytes(_KEY_BYTES)
        self.last_look: Callable[[OpenPermit], Awaitable[None]] = _seen_by_nobody
        self._of_session_max = of_session_max
        self._of_agent_max = of_agent_max
        self._take_within_s = take_within_s
        self._waiting: Counter[Asker] = Counter()
        self._places: Counter[str] = Counter()
        self._places_of_agent: Counter[str] = Counter()
        self._open: dict[str, OpenPermit] = {}
        self._over: OrderedDict[str, None] = OrderedDict()
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def present(self, asker: Asker) -> Iterator[None]:
        """While the block runs, a process of the agent's waits to execute this call."""
        self._waiting[asker] += 1
        try:
            yield
        finally:
            self._waiting[asker] -= 1
            if not self._waiting[asker]:
                del self._waiting[asker]

    @property
    def is_waited_at(self) -> bool:
        """Whether a process waits to execute any call."""
        return bool(self._waiting)

    def is_awaited(self, session: str, request_id: str) -> bool:
        """Whether a process waits to execute this call."""
        return Asker(session=session, request_id=request_id) in self._waiting

    async def reserve(
        self,
        manifest: ToolManifest,
        *,
        profile: str = "",
        wait_s: float = 0.0,
        asker: Asker | None = None,
    ) -> "CallerSlot":
        """Keep a place for a call whose asker is there; nobody is waited for.

        Raises:
            IllegalTransition: no process of the agent's waits to execute it.
            LimitExceeded: its session or agent has as many permits open as one may.
        """
        del profile, wait_s
        if asker is None or asker not in self._waiting:
            raise IllegalTransition(
                f"{manifest.name} is executed by the agent's own process, and none waits to: ask"
                " as the taker of its permit.",
                metadata={"tool": manifest.name},
            )
        if self._places[asker.session] >= self._of_session_max:
            raise LimitExceeded(
                f"A session has at most {self._of_session_max} permits open.",
                metadata={"tool": manifest.name},
            )
        if self._places_of_agent[asker.agent] >= self._of_agent_max:
            raise LimitExceeded(
                f"An agent has at most {self._of_agent_max} permits open.",
                metadata={"tool": manifest.name},
            )
        self._places[asker.session] += 1
        self._places_of_agent[asker.agent] += 1
        return CallerSlot(hub=self, asker=asker)

    def open(self, call: FrozenCall) -> OpenPermit:
        """Make the permit of a call that is recorded as RUNNING."""
        call = replace(call, fencing_token=self._token_of(call.invocation))
        loop = asyncio.get_running_loop()
        permit = Permit(
            call=call,
            expires_at=self._clock() + call.deadline_s,
            ends_at=loop.time() + call.deadline_s,
        )
        opened = OpenPermit(permit=permit, outcome=loop.create_future())
        self._open[call.invocation.name] = opened
        self._tell()
        return opened

    async def outcome(self, opened: OpenPermit) -> Outcome:
        """Wait for the permit's taker, and for its taker's word; returns by its end."""
        call = opened.permit.call
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._take_within_s, call.deadline_s)):
                    await opened.taken.wait()
            if not opened.taken.is_set():
                return NeverStarted(why="nobody took the permit")
            await asyncio.wait({opened.outcome}, timeout=max(opened.permit.left_s(), 0.0))
            if not opened.outcome.done():
                await self.last_look(opened)
            if opened.outcome.done():
                return opened.outcome.result()
            why = "nothing was reported before the permit's end"
            return Lost(why=why, trail=self._frozen(call.invocation))
        finally:
            self._close(opened)

    async def opened(self, invocation: str) -> OpenPermit | None:
        """The permit of a RUNNING call; waits for a moment, since it is opened after the record."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OPEN_WITHIN_S):
                while invocation not in self._open and invocation not in self._over:
                    changed = self._changed
                    await changed.wait()
        return self._open.get(invocation)

    def find(self, invocation: str) -> OpenPermit | None:
        """The permit, if it is open here."""
        return self._open.get(invocation)

    def take(self, opened: OpenPermit, taker: str) -> Permit | None:
        """Give it to the first taker, and again to that one alone.

        Returns:
            None where another process has it, a freeze came first, or it is over.
        """
        if self.find(opened.permit.call.invocation.name) is not opened:
            return None
        if opened.taken.is_set():
            is_its = hmac.compare_digest(opened.taker.encode(), taker.encode())
            return opened.permit if is_its and not opened.outcome.done() else None
        invocation = opened.permit.call.invocation
        freeze = freezes.covering_call(self._control().freezes, invocation, now=self._clock())
        if freeze is not None:
            self.withdraw(opened, why=f"frozen: {freeze.name}")
            return None
        opened.taker = taker
        opened.taken.set()
        return opened.permit

    def withdraw(self, opened: OpenPermit, *, why: str) -> None:
        """Nobody has it yet, and nobody shall: the call never began."""
        if not opened.taken.is_set():
            opened.outcome.set_result(NeverStarted(why=why))
            opened.taken.set()

    def is_of(self, opened: OpenPermit, token: str) -> bool:
        """Whether this is the token of a permit that somebody has."""
        expected = opened.permit.call.fencing_token
        return opened.taken.is_set() and hmac.compare_digest(expected.encode(), token.encode())

    def knows(self, invocation: Invocation, token: str) -> bool:
        """Whether this is the token of this attempt: one that was given, here or elsewhere."""
        expected = self._token_of(invocation)
        return hmac.compare_digest(expected.encode(), token.encode())

    def is_written(self, invocation: Invocation, body: bytes, said: bytes) -> bool:
        """Whether a report that was kept was said with the token of this attempt."""
        return hmac.compare_digest(digest_of(body, self._token_of(invocation)), said)

    def count(
        self, opened: OpenPermit, outcome: Outcome, *, said: bytes, meanwhile: str = ""
    ) -> bool:
        """Count what its taker says, once; False where something else was said before.

        Args:
            opened: whose token was shown.
            outcome: what follows from the report.
            said: keyed digest of the report.
            meanwhile: what has ended since the permit was taken, for the entry.
        """
        if opened.outcome.done():
            return opened.said == said
        opened.said = said
        invocation = opened.permit.call.invocation
        marked = self.marked(invocation, outcome, said=said, meanwhile=meanwhile)
        opened.outcome.set_result(marked)
        return True

    def marked(
        self, invocation: Invocation, outcome: Outcome, *, said: bytes, meanwhile: str
    ) -> Outcome:
        """The outcome as the agent's word, with what the entry is to say of it."""
        ended: Mapping[str, JsonValue] = {"ended_meanwhile": meanwhile} if meanwhile else {}
        trail = {"reported_by": BY_AGENT, REPORT: said.hex(), **self._frozen(invocation), **ended}
        match outcome:
            case Succeeded() | Failed() | Lost():
                return replace(outcome, trail=trail)
            case NeverStarted():
                return outcome

    def acknowledged(self, opened: OpenPermit) -> None:
        """Its outcome is stored."""
        opened.recorded.set()

    def left(self, asker: Asker) -> None:
        """A place is given back."""
        for places, name in (
            (self._places, asker.session),
            (self._places_of_agent, asker.agent),
        ):
            places[name] -= 1
            if not places[name]:
                del places[name]
        self._tell()

    def _token_of(self, invocation: Invocation) -> str:
        """What shows that one was given the permit of this attempt."""
        of = "\0".join(("permit", invocation.name, str(invocation.attempt), invocation.owner))
        token = hmac.digest(self._key, of.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(token).decode().rstrip("=")

    def _frozen(self, invocation: Invocation) -> Mapping[str, JsonValue]:
        """The freeze that came when nobody could be stopped any more, if one did."""
        now = self._clock()
        freeze = freezes.covering_call(self._control().freezes, invocation, now=now)
        return {"frozen_meanwhile": freeze.name} if freeze else {}

    def _close(self, opened: OpenPermit) -> None:
        """What is said from here on is late."""
        name = opened.permit.call.invocation.name
        self._open.pop(name, None)
        self._over[name] = None
        while len(self._over) > _REMEMBERED_MAX:
            self._over.popitem(last=False)

    def _tell(self) -> None:
        """Wake whoever waits for a permit to be opened."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


@dataclass(slots=True, eq=False)
class CallerSlot:
    """A place for one permit of a session and its agent (`ports.Slot`)."""

    hub: CallerHub
    asker: Asker
    _released: bool = False
    _opened: OpenPermit | None = None

    async def run(self, call: FrozenCall) -> Outcome:
        """Open the permit, and wait for the agent's word until its end."""
        self._opened = self.hub.open(call)
        return await self.hub.outcome(self._opened)

    def release(self) -> None:
        """Give the place back."""
        if not self._released:
            self._released = True
            self.hub.left(self.asker)

    def acknowledge(self) -> None:
        """The outcome is recorded; whoever said it is told."""
        if self._opened is not None:
            self.hub.acknowledged(self._opened)


async def _seen_by_nobody(opened: OpenPermit) -> None:
    """There is no other broker."""
