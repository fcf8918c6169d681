"""An agent finds, watches and takes back its own invocations; another's are not there.

What is read here was recorded before: while the store is away, whoever waits for an end is told how
the call stood when it was last seen.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from broker.core.calls import Invocation, Session
from broker.core.credentials import Credential
from broker.core.errors import IllegalTransition, NotFound, StoreUnavailable
from broker.core.hold_endings import WITHDRAWN, unit_of
from broker.core.lifecycle import TERMINAL, HoldState, InvocationState
from broker.core.unit import Conflict
from broker.events import Events, Subscription
from broker.ports import Clock, Store

_NO_INVOCATION = "There is no such invocation."
_LOOK_AGAIN_S = 1.0
LOOKS_PER_S: Final = 256
"""Of all who wait together, however many: a change is told, and this is for one that went unheard.
Waiting costs whoever asks nothing, and each look costs the broker a read."""
_WITHDRAW_ATTEMPTS_MAX = 5


class Invocations:
    """Decided calls, as their agents see them."""

    def __init__(self, *, store: Store, events: Events, clock: Clock) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._is_stopping = False
        self._waiting = 0

    def answer_waiters(self) -> None:
        """From now on nobody waits here for people: whoever does is told that it is HELD."""
        self._is_stopping = True
        self._events.resync()

    async def find(self, agent: Credential, name: str) -> Invocation:
        """One of this agent's invocations.

        Raises:
            NotFound: absent, another agent's, or what the broker itself asked beforehand.
        """
        invocation = await self._store.find_invocation(name)
        if invocation is None or invocation.agent != agent.subject or invocation.is_preview:
            raise NotFound(_NO_INVOCATION)
        if agent.acting_for is not None:
            session = await self._store.find_session(invocation.session)
            if session is None or not is_of(agent, session):
                raise NotFound(_NO_INVOCATION)
        return invocation

    async def watch(self, agent: Credential, name: str) -> AsyncIterator[Invocation]:
        """The invocation now and after each change, until nothing more can come of itself."""
        with self._following(name) as changes:
            etag = 0
            while True:
                invocation = await self.find(agent, name)
                if invocation.etag != etag:
                    etag = invocation.etag
                    yield invocation
                if is_settled(invocation.state):
                    return
                await changes.next(self._look_again_s())

    async def wait(
        self,
        invocation: Invocation,
        *,
        wait_s: float,
        unless: Callable[[], bool] = lambda: False,
    ) -> Invocation:
        """The invocation once it is settled, or as it was last seen when the time is up.

        `unless`: it is looked at about once a second, where not many wait, and nothing is waited
        for once it is so.

        What the agent's own process is to execute waits for that, and not the other way round.
        While the broker stops, what waits for people is not waited for.
        """
        with self._following(invocation.name) as changes:
            try:
                async with asyncio.timeout(wait_s):
                    while self._is_awaited(invocation) and not unless():
                        found = await self._store.find_invocation(invocation.name)
                        invocation = found or invocation
                        if not self._is_awaited(invocation):
                            break
                        await changes.next(self._look_again_s())
            except (TimeoutError, StoreUnavailable):
                # Decided and recorded it is: that cannot be asked just now is no error of the call.
                pass
        return invocation

    @contextlib.contextmanager
    def _following(self, name: str) -> Iterator[Subscription]:
        """Hear of its changes while the block runs, as one more who waits."""
        self._waiting += 1
        try:
            with self._events.subscribe("invocation", name) as changes:
                yield changes
        finally:
            self._waiting -= 1

    def _look_again_s(self) -> float:
        return max(_LOOK_AGAIN_S, self._waiting / LOOKS_PER_S)

    def _is_awaited(self, invocation: Invocation) -> bool:
        if self._is_stopping and invocation.state is InvocationState.HELD:
            return False
        return not _is_over(invocation)

    async def cancel(self, agent: Credential, name: str) -> Invocation:
        """Take a held call back.

        Raises:
            NotFound: absent, or another agent's.
            IllegalTransition: it is not held any more.
        """
        invocation = await self.find(agent, name)
        for _ in range(_WITHDRAW_ATTEMPTS_MAX):
            if invocation.state is not InvocationState.HELD:
                break
            await self.withdraw(invocation.hold, actor=agent.subject)
            invocation = await self.find(agent, name)
        if invocation.state is not InvocationState.CANCELLED:
            raise IllegalTransition(
                f"The call is {invocation.state} and cannot be taken back.",
                metadata={"state": invocation.state},
            )
        return invocation

    async def withdraw(self, hold_name: str, *, actor: str) -> bool:
        """Take one open hold back and cancel its invocation; False where it moved in between."""
        found = await self._store.find_hold(hold_name)
        if found is None or found[0].state not in {HoldState.PENDING, HoldState.APPROVED}:
            return False
        hold = found[0]
        invocation = await self._store.find_invocation(hold.invocation)
        if invocation is None or invocation.state is not InvocationState.HELD:
            return False
        try:
            await self._store.commit(
                unit_of(hold, invocation, WITHDRAWN, actor=actor, at=self._clock())
            )
        except Conflict:
            return False
        self._events.publish("hold", hold.name)
        self._events.publish("invocation", invocation.name)
        return True

    async def withdraw_all(self, session: str, *, actor: str) -> None:
        """Take back whatever waits in a session that is over, however its holds move meanwhile."""
        for _ in range(_WITHDRAW_ATTEMPTS_MAX):
            holds = await self._store.open_holds_of(session)
            withdrawn = [await self.withdraw(hold.name, actor=actor) for hold in holds]
            if all(withdrawn):
                return


def is_settled(state: InvocationState) -> bool:
    """Nothing more happens to it by itself."""
    return state in TERMINAL or state is InvocationState.UNKNOWN


def _is_over(invocation: Invocation) -> bool:
    return is_settled(invocation.state) or invocation.is_with_caller


def is_of(agent: Credential, session: Session) -> bool:
    """Whether it is the agent's; by a token that names whom it acts for, only where that is so."""
    acting_for = agent.acting_for
    return session.agent.id == agent.subject and acting_for in {None, session.principal.person}
