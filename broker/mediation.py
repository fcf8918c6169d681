"""The use cases that mediate calls, put together over whatever parts they are given.

Names no adapter: a test gives fakes, the composition root the real ones, and both get one pipeline.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.artefacts import Artefacts
from broker.control_room import ControlRoom
from broker.core import limits
from broker.core.caller_word import CALLER
from broker.core.calls import Invocation
from broker.core.control import Control
from broker.core.decision import HoldTerms
from broker.core.fairness import FAIR, Fairness
from broker.core.profiles import OfferedProfile
from broker.enforcer import Enforcer
from broker.enforcer.carrying import Carrier
from broker.enforcer.committing import Committer
from broker.enforcer.compiling import Compiler
from broker.enforcer.deciding import Decider
from broker.enforcer.ending import STORE_RETRY_S, Endings
from broker.enforcer.keys import Keys
from broker.enforcer.last_words import LastWords
from broker.enforcer.narrowing import Narrowing
from broker.enforcer.previewing import Previewing
from broker.enforcer.reattempting import Reattempting
from broker.enforcer.reconciling import Reconciling
from broker.enforcer.recovery import Recovery
from broker.enforcer.repeats import Repeats
from broker.enforcer.resuming import Again, Awaited, Claimed, Resuming, alone
from broker.enforcer.shadowing import Shadowing
from broker.enforcer.turns import Turns
from broker.events import Events
from broker.fairness.admission import Admission
from broker.invocations import Invocations
from broker.mandates import Mandates
from broker.own_work import OwnWork
from broker.permits import Permits
from broker.ports import Clock, Facts, IdFactory, Policies, Runner, Store
from broker.reviews import Docket, Handling, HoldViews, Reviews, Together
from broker.sessions import Sessions
from broker.tools.caller import CallerHub
from broker.tools.evidence import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What mediation is made of.

    Attributes:
        owner: this instance's name; it alone ends what it began.
        own: everything that is under way.
        terms: of holds for which no rule names any.
        offered: the sandbox profiles that nodes tell of now.
        fairness: what whoever asks may have.
        is_gone: whether an instance of this name does nothing any more; any other one, where this
            broker has the database alone.
        exclusive_wait_s: how long a call waits for an exclusive key, seconds.
        store_retry_s: pauses between attempts to record how a call ended, seconds.
        callers: who has calls carried out by agents' own processes, as `runner` has it too.
        claimed: has work of this name for this broker, where several may do it.
        again: around what goes on with a call that was recorded before.
    """

    store: Store
    room: ControlRoom
    policies: Policies
    facts: Facts
    runner: Runner
    events: Events
    clock: Clock
    ids: IdFactory
    owner: str
    own: OwnWork
    terms: HoldTerms
    offered: Callable[[], Sequence[OfferedProfile]] = tuple
    fairness: Fairness = FAIR
    is_gone: Callable[[str], bool] = bool
    exclusive_wait_s: float = limits.EXCLUSIVE_WAIT_S
    store_retry_s: tuple[float, ...] = STORE_RETRY_S
    callers: CallerHub | None = None
    claimed: Claimed = alone
    again: Again = contextlib.nullcontext


@dataclass(frozen=True, slots=True, kw_only=True)
class Mediation:
    """What hosts, agents and reviewers ask, and what goes on by itself."""

    own: OwnWork
    mandates: Mandates
    sessions: Sessions
    artefacts: Artefacts
    invocations: Invocations
    permits: Permits
    enforcer: Enforcer
    resuming: Resuming
    recovery: Recovery
    shadowing: Shadowing
    views: HoldViews
    reviews: Reviews
    handling: Handling
    together: Together


def mediation(parts: Parts) -> Mediation:
    """Put it together; nothing begins yet."""
    store, events, clock, ids = parts.store, parts.events, parts.clock, parts.ids
    control = parts.room.current
    own, turns, compiler = parts.own, Turns(), Compiler()
    invocations = Invocations(store=store, events=events, clock=clock)
    sessions = Sessions(store=store, invocations=invocations, own=own, clock=clock, ids=ids)
    artefacts = Artefacts(store=store, own=own, clock=clock)
    decider = Decider(
        control=control,
        policies=parts.policies,
        facts=parts.facts,
        store=store,
        clock=clock,
        terms=parts.terms,
        offered=parts.offered,
        keys=Keys(store=store, events=events, wait_s=parts.exclusive_wait_s),
        fairness=parts.fairness,
        compiler=compiler,
    )
    endings = Endings(store=store, events=events, clock=clock, retry_s=parts.store_retry_s)
    carrier = Carrier(control=control, endings=endings, clock=clock, compiler=compiler)
    committer = Committer(
        carrier=carrier,
        runner=parts.runner,
        store=store,
        own=own,
        refresh=parts.room.refresh,
        events=events,
        clock=clock,
        ids=ids,
        owner=parts.owner,
    )
    hub = parts.callers or CallerHub(control=control, clock=clock)
    previewing = Previewing(decider=decider, committer=committer, clock=clock, ids=ids)
    resuming = Resuming(
        decider=decider,
        committer=committer,
        previewing=previewing,
        invocations=invocations,
        own=own,
        turns=turns,
        store=store,
        events=events,
        clock=clock,
        claimed=parts.claimed,
        again=parts.again,
        awaited=_awaited_at(hub, control),
    )
    permits = Permits(
        hub=hub,
        store=store,
        invocations=invocations,
        events=events,
        clock=clock,
        owner=parts.owner,
        take_up=resuming.take_up_soon,
        evidence=Evidence(store, clock),
    )
    hub.last_look = permits.close
    reattempting = Reattempting(
        carrier=carrier,
        runner=parts.runner,
        store=store,
        own=own,
        refresh=parts.room.refresh,
        clock=clock,
        owner=parts.owner,
    )
    shadowing = Shadowing(
        control=control,
        policies=parts.policies,
        store=store,
        owner=parts.owner,
        offered=parts.offered,
    )
    narrowing = Narrowing(decider=decider, committer=committer, previewing=previewing, store=store)
    views = HoldViews(store=store, control=control, events=events)
    docket = Docket(store=store, events=events, clock=clock)
    reviews = Reviews(views=views, docket=docket, own=own, take_up=resuming.take_up_soon)
    return Mediation(
        own=own,
        mandates=Mandates(sessions=sessions, store=store, control=control, clock=clock, ids=ids),
        sessions=sessions,
        artefacts=artefacts,
        invocations=invocations,
        permits=permits,
        enforcer=Enforcer(
            decider=decider,
            committer=committer,
            invocations=invocations,
            own=own,
            turns=turns,
            previewing=previewing,
            shadowing=shadowing,
            repeats=Repeats(store=store, clock=clock, bounds=parts.fairness.denials),
            admission=Admission(fairness=parts.fairness, clock=clock),
            store=store,
            control=control,
            clock=clock,
            ids=ids,
        ),
        resuming=resuming,
        recovery=Recovery(
            resuming=resuming,
            reattempting=reattempting,
            reconciling=Reconciling(
                previewing=previewing,
                carrier=carrier,
                own=own,
                store=store,
                events=events,
                clock=clock,
                claimed=parts.claimed,
            ),
            last_words=LastWords(permits=permits, control=control, compiler=compiler),
            carrier=carrier,
            is_gone=parts.is_gone,
            store=store,
            events=events,
            clock=clock,
            owner=parts.owner,
        ),
        shadowing=shadowing,
        views=views,
        reviews=reviews,
        handling=Handling(
            views=views,
            docket=docket,
            narrow=narrowing.narrow,
            own=own,
        ),
        together=Together(reviews=reviews, docket=docket),
    )


def _awaited_at(hub: CallerHub, control: Callable[[], Control]) -> Awaited:
    """What the agent's own process is to execute is released where that waits, and nowhere else."""

    def awaited(held: Invocation) -> bool:
        tool = control().tools.get(held.call.tool)
        is_its_own = tool is not None and tool.manifest.runner == CALLER
        return not is_its_own or hub.is_awaited(held.session, held.request_id)

    return awaited
