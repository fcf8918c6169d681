"""The whole story of one call: asked, decided, held, reviewed, taken, run and ended, as it is kept.

What is erased is said to be erased. Everything is what the log and the records say now; nothing is
decided, asked of a tool, or looked up anew.
"""

from collections.abc import Callable
from dataclasses import dataclass

from broker.core import limits
from broker.core.calls import Invocation, Session
from broker.core.canonical import canonical_bytes
from broker.core.control import Control
from broker.core.errors import NotFound
from broker.core.holds import Hold, Review
from broker.core.labels import Labels
from broker.core.manifest import ToolManifest
from broker.core.previews import PREVIEW_SUFFIX
from broker.core.review_view import ArgumentView, Recorded, argument_views, recorded_of
from broker.core.story import Moment, moments
from broker.core.summary import leaves
from broker.ports import Browsing, HoldHistoryQuery, Store


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
        released: the labels of what went to the model; None where nothing did.
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
    released: Labels | None
    is_ours: bool
    is_erased: bool


class Stories:
    """Calls as people read them."""

    def __init__(self, *, store: Store, browsing: Browsing, control: Callable[[], Control]) -> None:
        self._store = store
        self._browsing = browsing
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
        released = await self._browsing.released(invocation.session)
        return Story(
            invocation=invocation,
            session=session,
            summary=summary if isinstance(summary, str) else "",
            arguments=self._arguments(invocation, session, recorded_of(contents)),
            narrowed=narrowed(invocation),
            holds=tuple(reversed(holds)),
            moments=told,
            released=released.get(name),
            is_ours=is_ours(invocation.call.tool),
            is_erased=any(moment.is_erased for moment in told),
        )

    def _arguments(
        self, invocation: Invocation, session: Session | None, recorded: Recorded
    ) -> tuple[ArgumentView, ...]:
        manifest = self._manifest(invocation)
        return argument_views(manifest, invocation.call.arguments, recorded, session)

    def _manifest(self, invocation: Invocation) -> ToolManifest | None:
        """Only of the revision that the call was decided under: another may read it otherwise."""
        tool = self._control().tools.get(invocation.call.tool)
        if tool is None or tool.manifest.revision != invocation.tool_revision:
            return None
        return tool.manifest


def is_ours(tool: str) -> bool:
    """Whether calls of this tool are the broker's own; no agent can make one."""
    return tool.endswith(PREVIEW_SUFFIX)


def narrowed(invocation: Invocation) -> tuple[Narrowed, ...]:
    """Each leaf that differs between what was asked and what runs, in order."""
    if invocation.asked is None:
        return ()
    asked = {at: canonical_bytes(v).decode() for at, v in leaves(invocation.asked.arguments)}
    released = {at: canonical_bytes(v).decode() for at, v in leaves(invocation.call.arguments)}
    return tuple(
        Narrowed(pointer=at, asked_json=asked.get(at, ""), released_json=released.get(at, ""))
        for at in dict.fromkeys([*asked, *released])
        if asked.get(at) != released.get(at)
    )
