"""Whoever should know of a hold is told, over each channel by itself; no decision waits for it.

What is to be told is found in the store, not handed over: a hold of which a channel has no row has
not been told there, whatever crashed in between. A row is moved after the message was taken in, so
it may come twice and is never lost; of one call, in order. A channel that fails pauses, longer each
time, and the others do not notice. What is given up is an entry in the log.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from broker.core.audit import EntryDraft, EntryKind
from broker.core.errors import BrokerError
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.notices import (
    DIGEST_EVENT,
    FOR_AGENTS,
    FOR_PEOPLE,
    LISTED_MAX,
    AddNotices,
    AgentMessage,
    DropNotices,
    MoveNotices,
    Notice,
    NoticeState,
    PeopleMessage,
    for_agents,
    for_people,
    is_hopeless,
    message_id,
    pause_s,
    waiting,
)
from broker.core.unit import Unit
from broker.events import Events, Topic
from broker.ports import Clock, Store
from broker.ports.notifying import Channel, ChannelView, NotDelivered, Notices, NoticeSeen

_log = structlog.get_logger(__name__)

TURN_INTERVAL_S: Final = 0.25
IDLE_S: Final = 15.0
LOOK_AT_ALL_S: Final = 60.0
LOOK_BACK_S: Final = 120.0
"""A hold may be stored later than its name says, but by no more than this."""
LOOK_FAR_BACK_S: Final = 3600.0
KEPT_FOR_S: Final = 30 * 86_400.0
PAGE: Final = 100
BREATH_S: Final = 0.02
"""Between two pages of many: decisions have the store for themselves."""
DUE_MAX: Final = 20_000
AT_ONCE: Final = 8
_RETRY_S: Final = 1.0
_DEFECT_RETRY_S: Final = 30.0
_STAND_BY_S: Final = 2.0


@dataclass(slots=True, kw_only=True)
class Teller:
    """One channel's work.

    Attributes:
        address: where the review pages are; asked with each message. Empty where there are none.
        chance: 0 to 1, anew each time.
        is_mine: whether this broker is the one of several that tells.
    """

    channel: Channel
    store: Store
    notices: Notices
    events: Events
    clock: Clock
    address: Callable[[], str]
    chance: Callable[[], float] = random.random
    is_mine: Callable[[], bool] = lambda: True
    told_at: float = 0.0
    problem: str = ""
    _failures: int = 0
    _not_before: float = 0.0
    _looked_at_all: float = field(default=float("-inf"))

    async def run(self) -> None:
        """For ever. Ends by cancellation."""
        topic: Topic = "invocation" if self.channel.is_for_agents else "hold"
        with self.events.subscribe(topic) as names:
            while True:
                try:
                    # Of several brokers one tells; the others stand by.
                    wait_s = await self.turn() if self.is_mine() else _STAND_BY_S
                except BrokerError as error:
                    _log.warning("notices_wait", channel=self.channel.name, why=str(error))
                    wait_s = _RETRY_S
                except Exception:  # noqa: BLE001 - a defect in one channel leaves the others be
                    _log.exception("notices_failed", channel=self.channel.name)
                    wait_s = _DEFECT_RETRY_S
                await asyncio.sleep(TURN_INTERVAL_S)  # what comes in a burst is seen at once
                await names.next(max(0.0, wait_s - TURN_INTERVAL_S))

    async def turn(self) -> float:
        """Find what is to be told, and tell it.

        Returns:
            After how many seconds to look again, even if nothing happens.
        """
        await self._find(self.clock())
        if self.channel.is_for_agents:
            await self._find_endings()
        if self.clock() >= self._not_before:
            await self._tell()
        due_at = await self.notices.next_notice_due(self.channel.name)
        if due_at is None:
            return IDLE_S
        return min(IDLE_S, max(due_at, self._not_before) - self.clock())

    async def view(self) -> ChannelView:
        """How it does."""
        return ChannelView(
            name=self.channel.name,
            kind=self.channel.kind,
            target=self.channel.target,
            tally=await self.notices.notice_tally(self.channel.name, now=self.clock()),
            problem=self.problem,
            told_at=self.told_at,
        )

    async def _find(self, now: float) -> None:
        """Make rows of holds that have none: of the newest ones, and now and then of all."""
        is_whole = now - self._looked_at_all >= LOOK_AT_ALL_S or now < self._looked_at_all
        since = now - LOOK_BACK_S
        if is_whole and self.channel.is_for_agents:
            last = await self.notices.newest_hold_told(self.channel.name, FOR_AGENTS[0])
            since = min(since, last - LOOK_FAR_BACK_S) if last else now
        if self.channel.is_for_agents:
            await self._add(since=since, is_pending=False, now=now)
        if is_whole or not self.channel.is_for_agents:
            await self._add(since=0.0 if is_whole else since, is_pending=True, now=now)
        if is_whole:
            await self._commit(DropNotices(created_before=now - KEPT_FOR_S))
            self._looked_at_all = now

    async def _add(self, *, since: float, is_pending: bool, now: float) -> None:
        event = FOR_AGENTS[0] if self.channel.is_for_agents else FOR_PEOPLE[0]
        after = ""
        while True:
            holds = await self.notices.holds_untold(
                self.channel.name,
                event,
                since=since,
                is_pending=is_pending,
                after=after,
                page_size=PAGE,
            )
            make = for_agents if self.channel.is_for_agents else for_people
            made = [
                notice
                for hold in holds
                if self._is_for(hold)
                for notice in make(self.channel.name, hold, self.channel.events, now=now)
            ]
            if made:
                await self._commit(AddNotices(notices=tuple(made)))
            if len(holds) < PAGE:
                return
            await asyncio.sleep(BREATH_S)
            after = holds[-1].name

    def _is_for(self, hold: Hold) -> bool:
        if self.channel.is_for_agents:
            return hold.agent.id in self.channel.agents
        reviewers = {group for r in hold.requirements for group in r.terms.reviewers}
        return not self.channel.groups or bool(reviewers & set(self.channel.groups))

    async def _find_endings(self) -> None:
        while numbers := await self.notices.notices_come_about(self.channel.name, notices_max=PAGE):
            await self._commit(
                MoveNotices(numbers=tuple(numbers), state=NoticeState.DUE, due_at=self.clock())
            )
            if len(numbers) < PAGE:
                return

    async def _tell(self) -> None:
        seen = await self._due()
        if self.channel.is_for_agents:
            await self._tell_agents(seen)
            return
        open_states = {HoldState.PENDING, HoldState.APPROVED}
        await self._move([s.notice for s in seen if s.hold_state not in open_states], _MOOT)
        # What is approved may be taken back, and waits again: neither told nor moot.
        ready = [s.notice for s in seen if s.hold_state is HoldState.PENDING]
        if len(ready) > self.channel.together_above:
            await self._tell_people(ready)
            return
        for notice in ready:
            if not await self._tell_people([notice]):
                return

    async def _due(self) -> Sequence[NoticeSeen]:
        """What is due, in order, as much as is told in one go."""
        found: list[NoticeSeen] = []
        while len(found) < DUE_MAX:
            page = await self.notices.notices_due(
                self.channel.name,
                now=self.clock(),
                after=found[-1].notice.number if found else 0,
                notices_max=PAGE,
            )
            found += page
            if len(page) < PAGE:
                break
            await asyncio.sleep(BREATH_S)
        return found

    async def _tell_people(self, notices: Sequence[Notice]) -> bool:
        """Tell of these in one message; whether the channel goes on."""
        now = self.clock()
        listed = []
        for notice in notices[:LISTED_MAX]:
            found = await self.store.find_hold(notice.hold)
            if found is not None:
                listed.append(waiting(found[0], link=self._link(notice.hold), now=now))
        first = notices[0]
        message = PeopleMessage(
            id=first.id if len(notices) == 1 else _id_of(notices),
            event=first.event.value if len(notices) == 1 else DIGEST_EVENT,
            at=now,
            waiting=tuple(listed),
            count=len(notices),
            link=f"{self.address()}/" if self.address() else "",
        )
        try:
            await self.channel.messenger.send(message)
        except NotDelivered as refused:
            # Of many the first ones stand for all: the channel's pause is theirs, too.
            await self._failed(notices[:LISTED_MAX], refused)
            return not refused.is_channel
        self._worked(now)
        await self._move(notices, NoticeState.SENT)
        return True

    async def _tell_agents(self, seen: Sequence[NoticeSeen]) -> None:
        for start in range(0, len(seen), AT_ONCE):
            some = seen[start : start + AT_ONCE]
            tried = await asyncio.gather(*(self._tell_agent(one) for one in some))
            told = [s.notice for s, refused in zip(some, tried, strict=True) if refused is None]
            await self._move(told, NoticeState.SENT)
            failed = [(s.notice, r) for s, r in zip(some, tried, strict=True) if r is not None]
            if told:
                self._worked(self.clock())
            for notice, refused in failed:
                await self._failed([notice], refused, is_first=notice is failed[0][0])
            if any(refused.is_channel for _, refused in failed):
                return

    async def _tell_agent(self, seen: NoticeSeen) -> NotDelivered | None:
        is_held = seen.notice.event is FOR_AGENTS[0]
        is_over = seen.invocation_state is not InvocationState.HELD
        message = AgentMessage(
            id=seen.notice.id,
            event=seen.notice.event.value,
            at=self.clock(),
            invocation=seen.notice.invocation,
            state="HELD" if is_held else seen.invocation_state.value,
            code="" if is_held and is_over else seen.invocation_code,
        )
        try:
            await self.channel.messenger.send(message)
        except NotDelivered as refused:
            return refused
        return None

    def _worked(self, now: float) -> None:
        self.problem, self._failures, self.told_at = "", 0, now
        self._not_before = now + self.channel.interval_s

    async def _failed(
        self, notices: Sequence[Notice], refused: NotDelivered, *, is_first: bool = True
    ) -> None:
        now = self.clock()
        self.problem = refused.problem
        self._failures += is_first
        attempts = max(n.attempts for n in notices) + 1
        # Of many only the first ones are marked: the others must not be tried at once instead.
        is_channel = refused.is_channel or len(notices) > 1
        pause = pause_s(self._failures if is_channel else attempts, self.chance())
        if is_channel:
            self._not_before = max(self._not_before, now + pause)
        _log.warning(
            "notice_not_told",
            channel=self.channel.name,
            problem=refused.problem,
            count=len(notices),
            again_in_s=round(pause, 1),
        )
        ended = [n for n in notices if refused.is_final or is_hopeless(n, now=now)]
        later = [n for n in notices if n not in ended]
        if later:
            await self._commit(
                MoveNotices(
                    numbers=tuple(n.number for n in later),
                    state=NoticeState.DUE,
                    due_at=now + pause,
                    attempts_more=1,
                    problem=refused.problem,
                )
            )
        if ended:
            await self._give_up(ended, refused.problem)

    async def _give_up(self, notices: Sequence[Notice], problem: str) -> None:
        _log.error("notices_given_up", channel=self.channel.name, count=len(notices), why=problem)
        given_up = MoveNotices(
            numbers=tuple(n.number for n in notices),
            state=NoticeState.DEAD,
            due_at=self.clock(),
            attempts_more=1,
            problem=problem,
        )
        entry = EntryDraft(
            kind=EntryKind.NOTICES_GIVEN_UP,
            at=self.clock(),
            actor="broker",
            body={
                "channel": self.channel.name,
                "problem": problem,
                "notices": [{"event": n.event.value, "about": n.subject} for n in notices],
            },
        )
        await self.store.commit(Unit(changes=(given_up,), entries=(entry,)))

    async def _move(self, notices: Sequence[Notice], state: NoticeState) -> None:
        """A page at a time: a decision waits for no long write."""
        for start in range(0, len(notices), PAGE):
            numbers = tuple(n.number for n in notices[start : start + PAGE])
            await self._commit(MoveNotices(numbers=numbers, state=state, due_at=self.clock()))
            await asyncio.sleep(0 if len(notices) <= PAGE else BREATH_S)

    async def _commit(self, change: AddNotices | MoveNotices | DropNotices) -> None:
        await self.store.commit(Unit(changes=(change,), entries=()))

    def _link(self, hold: str) -> str:
        return f"{self.address()}/{hold}" if self.address() else ""


_MOOT: Final = NoticeState.MOOT


class Notifying:
    """All channels."""

    def __init__(self, tellers: Sequence[Teller]) -> None:
        self._tellers = tuple(tellers)

    async def run(self) -> None:
        """For ever. Ends by cancellation, and waits for nobody then: what was not told is due."""
        async with asyncio.TaskGroup() as tasks:
            for teller in self._tellers:
                tasks.create_task(teller.run())

    async def views(self) -> tuple[ChannelView, ...]:
        """How each channel does, in the order of the settings."""
        return tuple([await teller.view() for teller in self._tellers])

    async def close(self) -> None:
        """Give up connections."""
        for teller in self._tellers:
            with contextlib.suppress(OSError):
                await teller.channel.messenger.close()


def _id_of(notices: Sequence[Notice]) -> str:
    return message_id(*(notice.id for notice in notices))
