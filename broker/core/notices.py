"""What is told of a hold outside of the broker is in the broker's words: tool, code, age and link.

Nothing that an agent, a tool or a stranger wrote is in a notice, so it can neither act nor deceive
wherever it is read, and whoever reads it has learnt nothing about the user. A link only ever opens
the page. The agent's side is told that something has moved, and asks for what it is.

Each notice is a row until it is told, or has become moot, or was given up. One that may have been
told is told again rather than never: its id stays, by which a receiver knows it.
"""

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from broker.core.holds import Hold
from broker.core.lifecycle import TERMINAL, HoldState, InvocationState
from broker.core.text import visible

ATTEMPTS_MAX: Final = 20
KEPT_S: Final = 24 * 3600.0
BACKOFF_S_MAX: Final = 3600.0
REMIND_AFTER_S_MIN: Final = 60.0
LISTED_MAX: Final = 20
CHARACTERS_MAX: Final = 100
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


class NoticeEvent(enum.StrEnum):
    """What there is to tell: the first two to people, the others to the agent's side."""

    HOLD_OPENED = "hold.opened"
    HOLD_REMINDER = "hold.reminder"
    INVOCATION_HELD = "invocation.held"
    INVOCATION_ENDED = "invocation.ended"


class NoticeState(enum.StrEnum):
    """Where a notice is."""

    WAITING = "WAITING"  # for what it tells to come about
    DUE = "DUE"
    SENT = "SENT"
    MOOT = "MOOT"  # what it would have told is over
    DEAD = "DEAD"  # given up


FOR_PEOPLE: Final = (NoticeEvent.HOLD_OPENED, NoticeEvent.HOLD_REMINDER)
FOR_AGENTS: Final = (NoticeEvent.INVOCATION_HELD, NoticeEvent.INVOCATION_ENDED)

# UNKNOWN is no end, but all that an agent hears before a person has looked.
TOLD_AS_ENDED: Final = TERMINAL | {InvocationState.UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to be told over one channel.

    Attributes:
        number: its place in the order of all notices; 0 before it is stored.
        subject: what makes it one of its kind: the hold, or for an ending the invocation.
        due_at: not before, POSIX seconds.
        problem: why it could not be told when that was last tried.
    """

    channel: str
    event: NoticeEvent
    subject: str
    hold: str
    invocation: str
    state: NoticeState
    created_at: float
    due_at: float
    attempts: int = 0
    problem: str = ""
    number: int = 0

    @property
    def id(self) -> str:
        """The same however often it is told: a receiver knows one that came twice."""
        return message_id(self.channel, self.event, self.subject)


def message_id(*parts: str) -> str:
    """One name for what these name together, as Standard Webhooks write it."""
    text = "\n".join(parts)
    return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNotices:
    """New notices; one that is there already, by channel, event and subject, stays as it is."""

    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveNotices:
    """Those of these numbers that are neither told nor given up become so, or wait longer."""

    numbers: tuple[int, ...]
    state: NoticeState
    due_at: float = 0.0
    attempts_more: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropNotices:
    """What is done with, was made before `created_before`, and is of a hold that is over, goes."""

    created_before: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One hold in words for people."""

    hold: str
    tool: str
    codes: tuple[str, ...]
    age_s: int
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleMessage:
    """That one or several calls wait.

    Attributes:
        waiting: at most LISTED_MAX of them, oldest first.
        count: how many there are.
        link: of the queue.
    """

    id: str
    event: str
    at: float
    waiting: tuple[Waiting, ...]
    count: int
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMessage:
    """That a call waits, or has ended. What came of it, the host asks for."""

    id: str
    event: str
    at: float
    invocation: str
    state: str
    code: str


Message = PeopleMessage | AgentMessage

DIGEST_EVENT: Final = "holds.waiting"


def for_people(
    channel: str, hold: Hold, events: Sequence[NoticeEvent], *, now: float
) -> tuple[Notice, ...]:
    """What a hold that waits gives people to be told: that it does, and once more half-way."""
    told = [
        _notice(channel, NoticeEvent.HOLD_OPENED, hold, now=now, is_asked=_OPENED in events),
    ]
    half_way = hold.created_at + (hold.decide_by - hold.created_at) / 2
    is_worth_it = half_way - hold.created_at >= REMIND_AFTER_S_MIN and now < half_way
    if NoticeEvent.HOLD_REMINDER in events and is_worth_it:
        told.append(
            _notice(channel, NoticeEvent.HOLD_REMINDER, hold, now=now, due_at=half_way),
        )
    return tuple(told)


def for_agents(
    channel: str, hold: Hold, events: Sequence[NoticeEvent], *, now: float
) -> tuple[Notice, ...]:
    """What a hold gives the agent's side to be told: that its call waits, and later, that it ended.

    That it waits is told only while it does; where nobody wants it, it is a row all the same, by
    which the hold is known.
    """
    is_open = hold.state in {HoldState.PENDING, HoldState.APPROVED}
    held = NoticeEvent.INVOCATION_HELD
    told = [_notice(channel, held, hold, now=now, is_asked=held in events and is_open)]
    if NoticeEvent.INVOCATION_ENDED in events:
        told.append(
            Notice(
                channel=channel,
                event=NoticeEvent.INVOCATION_ENDED,
                subject=hold.invocation,
                hold=hold.name,
                invocation=hold.invocation,
                state=NoticeState.WAITING,
                created_at=now,
                due_at=now,
            )
        )
    return tuple(told)


def waiting(hold: Hold, *, link: str, now: float) -> Waiting:
    """A hold in the broker's words."""
    return Waiting(
        hold=hold.name,
        tool=visible(hold.tool, characters_max=CHARACTERS_MAX),
        codes=tuple(
            visible(one, characters_max=CHARACTERS_MAX)
            for one in dict.fromkeys(r.code for r in hold.requirements)
        ),
        age_s=max(0, round(now - hold.created_at)),
        link=link,
    )


def pause_s(attempts: int, chance: float) -> float:
    """How long to wait after so many failures, seconds: doubling, bounded, and never in step.

    Args:
        attempts: that failed, 1 or more.
        chance: 0 to 1, anew each time.
    """
    return float(min(2.0 ** min(attempts - 1, 20), BACKOFF_S_MAX)) * (0.5 + chance / 2)


def is_hopeless(notice: Notice, *, now: float) -> bool:
    """Whether one more failure is the last: tried often enough, or for a day."""
    return notice.attempts + 1 >= ATTEMPTS_MAX or now - notice.created_at >= KEPT_S


def age(seconds: int) -> str:
    """An age for people: `45 s`, `12 min`, `3 h`, `2 days`."""
    if seconds < _MINUTE_S:
        return f"{seconds} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S} h"
    return f"{seconds // _DAY_S} days"


_OPENED: Final = NoticeEvent.HOLD_OPENED


def _notice(
    channel: str,
    event: NoticeEvent,
    hold: Hold,
    *,
    now: float,
    due_at: float | None = None,
    is_asked: bool = True,
) -> Notice:
    return Notice(
        channel=channel,
        event=event,
        subject=hold.name,
        hold=hold.name,
        invocation=hold.invocation,
        state=NoticeState.DUE if is_asked else NoticeState.MOOT,
        created_at=now,
        due_at=now if due_at is None else due_at,
    )
