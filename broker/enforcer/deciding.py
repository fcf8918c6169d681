"""Stages 1 to 8: from a frozen call to a plan. Looks at everything, changes nothing.

  1 resolve    tool → manifest
  2 screen     scopes held, freezes, schema, files     a refusal spares what follows
  3 gather     versions of exclusive keys, then facts, usage and history
  4 floor      bound values, limits, absent rows       a refusal spares what follows
  5 question   everything above → one JSON document
  6 evaluate   Rego on OPA
  7 settle     verdicts and what an approval lifts → decision
  8 plan       decision → Refuse | Suspend | Run

An approved hold goes through the same stages; `settle` alone sees what its reviewers lifted, and
only where call, tool and facts are still what they were shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from broker.core import reaching, restored, standing
from broker.core.arguments import JsonValue
from broker.core.artefacts import Artefact
from broker.core.calls import Caller, Fact, ToolCall, Usage
from broker.core.control import Control, RegisteredTool
from broker.core.decision import (
    Effect,
    HoldTerms,
    Obligation,
    Verdict,
    settle,
)
from broker.core.fairness import FAIR, Fairness
from broker.core.floor import CounterKey, counter_keys, exclusive_keys, floor
from broker.core.holds import Hold, lifted
from broker.core.manifest import ToolManifest
from broker.core.observing import observed
from broker.core.plan import Plan, Suspend, make_plan
from broker.core.previews import Preview, previewed
from broker.core.profiles import OfferedProfile
from broker.core.question import question
from broker.core.scopes import EffectiveScope, effective, held_by
from broker.core.screening import screen
from broker.core.standing import Marks, RequireRoomForHold, RequireStanding, StandingAsked
from broker.core.summary import summarise
from broker.enforcer import files
from broker.enforcer.asking import Asking
from broker.enforcer.compiling import Compiler
from broker.enforcer.keys import BUSY, Keys
from broker.enforcer.looked_up import NO_FACTS, digest_of, sound
from broker.enforcer.memories import Recalled
from broker.enforcer.tracing import Traced, Tracer
from broker.ports import Clock, CounterAsked, Facts, Policies, Seen, Store

_Told = TypeVar("_Told")
_TOLD_AT_ONCE_BYTES_MAX: Final = 2 * 1024
"""Of arguments that a call is told by on the loop: each of their texts is undone, which is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One pass through the stages: what was seen, and what came of it.

    Attributes:
        control: what was in force; `record` requires that it still is.
        keys: version of each exclusive key, read before any fact.
        artefacts: files that the arguments name, by JSON Pointer.
        counters, usage: what a Run reserves, and what was read of it.
        traced: where the arguments come from, by how much of what the session had seen; None where
            it did not matter.
        preview: what the tool says that it would change, where it waits and has one.
        reached: what a no to it is remembered by, where it waits.
        standing, room: what `record` requires where an agent asks: of what the session was refused,
            and of how much waits for people.
        lifted: whether an approval's codes were lifted, and the hold is to be claimed.
        is_busy: it is refused only because another call on the same thing is under way just now.
    """

    control: Control
    tool: RegisteredTool | None
    plan: Plan
    keys: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, CounterKey] = field(default_factory=dict)
    usage: Mapping[str, Usage] = field(default_factory=dict)
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    facts_digest: str = NO_FACTS
    policy_revision: str = ""
    question: Mapping[str, JsonValue] | None = None
    summary: str = ""
    preview: Preview | None = None
    reached: Marks = ()
    traced: Traced | None = None
    standing: RequireStanding | None = None
    room: RequireRoomForHold | None = None
    lifted: bool = False
    is_busy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Runs the stages over its ports.

    Attributes:
        offered: the sandbox profiles that nodes tell of now.
    """

    control: Callable[[], Control]
    policies: Policies
    facts: Facts
    store: Store
    clock: Clock
    terms: HoldTerms
    keys: Keys
    offered: Callable[[], Sequence[OfferedProfile]] = tuple
    fairness: Fairness = FAIR
    asking: Asking = field(default_factory=Asking)
    tracer: Tracer = field(default_factory=Tracer)
    compiler: Compiler = field(default_factory=Compiler)

    async def freed(self, call: ToolCall, *, within_s: float) -> None:
        """Return once no key of a call is busy any more, or that time is over."""
        tool = self.control().tools.get(call.tool)
        if tool is not None:
            await self.keys.freed(exclusive_keys(tool.manifest, call), within_s=within_s)

    async def contended(self, call: ToolCall, caller: Caller) -> Sequence[str]:
        """Names of keys and counters for which this call may lose to another.

        None where its caller may not call the tool: it takes nothing, and keeps nobody waiting.
        """
        await self._compiled(call.tool)
        control = self.control()
        tool = control.tools.get(call.tool)
        if tool is None or not tool.arguments.is_valid(dict(call.arguments)):
            return ()
        keys = exclusive_keys(tool.manifest, call)
        counters = counter_keys(tool.manifest, call, caller)
        names = (*keys, *(c.key for c in counters.values()))
        held = effective_scopes(control, caller, now=self.clock()) if names else {}
        return names if all(scope.name in held for scope in tool.manifest.scopes) else ()

    async def _compiled(self, name: str) -> None:
        """Return once a tool can be looked at, as it is in force then."""
        while (tool := self.control().tools.get(name)) is not None and not tool.is_compiled:
            await self.compiler.ready(tool)

    async def consider(
        self,
        call: ToolCall,
        caller: Caller,
        *,
        hold: Hold | None = None,
        refusal: Verdict | None = None,
        also: Sequence[Verdict] = (),
        is_preview: bool = False,
        is_asked: bool = False,
        waits: bool = True,
    ) -> Considered:
        """One pass through the stages.

        Args:
            call: the frozen call.
            caller: for whom and through whom.
            hold: the approved hold that is taken up again, if one is.
            refusal: why it could not be frozen as it was meant.
            also: verdicts that count besides those of the stages.
            is_preview: the broker itself asks a tool beforehand; nobody else finds that one.
            is_asked: an agent asks it now, so that what its session was refused counts.
            waits: for keys that are taken; whoever does not finds the call busy.

        Raises:
            DependencyError: a part cannot be asked; nothing was decided.
        """
        if refusal is not None:
            # Before the tool is looked up: what it names says nothing of which tools there are.
            refused = make_plan(settle((refusal,)))
            return Considered(control=self.control(), tool=None, plan=refused)
        name = previewed(call.tool) if is_preview else call.tool
        await self._compiled(name)
        control = self.control()
        tool = control.tools.get(name)
        if is_preview:
            tool = tool.preview if tool else None
        scopes = effective_scopes(control, caller, now=self.clock())
        screened = screen(
            call,
            tool.manifest if tool else None,
            tool.arguments if tool else None,
            effective=scopes,
            freezes=control.freezes,
            caller=caller,
            now=self.clock(),
        )
        if tool is None or _denied(screened):
            return Considered(control=control, tool=tool, plan=make_plan(settle(screened)))
        verdicts = (*screened, *also)
        return await self._look(
            call, caller, control, tool, scopes, verdicts, hold, is_asked=is_asked, waits=waits
        )

    async def _look(
        self,
        call: ToolCall,
        caller: Caller,
        control: Control,
        tool: RegisteredTool,
        scopes: Mapping[str, EffectiveScope],
        screened: tuple[Verdict, ...],
        hold: Hold | None,
        *,
        is_asked: bool,
        waits: bool,
    ) -> Considered:
        manifest = tool.manifest
        named = await files.find(
            self.store, caller.session.name, manifest, call.arguments, now=self.clock()
        )
        refused = files.refusal(named)
        if refused is not None:
            plan = make_plan(settle((*screened, refused)))
            return Considered(control=control, tool=tool, plan=plan)
        artefacts = {at: one for at, one in named.items() if one is not None}
        wanted = exclusive_keys(manifest, call)
        keys, stuck = await (self.keys.freed(wanted) if waits else self.keys.now(wanted))
        if stuck is not None:
            plan = make_plan(settle((*screened, stuck)))
            is_busy = stuck is BUSY
            return Considered(control=control, tool=tool, plan=plan, keys=keys, is_busy=is_busy)
        counters = counter_keys(manifest, call, caller)
        recalled = self.tracer.memories.recall(caller.session)
        targets = reaching.targets(caller.principal.id, manifest, call.arguments)
        fair = self.fairness
        asked_now = (
            standing.asked_of(caller, call, fair.denials, now=self.clock()) if is_asked else None
        )
        seen = await self._seen(caller, counters, recalled, targets, asked_now)
        usage = restored.filled(seen.usage, control.restored, now=self.clock())
        screened += standing.too_many(seen.standing, fair.denials, self.terms)
        refusals: tuple[Verdict, ...] = ()
        if seen.standing.rejections:
            refusals = await self._told(
                call, lambda: standing.asked_again(seen.standing, manifest, call)
            )
        if refusals:
            plan = make_plan(settle((*screened, *refusals)))
            return Considered(control=control, tool=tool, plan=plan)
        facts = await self._facts(call, caller, manifest)
        traced = await self.tracer.trace(
            call,
            caller,
            manifest,
            control,
            facts=facts,
            recalled=recalled,
            sightings={**seen.elders, caller.session.name: seen.sightings},
        )
        floored = floor(
            call,
            manifest,
            effective=scopes,
            facts=facts,
            usage=usage,
            caller=caller,
            hold_terms=self.terms,
        )
        verdicts = (*screened, *floored)
        facts_digest = digest_of(facts)
        asked: Mapping[str, JsonValue] | None = None
        obligations: tuple[Obligation, ...] = ()
        policy_revision = ""
        if not _denied(verdicts):
            asked = question(
                call=call,
                manifest=manifest,
                caller=caller,
                scopes_required=[s.name for s in manifest.scopes],
                scopes_effective=list(scopes),
                facts=facts,
                usage=usage,
                history=seen.history,
                reach={at: seen.reached[target] for at, target in targets.items()},
                artefacts=artefacts,
                output=tool.output,
                provenance=traced.origins,
                labels=traced.labels,
                now=self.clock(),
            )
            point = self.policies.at(control.policy_revision)
            opinion = await self.asking.opinion(point, asked, agent=caller.agent.id)
            verdicts = observed(
                (*verdicts, *opinion.verdicts),
                control.observations,
                manifest,
                agent=caller.agent.id,
                now=self.clock(),
            )
            obligations = opinion.obligations
            policy_revision = opinion.policy_revision
        discharged = lifted(hold, (call.digest, manifest.revision, facts_digest))
        decision = settle(verdicts, obligations=obligations, discharged=discharged)
        if decision.effect is Effect.HOLD:
            # A new hold is for all that stops the call: this approval will have been used up.
            decision = settle(verdicts, obligations=obligations)
        plan = make_plan(decision, manifest=manifest, offered=self.offered())
        reached: Marks = ()
        if isinstance(plan, Suspend):
            reached = await self._told(call, lambda: standing.marks(manifest, call))
        return Considered(
            control=control,
            tool=tool,
            plan=plan,
            reached=reached,
            keys=keys,
            counters=counters,
            usage=usage,
            artefacts=artefacts,
            facts=facts,
            facts_digest=facts_digest,
            policy_revision=policy_revision,
            question=asked,
            summary=summarise(
                manifest.summary,
                call.arguments,
                facts,
                manifest.review.money,
                session=caller.session,
                files={at: artefact.file_name for at, artefact in artefacts.items()},
            ),
            traced=traced,
            standing=standing.required(asked_now, seen.standing, fair.denials),
            room=fair.room_for(caller) if is_asked else None,
            lifted=bool(discharged),
        )

    async def _told(self, call: ToolCall, tell: Callable[[], _Told]) -> _Told:
        if len(call.canonical) <= _TOLD_AT_ONCE_BYTES_MAX:
            return tell()
        return await self.tracer.memories.beside(tell)

    async def _seen(
        self,
        caller: Caller,
        counters: Mapping[str, CounterKey],
        recalled: Recalled,
        targets: Mapping[str, str],
        asked: StandingAsked | None,
    ) -> Seen:
        # Before facts: a reservation that commits while they are looked up is then a conflict.
        return await self.store.seen(
            caller.session.name,
            [
                CounterAsked(name=name, key=c.key, window_s=c.window_s, limit=c.limit)
                for name, c in counters.items()
            ],
            now=self.clock(),
            after=recalled.memory.position,
            elders=recalled.parent.positions if recalled.parent is not None else {},
            principal=caller.principal.id,
            targets={*targets.values()},
            standing=asked,
        )

    async def _facts(
        self, call: ToolCall, caller: Caller, manifest: ToolManifest
    ) -> Mapping[str, Fact]:
        if not manifest.facts:
            return {}
        facts = await self.facts.gather(
            manifest,
            arguments=call.arguments,
            principal=caller.principal,
            session=caller.session,
        )
        return sound(facts)


def effective_scopes(
    control: Control,
    caller: Caller,
    *,
    now: float,
) -> Mapping[str, EffectiveScope]:
    """The scopes that principal, agent and session all have under this control."""
    principal = caller.principal
    subjects = (principal.id, *(f"groups/{g}" for g in principal.groups))
    return effective(
        principal=held_by(control.grants, subjects, now=now),
        agent=held_by(control.grants, (caller.agent.id,), now=now),
        session=caller.session.scopes,
    )


def _denied(verdicts: Sequence[Verdict]) -> bool:
    return any(v.effect is Effect.DENY and v.enforced for v in verdicts)
