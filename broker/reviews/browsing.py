"""What reviewers look through besides what waits: decided holds, sessions, and how well they do.

Lists are keyset pages, newest first: where the next one begins is the last name of this one. So a
page costs the same however far back it is.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from broker.core import limits
from broker.core.calls import Invocation, Session
from broker.core.control import Control
from broker.core.errors import BrokerError, NotFound
from broker.core.holds import Hold, Review
from broker.core.labels import Labels
from broker.core.lifecycle import HoldState
from broker.core.review_quality import Counted, HoldSeen, Quality, counted, quality
from broker.ports import (
    Browsing,
    Clock,
    HoldHistoryQuery,
    InvocationQuery,
    SessionQuery,
    SessionSeen,
    Store,
)

HOLDS_COUNTED_MAX: Final = 20_000
QUALITY_KEPT_S: Final = 15.0
SETTLING_S: Final = 86_400.0
"""For so long a hold is looked at again: reviews that come too late are counted as such."""
_OPEN: Final = frozenset({HoldState.PENDING, HoldState.APPROVED})
WINDOWS_S: Final[tuple[float, ...]] = (7 * 86_400.0, 30 * 86_400.0)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[_T]):
    """Some of a list; `following` is the cursor of the next page, empty on the last."""

    rows: Sequence[_T]
    following: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldFilter:
    """Which decided holds. Empty fields do not filter."""

    tool: str = ""
    principal: str = ""
    agent: str = ""
    state: HoldState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSeen:
    """A call in the sequence of its session.

    Attributes:
        released: the labels of what it gave the model; None where it gave nothing.
        is_turn: whether it is the first that released what strangers may have written: from here
            on, nothing that the model says is surely the user's wish.
        is_ours: whether the broker made it itself, for a preview.
    """

    invocation: Invocation
    released: Labels | None
    is_turn: bool
    is_ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session and a page of its calls.

    Attributes:
        calls: oldest first.
        earlier: the cursor of the calls before these; empty where these are the first.
        turned: whether what strangers wrote was released before the first of these calls.
        turn: the call that released it first; empty where there was none.
    """

    session: Session
    calls: tuple[CallSeen, ...]
    earlier: str
    turned: bool
    turn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityView:
    """The quality of review, over several lengths of time, shortest first.

    Attributes:
        by_window: length, seconds, and the figures of the holds that opened so long ago at most.
        is_cut: whether there were more holds than are counted.
        at: when it was worked out, POSIX seconds.
    """

    by_window: Mapping[float, Quality]
    is_cut: bool
    at: float


class Browse:
    """Reads; nothing here has an effect."""

    def __init__(
        self, *, store: Store, browsing: Browsing, control: Callable[[], Control], clock: Clock
    ) -> None:
        self._store = store
        self._browsing = browsing
        self._control = control
        self._clock = clock
        self._quality: QualityView | None = None
        self._seen: dict[str, Counted] = {}
        self._counting = asyncio.Lock()

    def tools(self) -> tuple[str, ...]:
        """The names of the tools in force."""
        return tuple(sorted(self._control().tools))

    async def history(
        self, wanted: HoldFilter, *, before: str = "", page_size: int = limits.PAGE_SIZE
    ) -> Page[tuple[Hold, tuple[Review, ...]]]:
        """Decided holds, newest first."""
        query = HoldHistoryQuery(
            tool=wanted.tool,
            principal=wanted.principal,
            agent=wanted.agent,
            state=wanted.state,
            is_over=True,
            page_size=page_size + 1,
            before=before,
        )
        found = await self._store.hold_history(query)
        return _page(found, page_size, lambda row: row[0].name)

    async def sessions(
        self, *, before: str = "", page_size: int = limits.PAGE_SIZE
    ) -> Page[SessionSeen]:
        """Sessions, newest first."""
        query = SessionQuery(page_size=page_size + 1, before=before)
        found = await self._browsing.list_sessions(query)
        return _page(found, page_size, lambda row: row.session.name)

    async def session(
        self, name: str, *, before: str = "", page_size: int = limits.PAGE_SIZE
    ) -> SessionView:
        """One session with its newest calls, or those before a cursor.

        Raises:
            NotFound: there is none of this name.
        """
        session = await self._store.find_session(name)
        if session is None:
            raise NotFound("There is no such session.")
        query = InvocationQuery(session=name, page_size=page_size + 1, before=before)
        page = _page(await self._store.list_invocations(query), page_size, lambda i: i.name)
        released = await self._browsing.released(name)
        turn = next((call for call, one in released.items() if one.trust == "untrusted"), "")
        calls = tuple(_seen(call, released, turn) for call in reversed(page.rows))
        turned = bool(turn) and bool(calls) and turn < calls[0].invocation.name
        return SessionView(
            session=session, calls=calls, earlier=page.following, turned=turned, turn=turn
        )

    async def quality(self) -> QualityView:
        """The quality of review; worked out anew at most every `QUALITY_KEPT_S` seconds."""
        async with self._counting:
            known, now = self._quality, self._clock()
            if known is not None and known.at <= now < known.at + QUALITY_KEPT_S:
                return known
            since = now - max(WINDOWS_S)
            fresh = await self._browsing.holds_seen(
                since=max(since, self._settled_until(now)), holds_max=HOLDS_COUNTED_MAX
            )
            self._seen, view = await asyncio.to_thread(
                _counted, self._seen, fresh, since=since, now=now
            )
            self._quality = view
            return view

    async def warm(self) -> None:
        """Work the figures out before anybody asks; whoever asks is told what is wrong."""
        with contextlib.suppress(BrokerError):
            await self.quality()

    def _settled_until(self, now: float) -> float:
        """Holds that opened before were all read after the last of them had been decided."""
        waiting = [o.hold.created_at for o in self._seen.values() if o.hold.state in _OPEN]
        return min([now - SETTLING_S, *waiting]) if self._seen else 0.0


def _counted(
    seen: Mapping[str, Counted], fresh: Sequence[HoldSeen], *, since: float, now: float
) -> tuple[dict[str, Counted], QualityView]:
    """What was seen with what is fresh in its place, and the figures of all that."""
    kept = {name: one for name, one in seen.items() if one.hold.created_at >= since}
    every = kept | {hold.name: counted(hold) for hold in fresh}
    figures = {length: quality(every.values(), since=now - length) for length in WINDOWS_S}
    view = QualityView(by_window=figures, is_cut=len(every) >= HOLDS_COUNTED_MAX, at=now)
    return every, view


def _seen(call: Invocation, released: Mapping[str, Labels], turn: str) -> CallSeen:
    return CallSeen(
        invocation=call,
        released=released.get(call.name),
        is_turn=call.name == turn,
        is_ours=call.is_preview,
    )


def _page(found: Sequence[_T], page_size: int, cursor: Callable[[_T], str]) -> Page[_T]:
    """A page of one row more than is shown, which tells whether there is another page."""
    rows = found[:page_size]
    return Page(rows=rows, following=cursor(rows[-1]) if len(found) > page_size else "")
