"""What is in force and how the log stands, for people who may look and change nothing.

Nothing here has an effect, so it can be given to whoever only reads, such as the review pages.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from broker.administration.changes import ControlChanges
from broker.administration.explaining import Explained, ExplainingAdministration
from broker.administration.overview import About
from broker.administration.policies import KeptPolicy, Libraries, PolicyAdministration
from broker.administration.recorded import RecordedAdministration
from broker.administration.shadow import ShadowAdministration, ShadowReport
from broker.core.arguments import JsonValue
from broker.core.calls import Person
from broker.core.control import RegisteredTool
from broker.core.control_rows import TOOL, PolicyInForce, credentials_in, freezes_in, policy_in
from broker.core.credentials import CredentialClass
from broker.core.freezes import Freeze, FreezeKind
from broker.core.limits import PAGE_SIZE
from broker.core.observing import Observation
from broker.core.observing_rows import observations_in
from broker.ports import AgentSeen, Browsing, Counts, DocumentSeen, LogHead

CALLS_LOOKED_AT: Final = 5_000
POLICIES_MAX: Final = 20
TOOL_REVISIONS_MAX: Final = 200
EXPLANATIONS_KEPT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent that has a credential, or was seen among the newest calls.

    Attributes:
        owner: who answers for it; None where it has no credential any more.
        credentials: how many of its credentials are good now.
        seen: among the newest calls; None where it was not.
        freezes: those in force that stop it, those of everything included.
    """

    agent: str
    owner: Person | None
    credentials: int
    seen: AgentSeen | None
    freezes: tuple[Freeze, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentsView:
    """Agents by id, and every freeze: in force, and over by itself; newest first."""

    agents: tuple[AgentView, ...]
    in_force: tuple[Freeze, ...]
    over: tuple[Freeze, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRevision:
    """A manifest that is or was in force, and since when it is known, POSIX seconds."""

    name: str
    revision: str
    first_at: float
    is_in_force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesView:
    """What decides: policy, tools, and what operators have set beside them.

    Attributes:
        policy: in force; None where none is.
        kept: policies that are or were in force, newest first, so many at most.
        tools: in force, by name.
        revisions: of tools, newest first, so many at most.
        shadow: None where none is asked beside.
        observations: in force now.
    """

    policy: PolicyInForce | None
    kept: tuple[KeptPolicy, ...]
    libraries: Libraries
    tools: tuple[RegisteredTool, ...]
    revisions: tuple[ToolRevision, ...]
    shadow: ShadowReport | None
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """The log.

    Attributes:
        head: None where nothing was signed yet.
        entries: newest first.
        following: the cursor of the next page; None on the last.
    """

    about: About
    counts: Counts
    head: LogHead | None
    entries: Sequence[Mapping[str, JsonValue]]
    following: int | None


@dataclass(slots=True, kw_only=True)
class Looking:
    """Reads; nothing here has an effect."""

    changes: ControlChanges
    policies: PolicyAdministration
    shadow: ShadowAdministration
    recorded: RecordedAdministration
    explaining: ExplainingAdministration
    browsing: Browsing
    about: About
    _explained: dict[tuple[str, str], Explained] = field(default_factory=dict)

    async def agents(self) -> AgentsView:
        """Agents, and what is stopped."""
        rows = await self.changes.store.control()
        now = self.changes.clock()
        freezes = tuple(reversed(freezes_in(rows)))
        stops = tuple(f for f in freezes if f.is_in_force(now=now))
        seen = await self.browsing.agents_seen(calls_max=CALLS_LOOKED_AT)
        by_id = {one.agent: one for one in seen}
        of_agents = [c for c in credentials_in(rows) if c.credential_class is CredentialClass.AGENT]
        owners = {c.subject: c.person for c in of_agents}
        good = Counter(c.subject for c in of_agents if c.is_good(now=now))
        return AgentsView(
            agents=tuple(
                AgentView(
                    agent=agent,
                    owner=owners.get(agent),
                    credentials=good[agent],
                    seen=by_id.get(agent),
                    freezes=tuple(f for f in stops if _stops(f, agent)),
                )
                for agent in sorted(owners.keys() | by_id.keys())
            ),
            in_force=stops,
            over=tuple(f for f in freezes if f not in stops),
        )

    async def rules(self) -> RulesView:
        """Policy and tools."""
        rows = await self.changes.store.control()
        now = self.changes.clock()
        tools = self.changes.room.current().tools
        kept = await self.browsing.documents_seen(TOOL, documents_max=TOOL_REVISIONS_MAX)
        in_force = {tool.manifest.revision for tool in tools.values()}
        return RulesView(
            policy=policy_in(rows),
            kept=await self.policies.kept(policies_max=POLICIES_MAX),
            libraries=await self.policies.libraries(),
            tools=tuple(tools[name] for name in sorted(tools)),
            revisions=await asyncio.to_thread(_revisions, kept, in_force),
            shadow=await self.shadow.report(),
            observations=tuple(o for o in observations_in(rows.rows) if o.is_in_force(now=now)),
        )

    async def log(self, *, before: int | None = None, page_size: int = PAGE_SIZE) -> LogView:
        """How the log stands, and a page of it, newest first."""
        entries = await self.browsing.log_entries(before=before, page_size=page_size)
        last = entries[-1]["leaf_index"] if entries else None
        return LogView(
            about=self.about,
            counts=await self.changes.store.counts(),
            head=await self.browsing.log_head(),
            entries=entries,
            following=last if isinstance(last, int) and last > 0 else None,
        )

    async def explain(self, invocation: str) -> Explained:
        """Why the latest decision on a call was what it was; what was worked out is kept a while.

        Raises:
            NotFound, IllegalTransition, PolicyUnavailable: see `ExplainingAdministration.explain`.
        """
        decision = await self.recorded.find(invocation)
        key = (decision.entry, decision.policy_revision)
        known = self._explained.get(key)
        # What is erased meanwhile is not told from memory.
        if known is not None and not decision.is_erased:
            return known
        explained = await self.explaining.explain(invocation, entry=decision.entry)
        while len(self._explained) >= EXPLANATIONS_KEPT:
            self._explained.pop(next(iter(self._explained)))
        self._explained[key] = explained
        return explained


def _stops(freeze: Freeze, agent: str) -> bool:
    if freeze.kind is FreezeKind.ALL:
        return True
    return freeze.kind is FreezeKind.AGENT and freeze.subject == agent


def _revisions(kept: Sequence[DocumentSeen], in_force: set[str]) -> tuple[ToolRevision, ...]:
    found = []
    for one in kept:
        name = json.loads(one.body).get("name", "")
        found.append(
            ToolRevision(
                name=name,
                revision=one.digest,
                first_at=one.at,
                is_in_force=one.digest in in_force,
            )
        )
    return tuple(found)
