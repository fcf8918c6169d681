"""The whole story of one call: asked, decided, held, reviewed, taken, run and ended, as it is kept.

What is erased is said to be erased. Everything is what the log and the records say now; nothing is
decided, asked of a tool, or looked up anew.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from broker.core import limits
from broker.core.calls import Invocation, Session
from broker.core.canonical import canonical_bytes
from broker.core.control import Control
from broker.core.errors import NotFound
from broker.core.holds import Hold, Review
from broker.core.review_view import ArgumentView, Recorded, argument_views, recorded_of
from broker.core.story import Moment, asked, moments, placed, previewed
from broker.core.summary import leaves
from broker.ports import HoldHistoryQuery, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """A leaf that a reviewer made less; empty where the other side has no such leaf."""

    pointer: str
    asked_json: str
    released_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One call with all that is kept of it.

    Attributes:
        session: None where it is gone.
        summary: the sentence that the manifest made of it; empty where that is erased, or where it
            never got so far.
        arguments: each leaf of what runs, or ran, with where it came from.
        narrowed: what was asked for, where that differs.
        holds: oldest first, with what was said of each.
        is_untrusted: whether strangers may have written what the tool answered.
        is_ours: whether it is a call that the broker made itself, for a preview.
        is_erased: whether what it was decided on is erased.
    """

    invocation: Invocation
    session: Session | None
    summary: str
    arguments: tuple[ArgumentView, ...]
    narrowed: tuple[Narrowed, ...]
    holds: tuple[tuple[Hold, tuple[Review, ...]], ...]
    moments: tuple[Moment, ...]
    is_untrusted: bool
    is_ours: bool
    is_erased: bool


class Stories:
    """Calls as people read them."""

    def __init__(self, *, store: Store, control: Callable[[], Control]) -> None:
        self._store = store
        self._control = control

    async def tell(self, name: str) -> Story:
        """One call.

        Raises:
            NotFound: there is none of this name.
        """
        invocation = await self._store.find_invocation(name)
        if invocation is None:
            raise NotFound("There is no such call.")
        session = await self._store.find_session(invocation.session)
        told = moments(await self._store.entries(name))
        contents = await self._store.contents(name)
        summary = contents.get("summary", "")
        query = HoldHistoryQuery(invocation=name, page_size=limits.PAGE_SIZE)
        holds = await self._store.hold_history(query)
        return Story(
            invocation=invocation,
            session=session,
            summary=summary if isinstance(summary, str) else "",
            arguments=self._arguments(invocation, session, recorded_of(contents)),
            narrowed=narrowed(invocation),
            holds=tuple(reversed(holds)),
            moments=placed(told, _unlogged(invocation, holds)),
            is_untrusted=_is_untrusted(told),
            is_ours=invocation.is_preview,
            is_erased=any(moment.is_erased for moment in told),
        )

    def _arguments(
        self, invocation: Invocation, session: Session | None, recorded: Recorded
    ) -> tuple[ArgumentView, ...]:
        tool = self._control().tool_at(invocation.call.tool, invocation.tool_revision)
        manifest = tool.manifest if tool else None
        return argument_views(manifest, invocation.call.arguments, recorded, session)


def _unlogged(
    invocation: Invocation, holds: Iterable[tuple[Hold, tuple[Review, ...]]]
) -> Iterator[Moment]:
    """What the records of the call tell besides its entries, the latest first."""
    for hold, _ in holds:
        if hold.preview is not None:
            preview = hold.preview
            yield previewed(preview.at, preview.invocation, preview.error)
    yield asked(invocation.created_at, invocation.agent)


def _is_untrusted(told: Iterable[Moment]) -> bool:
    """As its end was recorded; what says nothing of that is not to be believed."""
    said = [value for one in told for name, value in one.details if name == "output trust"]
    return not said or said[-1] != "trusted"


def narrowed(invocation: Invocation) -> tuple[Narrowed, ...]:
    """Each leaf that differs between what was asked and what runs, in order."""
    if invocation.asked is None:
        return ()
    before = {at: canonical_bytes(v).decode() for at, v in leaves(invocation.asked.arguments)}
    after = {at: canonical_bytes(v).decode() for at, v in leaves(invocation.call.arguments)}
    return tuple(
        Narrowed(pointer=at, asked_json=before.get(at, ""), released_json=after.get(at, ""))
        for at in dict.fromkeys([*before, *after])
        if before.get(at) != after.get(at)
    )
