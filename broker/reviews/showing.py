"""What waits and what exactly it is: whoever decides sees all of what would run.

Arguments are those that would run, facts those that were decided on, and the manifest helps to read
them only while it is the revision that the hold is for.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.artefacts import Artefact, named_in
from broker.core.calls import Invocation
from broker.core.control import Control
from broker.core.errors import NotFound
from broker.core.holds import Hold, Review, Reviewer, ineligible
from broker.core.manifest import ToolManifest, reached
from broker.core.pointers import Missing
from broker.core.review_view import ArgumentView, Recorded, argument_views, recorded_of
from broker.core.summary import leaves
from broker.events import Events
from broker.ports import HoldQuery, InvocationQuery, Store
from broker.reviews.docket import NO_HOLD

EARLIER_MAX = 20
ORIGINS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierView:
    """A call that the session made before.

    Attributes:
        is_untrusted: whether it brought what strangers may have written.
    """

    at: float
    tool: str
    effect: str
    invocation: str
    is_untrusted: bool = False


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
        targets: pointers to who or what it reaches; every leaf where the manifest is another by
            now, so that none of them is cut.
        narrowing: how a reviewer may make an argument less, by its pointer; whole lists as well.
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
    targets: frozenset[str] = frozenset()
    narrowing: Mapping[str, str] = field(default_factory=dict)


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
        rows = [_row(reviewer, *found) for found in await self._store.list_holds(query)]
        return sorted(rows, key=lambda row: row.hold.decide_by)

    async def row(self, reviewer: Reviewer, name: str) -> QueueRow:
        """One hold as a list of what waits tells of it, whatever its state.

        Raises:
            NotFound: there is none of this name.
        """
        return _row(reviewer, *await self._find(name))

    async def show(self, reviewer: Reviewer, name: str) -> HoldView:
        """One hold.

        Raises:
            NotFound: there is none of this name.
        """
        return await self._view(reviewer, *await self._find(name))

    async def watch(self, reviewer: Reviewer) -> AsyncIterator[HoldView]:
        """Each hold that opens or changes from now on."""
        with self._events.subscribe("hold") as changes:
            async for name in changes:
                names = [name] if name else await self._pending()
                for changed in names:
                    found = await self._store.find_hold(changed)
                    if found is not None:
                        yield await self._view(reviewer, *found)

    async def _find(self, name: str) -> tuple[Hold, tuple[Review, ...]]:
        found = await self._store.find_hold(name)
        if found is None:
            raise NotFound(NO_HOLD)
        return found

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
        tool = self._control().tool_at(hold.tool, hold.tool_revision)
        manifest = tool.manifest if tool else None
        recorded = recorded_of(await self._store.contents(hold.invocation))
        why = ineligible(hold, reviewer)
        return HoldView(
            hold=hold,
            reviews=reviews,
            invocation=invocation,
            words=session.words if session else (),
            arguments=argument_views(manifest, invocation.call.arguments, recorded, session),
            targets=targets_of(manifest, invocation.call.arguments),
            narrowing=less_of(manifest, invocation.call.arguments),
            origins=await self._origins(recorded),
            files=await self._files(manifest, invocation),
            earlier=await self._earlier(invocation),
            eligible=not why,
            ineligible_reason=why,
        )

    async def _files(
        self, manifest: ToolManifest | None, invocation: Invocation
    ) -> tuple[FileView, ...]:
        sandbox = manifest.sandbox if manifest else None
        if sandbox is None:
            return ()
        named = named_in(sandbox.files_in, invocation.call.arguments)
        names = [name for name in named.values() if isinstance(name, str)]
        found = await self._store.find_artefacts(invocation.session, names)
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
                is_untrusted=i.result is not None and self._is_untrusted(i.call.tool),
            )
            for i in reversed(found)
            if not i.is_preview  # the broker's own doing, and not the agent's
        )

    def _is_untrusted(self, name: str) -> bool:
        """Whether strangers may have written what a tool returns; of a tool that is gone, yes."""
        tool = self._control().tools.get(name)
        return tool is None or tool.output.trust == "untrusted"


def _row(reviewer: Reviewer, hold: Hold, reviews: tuple[Review, ...]) -> QueueRow:
    return QueueRow(hold=hold, reviews=reviews, ineligible_reason=ineligible(hold, reviewer))


def targets_of(manifest: ToolManifest | None, arguments: Mapping[str, JsonValue]) -> frozenset[str]:
    """Each leaf at or below a target."""
    every = frozenset(pointer for pointer, _ in leaves(arguments))
    if manifest is None:
        return every
    named = reached(manifest, arguments)
    return frozenset(
        leaf for leaf in every if any(leaf == one or leaf.startswith(f"{one}/") for one in named)
    )


def less_of(manifest: ToolManifest | None, arguments: Mapping[str, JsonValue]) -> dict[str, str]:
    """How what is there may be made less, by its pointer; nothing where nobody can say."""
    found = manifest.review.narrowing if manifest else {}
    return {
        str(pointer): how
        for pointer, how in found.items()
        if not isinstance(pointer.resolve(dict(arguments)), Missing)
    }
