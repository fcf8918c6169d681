"""What waits and what exactly it is: whoever decides sees all of what would run.

Arguments are those that would run, facts those that were decided on, and the manifest helps to read
them only while it is the revision that the hold is for.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from broker.core import limits
from broker.core.artefacts import Artefact, named_in
from broker.core.calls import Invocation
from broker.core.control import Control
from broker.core.errors import NotFound
from broker.core.holds import Hold, Review, Reviewer, ineligible
from broker.core.manifest import ToolManifest
from broker.core.review_view import ArgumentView, Recorded, argument_views, recorded_of
from broker.events import Events
from broker.ports import HoldQuery, InvocationQuery, Store
from broker.reviews.docket import NO_HOLD

EARLIER_MAX = 20
ORIGINS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierView:
    """A call that the session made before."""

    at: float
    tool: str
    effect: str
    invocation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """A file that the call names; None where it is gone."""

    pointer: str
    name: str
    artefact: Artefact | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    """One hold with all that its reviewer is shown.

    Attributes:
        origins: calls of the session whose results have values of this one, by name.
    """

    hold: Hold
    reviews: tuple[Review, ...]
    invocation: Invocation
    words: tuple[str, ...]
    arguments: tuple[ArgumentView, ...]
    files: tuple[FileView, ...]
    earlier: tuple[EarlierView, ...]
    origins: Mapping[str, Invocation]
    eligible: bool
    ineligible_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A hold as a list of what waits tells of it; what it carries is on its own page."""

    hold: Hold
    reviews: tuple[Review, ...]
    ineligible_reason: str


class HoldViews:
    """Holds as reviewers see them."""

    def __init__(self, *, store: Store, control: Callable[[], Control], events: Events) -> None:
        self._store = store
        self._control = control
        self._events = events

    async def page(
        self,
        reviewer: Reviewer,
        *,
        include_decided: bool = False,
        only_eligible: bool = False,
        page_size: int = limits.PAGE_SIZE,
        after: str = "",
    ) -> list[HoldView]:
        """Holds, oldest first."""
        query = HoldQuery(include_decided=include_decided, page_size=page_size, after=after)
        views = [
            await self._view(reviewer, hold, reviews)
            for hold, reviews in await self._store.list_holds(query)
        ]
        return [v for v in views if v.eligible or not only_eligible]

    async def queue(self, reviewer: Reviewer) -> list["QueueRow"]:
        """What waits, soonest over first, with what a list of it tells."""
        query = HoldQuery(page_size=limits.PAGE_SIZE_MAX)
        rows = [
            QueueRow(hold=hold, reviews=reviews, ineligible_reason=ineligible(hold, reviewer))
            for hold, reviews in await self._store.list_holds(query)
        ]
        return sorted(rows, key=lambda row: row.hold.decide_by)

    async def show(self, reviewer: Reviewer, name: str) -> HoldView:
        """One hold.

        Raises:
            NotFound: there is none of this name.
        """
        found = await self._store.find_hold(name)
        if found is None:
            raise NotFound(NO_HOLD)
        hold, reviews = found
        return await self._view(reviewer, hold, reviews)

    async def watch(self, reviewer: Reviewer) -> AsyncIterator[HoldView]:
        """Each hold that opens or changes from now on."""
        with self._events.subscribe("hold") as changes:
            async for name in changes:
                names = [name] if name else await self._pending()
                for changed in names:
                    found = await self._store.find_hold(changed)
                    if found is not None:
                        yield await self._view(reviewer, *found)

    async def _pending(self) -> list[str]:
        query = HoldQuery(page_size=limits.PAGE_SIZE_MAX)
        return [hold.name for hold, _ in await self._store.list_holds(query)]

    async def _view(
        self,
        reviewer: Reviewer,
        hold: Hold,
        reviews: tuple[Review, ...],
    ) -> HoldView:
        invocation = await self._store.find_invocation(hold.invocation)
        if invocation is None:
            raise NotFound(NO_HOLD)
        session = await self._store.find_session(hold.session)
        recorded = recorded_of(await self._store.contents(hold.invocation))
        why = ineligible(hold, reviewer)
        return HoldView(
            hold=hold,
            reviews=reviews,
            invocation=invocation,
            words=session.words if session else (),
            arguments=argument_views(
                self._manifest(hold),
                invocation.call.arguments,
                recorded,
                session,
            ),
            origins=await self._origins(recorded),
            files=await self._files(hold, invocation),
            earlier=await self._earlier(invocation),
            eligible=not why,
            ineligible_reason=why,
        )

    async def _files(self, hold: Hold, invocation: Invocation) -> tuple[FileView, ...]:
        manifest = self._manifest(hold)
        sandbox = manifest.sandbox if manifest else None
        if sandbox is None:
            return ()
        named = named_in(sandbox.files_in, invocation.call.arguments)
        names = [name for name in named.values() if isinstance(name, str)]
        found = await self._store.find_artefacts(hold.session, names)
        return tuple(
            FileView(pointer=pointer, name=name, artefact=found.get(name))
            for pointer, name in named.items()
            if isinstance(name, str)
        )

    async def _origins(self, recorded: Recorded) -> Mapping[str, Invocation]:
        names = dict.fromkeys(one for found in recorded.origins.values() for one in found)
        calls = [n for n in names if n.startswith("invocations/")][:ORIGINS_MAX]
        found = [await self._store.find_invocation(name) for name in calls]
        return {one.name: one for one in found if one is not None}

    def _manifest(self, hold: Hold) -> ToolManifest | None:
        tool = self._control().tools.get(hold.tool)
        if tool is None or tool.manifest.revision != hold.tool_revision:
            return None
        return tool.manifest

    async def _earlier(self, invocation: Invocation) -> tuple[EarlierView, ...]:
        query = InvocationQuery(
            session=invocation.session,
            page_size=EARLIER_MAX,
            before=invocation.name,
        )
        found = await self._store.list_invocations(query)
        return tuple(
            EarlierView(
                at=i.created_at,
                tool=i.call.tool,
                effect=i.decision.effect.name if i.decision else "",
                invocation=i.name,
            )
            for i in reversed(found)
        )
