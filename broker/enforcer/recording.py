"""Stage 9 as values: a plan becomes one unit of work, its intent entry included.

Pure: these functions say what is to be written and write nothing. What an effect needs, its keys,
reservations and the entry that announces it, is in the unit that makes the invocation RUNNING, so
that nothing happens that the log does not already know was about to.
"""

from dataclasses import dataclass, replace

from broker.core import limits
from broker.core.alike import alike
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, Invocation, ToolCall
from broker.core.decision import Decision
from broker.core.errors import Defect
from broker.core.holds import Hold, decide_within_s
from broker.core.leases import leased_until
from broker.core.lifecycle import HoldState, InvocationState, step, step_hold
from broker.core.plan import Refuse, Run, Suspend
from broker.core.review_view import amount_of
from broker.core.screening import visible_reasons
from broker.core.standing import CountDenial, Marks, counts, marks
from broker.core.unit import (
    AddHold,
    AddInvocation,
    Change,
    CountHistory,
    MoveHold,
    MoveInvocation,
    NarrowInvocation,
    RequireControl,
    RequireMemory,
    RequireSession,
    Reserve,
    TakeKey,
    TouchSession,
    Unit,
)
from broker.enforcer.deciding import Considered
from broker.enforcer.entries import Stamp, entries_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is to be committed, and the invocation and hold as they then are."""

    unit: Unit
    invocation: Invocation
    hold: Hold | None = None


def record_new(
    name: str,
    call: ToolCall,
    caller: Caller,
    considered: Considered,
    stamp: Stamp,
    *,
    is_pinned: bool = True,
) -> Recording:
    """The unit that first records a call with its decision.

    `is_pinned`: only if what was in force still is; a refusal for contention is right in any case.
    """
    fresh = _fresh(name, call, caller, considered, stamp)
    invocation, hold = _after(fresh, caller, considered, stamp)
    pinned = [RequireControl(revision=considered.control.revision)] if is_pinned else []
    changes: list[Change] = [
        *pinned,
        TouchSession(
            name=caller.session.name,
            at=stamp.now,
            idle_expires_at=min(stamp.now + limits.SESSION_IDLE_S, caller.session.expires_at),
        ),
        AddInvocation(invocation=invocation),
        _counted(invocation, considered.plan.decision, stamp),
        *_standing(invocation, considered, stamp),
    ]
    if hold is not None:
        changes += [] if considered.room is None else [considered.room]
        changes.append(AddHold(hold=hold))
    changes += _seen(considered, is_pinned=is_pinned)
    changes += _taken(name, considered, stamp)
    entries = entries_of(invocation, hold, caller, considered, stamp)
    return Recording(
        unit=Unit(changes=tuple(changes), entries=entries),
        invocation=invocation,
        hold=hold,
    )


def record_preview(
    call: ToolCall,
    caller: Caller,
    considered: Considered,
    stamp: Stamp,
    *,
    of: str,
    relation: str,
) -> Recording:
    """The unit that records what the broker asks about a call, and its decision.

    It is the broker's doing: it makes no session live longer, and the session's history, by which
    later calls are decided, does not count it. `of` is the call, and `relation` what it is to it.
    """
    fresh = _fresh(call.request_id, call, caller, considered, stamp)
    invocation, hold = _after(fresh, caller, considered, stamp)
    if hold is not None:
        raise Defect("A preview waits for nobody.")
    changes: list[Change] = [
        RequireControl(revision=considered.control.revision),
        RequireSession(name=caller.session.name, at=stamp.now),
        AddInvocation(invocation=invocation),
        *_seen(considered, is_pinned=True),
    ]
    decided, *begun = entries_of(invocation, None, caller, considered, stamp)
    entries = (replace(decided, actor="broker", body={**decided.body, relation: of}), *begun)
    return Recording(unit=Unit(changes=tuple(changes), entries=entries), invocation=invocation)


def record_again(
    held: Invocation,
    approved: Hold,
    caller: Caller,
    considered: Considered,
    stamp: Stamp,
) -> Recording:
    """The unit that takes an approved hold up again: claimed, or void with what came instead."""
    invocation, hold = _after(held, caller, considered, stamp)
    claimed = isinstance(considered.plan, Run) and considered.lifted
    ended = HoldState.CLAIMED if claimed else HoldState.VOID
    changes: list[Change] = [
        RequireControl(revision=considered.control.revision),
        RequireSession(name=held.session, at=stamp.now),
        MoveHold(
            hold=replace(approved, state=ended, etag=approved.etag + 1),
            from_etag=approved.etag,
        ),
        MoveInvocation(invocation=invocation, from_etag=held.etag),
        _counted(invocation, considered.plan.decision, stamp),
    ]
    if hold is not None:
        changes.append(AddHold(hold=hold))
    changes += _seen(considered, is_pinned=True)
    changes += _taken(held.name, considered, stamp)
    moved = EntryDraft(
        kind=EntryKind.HOLD_CHANGED,
        at=stamp.now,
        actor="broker",
        invocation=held.name,
        session=held.session,
        body={"hold": approved.name, "state": ended.value},
    )
    entries = (moved, *entries_of(invocation, hold, caller, considered, stamp))
    return Recording(
        unit=Unit(changes=tuple(changes), entries=entries),
        invocation=invocation,
        hold=hold,
    )


def record_narrowed(
    held: Invocation,
    shown: Hold,
    call: ToolCall,
    caller: Caller,
    considered: Considered,
    stamp: Stamp,
) -> Recording:
    """The unit that puts a narrowed call in place of the one that waits, under a hold of its own.

    The hold that was shown is void, and whatever was said of it. The new one has no longer to be
    decided than that had, and is taken by whoever had taken that. Nothing is counted of the
    session: it was no act of the agent's.
    """
    narrowed = replace(held, call=call, asked=held.asked or held.call)
    invocation, opened = _after(narrowed, caller, considered, stamp)
    if opened is None:
        raise Defect("A narrowed call waits, whatever else is said of it.")
    hold = replace(
        opened,
        narrows=shown.name,
        decide_by=min(opened.decide_by, shown.decide_by),
        taken_by=shown.taken_by,
        taken_until=shown.taken_until,
    )
    changes: list[Change] = [
        RequireControl(revision=considered.control.revision),
        RequireSession(name=held.session, at=stamp.now),
        MoveHold(
            hold=replace(shown, state=step_hold(shown.state, HoldState.VOID), etag=shown.etag + 1),
            from_etag=shown.etag,
        ),
        NarrowInvocation(invocation=invocation, from_etag=held.etag),
        AddHold(hold=hold),
    ]
    changes += _seen(considered, is_pinned=True)
    entries = entries_of(invocation, hold, caller, considered, stamp)
    return Recording(
        unit=Unit(changes=tuple(changes), entries=entries), invocation=invocation, hold=hold
    )


def _fresh(
    name: str, call: ToolCall, caller: Caller, considered: Considered, stamp: Stamp
) -> Invocation:
    return Invocation(
        name=name,
        session=caller.session.name,
        principal=caller.principal.id,
        agent=caller.agent.id,
        request_id=call.request_id,
        call=call,
        state=InvocationState.NEW,
        decision=None,
        tool_revision="",
        policy_revision="",
        control_revision=considered.control.revision,
        created_at=stamp.asked_at,
        updated_at=stamp.now,
        etag=0,
    )


def _after(
    before: Invocation,
    caller: Caller,
    considered: Considered,
    stamp: Stamp,
) -> tuple[Invocation, Hold | None]:
    """The invocation as the plan leaves it, and the hold that it opens."""
    decision = considered.plan.decision
    common = replace(
        before,
        decision=decision,
        tool_revision=considered.tool.manifest.revision if considered.tool else "",
        policy_revision=considered.policy_revision,
        control_revision=considered.control.revision,
        updated_at=stamp.now,
        etag=before.etag + 1,
        hold="",
        code="",
        message="",
    )
    reasons = visible_reasons(decision)
    code, message = (reasons[0][0], reasons[0][1]) if reasons else ("", "")
    match considered.plan:
        case Refuse():
            state = step(before.state, InvocationState.DENIED)
            return replace(common, state=state, code=code, message=message), None
        case Suspend():
            state = step(before.state, InvocationState.HELD)
            held = replace(common, state=state, code=code, message=message, hold=stamp.hold_name)
            return held, _hold(held, considered.plan, caller, considered, stamp)
        case Run():
            state = step(before.state, InvocationState.RUNNING)
            deadline_s = considered.tool.manifest.deadline_s if considered.tool else 0.0
            running = replace(
                common,
                state=state,
                attempt=before.attempt + 1,
                runner=considered.tool.manifest.runner if considered.tool else "",
                owner=stamp.owner,
                deadline_at=stamp.now + deadline_s,
                lease_expires_at=leased_until(stamp.now, deadline_s),
            )
            return running, None


def _hold(
    invocation: Invocation,
    plan: Suspend,
    caller: Caller,
    considered: Considered,
    stamp: Stamp,
) -> Hold:
    manifest = considered.tool.manifest if considered.tool else None
    amount_minor, currency = amount_of(manifest, invocation.call)
    return Hold(
        name=stamp.hold_name,
        invocation=invocation.name,
        session=invocation.session,
        state=HoldState.PENDING,
        requirements=plan.requirements,
        call_digest=invocation.call.digest,
        tool=invocation.call.tool,
        tool_revision=invocation.tool_revision,
        facts_digest=considered.facts_digest,
        policy_revision=considered.policy_revision,
        principal=caller.principal,
        agent=caller.agent,
        summary=considered.summary,
        created_at=stamp.now,
        decide_by=min(stamp.now + decide_within_s(plan.requirements), caller.session.expires_at),
        amount_minor=amount_minor,
        currency=currency,
        alike=_alike(invocation, plan, caller, considered),
        preview=considered.preview,
        reached=_reached(invocation, considered),
    )


def _reached(invocation: Invocation, considered: Considered) -> tuple[Marks, ...]:
    """What a no to this is remembered by: as it is, and as it was asked."""
    if considered.tool is None:
        return ()
    manifest = considered.tool.manifest
    reached = [considered.reached or marks(manifest, invocation.call)]
    if invocation.asked is not None:
        reached.append(marks(manifest, invocation.asked))
    return tuple(one[: limits.TARGETS_MAX] for one in reached)


def _alike(invocation: Invocation, plan: Suspend, caller: Caller, considered: Considered) -> str:
    if considered.tool is None or considered.traced is None:
        return ""
    return alike(
        invocation.call,
        considered.tool.manifest,
        principal=caller.principal.id,
        agent=caller.agent.id,
        requirements=plan.requirements,
        origins=considered.traced.origins,
    )


def _counted(invocation: Invocation, decision: Decision, stamp: Stamp) -> CountHistory:
    return CountHistory(
        session=invocation.session,
        tool=invocation.call.tool,
        effect=decision.effect.name,
        at=stamp.now,
    )


def _standing(invocation: Invocation, considered: Considered, stamp: Stamp) -> list[Change]:
    """A denial counts against the session; anything else only as long as it still stands so."""
    if not isinstance(considered.plan, Refuse):
        return [considered.standing] if considered.standing is not None else []
    if not counts(considered.plan.decision):
        return []
    denial = CountDenial(
        session=invocation.session,
        invocation=invocation.name,
        at=stamp.now,
        kept_max=limits.DENIALS_KEPT_MAX,
    )
    return [denial]


def _seen(considered: Considered, *, is_pinned: bool) -> list[Change]:
    """Nothing was released to the model meanwhile that the call may have come from."""
    if considered.traced is None or not is_pinned:
        return []
    positions = considered.traced.positions.items()
    return [RequireMemory(session=session, position=position) for session, position in positions]


def _taken(name: str, considered: Considered, stamp: Stamp) -> list[Change]:
    """Keys and reservations of an effect; nothing else takes any."""
    if not isinstance(considered.plan, Run):
        return []
    keys: list[Change] = [
        TakeKey(key=key, version=version, invocation=name)
        for key, version in sorted(considered.keys.items())
    ]
    counters: list[Change] = [
        Reserve(
            key=counter.key,
            version=considered.usage[limit].version,
            invocation=name,
            amount=counter.amount,
            at=stamp.now,
        )
        for limit, counter in sorted(considered.counters.items())
    ]
    return keys + counters
