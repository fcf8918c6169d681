"""What operators and auditors look at: how the broker is, what was decided, the whole log.

Looking changes nothing, with one exception that is meant: taking the log away is an entry in it.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from broker.administration.changes import ControlChanges
from broker.administration.policies import Libraries, is_answering
from broker.administration.shadow import ShadowReport
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.brokers import BrokerRow
from broker.core.calls import Invocation
from broker.core.canonical import canonical_bytes
from broker.core.credentials import Credential
from broker.core.directory import Source
from broker.core.errors import NotFound
from broker.core.limits import PAGE_SIZE
from broker.core.observing import Observation
from broker.events import RESYNC, Events
from broker.ports import AuditLog, Counts, InvocationQuery, Policies, SandboxNodeView, WorkerView
from broker.ports.notifying import ChannelView


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What this broker process is.

    Attributes:
        broker: name of the instance.
        version: its release.
        store: the database, without secrets.
        started_at: POSIX seconds.
    """

    broker: str
    version: str
    store: str
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the broker is."""

    about: About
    control_revision: int
    policy_revision: str
    policy_ready: bool
    tools: int
    freezes: int
    directory: tuple[Source, ...]
    workers: tuple[WorkerView, ...]
    sandbox_nodes: tuple[SandboxNodeView, ...]
    counts: Counts
    observations: tuple[Observation, ...] = ()
    shadow: ShadowReport | None = None
    libraries: Libraries | None = None
    channels: tuple[ChannelView, ...] = ()
    contents_days: int = 0
    legal_holds: int = 0
    brokers: tuple[BrokerRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationView:
    """One call for operators.

    Attributes:
        summary: one line for people, made by the manifest's template; empty where it never got so
            far, or where contents are erased.
        decided_in_s: seconds from asking to the first decision.
    """

    invocation: Invocation
    summary: str
    decided_in_s: float


async def _no_channels() -> tuple[ChannelView, ...]:
    return ()


class Overview:
    """Reads; nothing here has an effect."""

    def __init__(
        self,
        *,
        changes: ControlChanges,
        events: Events,
        policies: Policies,
        audit_log: AuditLog,
        workers: Callable[[], Sequence[WorkerView]],
        about: About,
        shadow: Callable[[], Awaitable[ShadowReport | None]],
        libraries: Callable[[], Awaitable[Libraries]],
        sandbox_nodes: Callable[[], Sequence[SandboxNodeView]] = tuple,
        channels: Callable[[], Awaitable[tuple[ChannelView, ...]]] = _no_channels,
        brokers: Callable[[], Sequence[BrokerRow]] = tuple,
    ) -> None:
        self._changes = changes
        self._store = changes.store
        self._events = events
        self._policies = policies
        self._audit_log = audit_log
        self._workers = workers
        self.about = about
        self._shadow = shadow
        self._libraries = libraries
        self._sandbox_nodes = sandbox_nodes
        self._channels = channels
        self._brokers = brokers

    async def status(self) -> Status:
        """How the broker is."""
        return replace(
            await self.standing(), shadow=await self._shadow(), libraries=await self._libraries()
        )

    async def standing(self) -> Status:
        """The same without what takes reading policies: their libraries and the shadow's tally."""
        counts = await self._store.counts()
        control = self._changes.room.current()
        now = self._changes.clock()
        return Status(
            about=self.about,
            control_revision=control.revision,
            policy_revision=control.policy_revision,
            policy_ready=await is_answering(self._policies, control.policy_revision),
            tools=len(control.tools),
            freezes=sum(f.is_in_force(now=now) for f in control.freezes),
            directory=control.directory.sources,
            workers=tuple(self._workers()),
            sandbox_nodes=tuple(self._sandbox_nodes()),
            counts=counts,
            observations=tuple(o for o in control.observations if o.is_in_force(now=now)),
            channels=await self._channels(),
            contents_days=control.retention.contents_days,
            legal_holds=len(control.legal_holds),
            brokers=tuple(self._brokers()),
        )

    async def invocations(self, query: InvocationQuery) -> tuple[InvocationView, ...]:
        """A page of calls, newest first."""
        found = await self._store.list_invocations(query)
        return tuple([await self._view(invocation) for invocation in found])

    def workers_of_tools(self) -> Mapping[str, int]:
        """How many connected workers implement each tool that any does."""
        return Counter(tool for worker in self._workers() for tool in set(worker.tools))

    async def tail(self) -> AsyncGenerator[InvocationView]:
        """Each call as it is decided and at each change after that, from now on, for ever."""
        shown_at = self._changes.clock()
        with self._events.subscribe("invocation") as names:
            async for name in names:
                for invocation in await self._changed(name, since=shown_at):
                    shown_at = max(shown_at, invocation.updated_at)
                    yield await self._view(invocation)

    async def story(self, name: str) -> tuple[InvocationView, tuple[bytes, ...]]:
        """One call and its audit entries in order, each as canonical JSON.

        Raises:
            NotFound: no such invocation.
        """
        invocation = await self._store.find_invocation(name)
        if invocation is None:
            raise NotFound("There is no such invocation.")
        entries = await self._store.entries(name)
        told = tuple(canonical_bytes(dict(entry)) for entry in entries)
        return await self._view(invocation), told

    async def export(
        self, reader: Credential, *, since: float, include_contents: bool
    ) -> AsyncGenerator[bytes]:
        """The log as whole JSON lines; that it was taken away is an entry, written first."""
        body: Mapping[str, JsonValue] = {"since": since, "contents": include_contents}
        await self._changes.say(self._changes.entry(EntryKind.AUDIT_EXPORTED, reader, body))
        async for lines in self._audit_log.export(since=since, include_contents=include_contents):
            yield lines

    async def _changed(self, name: str, *, since: float) -> Sequence[Invocation]:
        """The named invocation; after RESYNC the newest ones that changed since the last shown."""
        if name != RESYNC:
            found = await self._store.find_invocation(name)
            return () if found is None else (found,)
        newest = await self._store.list_invocations(InvocationQuery(page_size=PAGE_SIZE))
        return [i for i in reversed(newest) if i.updated_at >= since]

    async def _view(self, invocation: Invocation) -> InvocationView:
        contents = await self._store.contents(invocation.name)
        summary = contents.get("summary", "")
        return InvocationView(
            invocation=invocation,
            summary=summary if isinstance(summary, str) else "",
            decided_in_s=_decided_in_s(invocation, await self._store.entries(invocation.name)),
        )


def _decided_in_s(invocation: Invocation, entries: Sequence[Mapping[str, JsonValue]]) -> float:
    """From the first entry that decides; 0 where the log does not say."""
    for entry in entries:
        at_us = entry.get("at_us")
        if entry.get("kind") == EntryKind.CALL_DECIDED.value and isinstance(at_us, int):
            return max(at_us / 1_000_000 - invocation.created_at, 0.0)
    return 0.0
