"""How something is told outside, and what the store knows of what is yet to be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.notices import Message, Notice, NoticeEvent


class NotDelivered(Exception):
    """Nobody has taken the message in, or that is not known.

    Attributes:
        problem: in the broker's words: never what the other side said, never a secret.
        is_channel: whether any other message would have fared alike, so that the channel pauses.
        is_final: whether to try this one again is pointless.
    """

    def __init__(self, problem: str, *, is_channel: bool = True, is_final: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_channel = is_channel
        self.is_final = is_final


class Messenger(Protocol):
    """One way out."""

    async def send(self, message: Message) -> None:
        """Have a message taken in, within a deadline of its own.

        Raises:
            NotDelivered: it was not, or that is not known.
        """
        ...

    async def close(self) -> None:
        """Give up connections. Afterwards nothing is sent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Whom to tell what, and by whom.

    Attributes:
        name: of the settings; what is to be told is kept by it.
        kind: `webhook`, `mail` or `agent_webhook`.
        target: where to, without secrets.
        groups: only holds that one of these may decide on; empty: all.
        agents: only calls of these; for an `agent_webhook`.
        together_above: from how many at once on they are one message.
        interval_s: the least between two messages that worked, seconds.
    """

    name: str
    kind: str
    target: str
    messenger: Messenger
    events: tuple[NoticeEvent, ...]
    groups: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    together_above: int = 0
    interval_s: float = 0.0

    @property
    def is_for_agents(self) -> bool:
        """Whether the agent's side listens, and not people."""
        return bool(self.agents)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSeen:
    """A notice with where its hold and its call are now."""

    notice: Notice
    hold_state: HoldState
    invocation_state: InvocationState
    invocation_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeTally:
    """Of one channel: how many are due by now, told and given up; since when the oldest is due."""

    due: int = 0
    sent: int = 0
    dead: int = 0
    oldest_due_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelView:
    """How a channel does.

    Attributes:
        problem: why the last attempt failed; empty where it worked, or there was none.
        told_at: when something was last told since this broker began, or 0.
    """

    name: str
    kind: str
    target: str
    tally: NoticeTally
    problem: str = ""
    told_at: float = 0.0


class Notices(Protocol):
    """What the store knows of notices. Raises StoreUnavailable as `ports.Store`."""

    async def holds_untold(
        self,
        channel: str,
        event: NoticeEvent,
        *,
        since: float,
        is_pending: bool,
        after: str,
        page_size: int,
    ) -> Sequence[Hold]:
        """A page of holds of which the channel has no notice of this kind, oldest first.

        Args:
            channel: its name.
            event: the kind.
            since: only holds opened then or later, POSIX seconds; 0 for all.
            is_pending: only those that wait.
            after: the last name of the page before.
            page_size: how many.
        """
        ...

    async def newest_hold_told(self, channel: str, event: NoticeEvent) -> float:
        """When the newest hold of which the channel has such a notice was opened; 0 for none."""
        ...

    async def notices_due(
        self, channel: str, *, now: float, after: int, notices_max: int
    ) -> Sequence[NoticeSeen]:
        """A page of what is due, in order; of one call only the first, so that it is in order.

        Args:
            channel: its name.
            now: POSIX seconds.
            after: the last number of the page before.
            notices_max: how many.
        """
        ...

    async def notices_come_about(self, channel: str, *, notices_max: int) -> Sequence[int]:
        """Numbers of notices that waited for a call to end, which it has."""
        ...

    async def next_notice_due(self, channel: str) -> float | None:
        """When the next one is due, POSIX seconds."""
        ...

    async def notice_tally(self, channel: str, *, now: float) -> NoticeTally:
        """How many there are."""
        ...
