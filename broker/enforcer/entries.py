"""What the log says of a decision: one entry holds the whole cause.

Who, for whom, what, under which revisions, and why, are in the entry; what it was decided on, which
can be erased, is in its contents.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, Invocation
from broker.core.holds import Hold
from broker.core.lifecycle import InvocationState
from broker.core.plan import Plan, Run
from broker.core.recorded import verdict_record
from broker.enforcer.deciding import Considered


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What only the shell knows: when it was asked, when decided, by whom, under which new name."""

    asked_at: float
    now: float
    owner: str
    hold_name: str


def entries_of(
    invocation: Invocation,
    hold: Hold | None,
    caller: Caller,
    considered: Considered,
    stamp: Stamp,
) -> tuple[EntryDraft, ...]:
    """What is logged with a decision: its cause, the hold that it opens, the attempt it begins."""
    decided = EntryDraft(
        kind=EntryKind.CALL_DECIDED,
        at=stamp.now,
        actor=caller.agent.id,
        invocation=invocation.name,
        session=invocation.session,
        body=_cause(invocation, caller, considered),
        contents=_contents(invocation, considered),
    )
    entries = [decided]
    if hold is not None:
        entries.append(
            EntryDraft(
                kind=EntryKind.HOLD_OPENED,
                at=stamp.now,
                actor="broker",
                invocation=invocation.name,
                session=invocation.session,
                body={
                    "hold": hold.name,
                    "codes": [r.code for r in hold.requirements],
                    "facts": hold.facts_digest,
                    "decide_by": hold.decide_by,
                    **_previewed(hold),
                },
            ),
        )
    if invocation.state is InvocationState.RUNNING:
        entries.append(
            EntryDraft(
                kind=EntryKind.ATTEMPT_STARTED,
                at=stamp.now,
                actor="broker",
                invocation=invocation.name,
                session=invocation.session,
                body={
                    "attempt": invocation.attempt,
                    "owner": invocation.owner,
                    "keys": [*sorted(considered.keys)],
                    "digest": invocation.call.digest,
                    **_isolation(considered.plan),
                    **_at_caller(invocation),
                },
            ),
        )
    return tuple(entries)


def _previewed(hold: Hold) -> Mapping[str, JsonValue]:
    """What an approval is bound to besides; or why the tool said nothing."""
    preview = hold.preview
    if preview is None:
        return {}
    return {
        "preview": preview.digest,
        "preview_invocation": preview.invocation,
        "preview_error": preview.error,
    }


def _isolation(plan: Plan) -> Mapping[str, JsonValue]:
    """What it is to run under; the entry of its end says what it did."""
    if not isinstance(plan, Run) or not plan.profile.name:
        return {}
    return {"profile": plan.profile.name, "profile_digest": plan.profile.digest}


def _at_caller(invocation: Invocation) -> Mapping[str, JsonValue]:
    """That the agent's own process gets a permit to execute it, and no runner of the operator's."""
    return {"runner": invocation.runner} if invocation.is_with_caller else {}


def _cause(
    invocation: Invocation, caller: Caller, considered: Considered
) -> Mapping[str, JsonValue]:
    """The whole cause in one entry: who, for whom, what, under which revisions, and why."""
    decision = considered.plan.decision
    return {
        "request_id": invocation.request_id,
        "principal": caller.principal.id,
        "person": str(caller.principal.person),
        "agent": caller.agent.id,
        "owner": str(caller.agent.owner),
        "credential": caller.credential,
        "tool": invocation.call.tool,
        "digest": invocation.call.digest,
        "tool_revision": invocation.tool_revision,
        "policy_revision": invocation.policy_revision,
        "control_revision": invocation.control_revision,
        "effect": decision.effect.name,
        "state": invocation.state.value,
        "verdicts": [verdict_record(v) for v in decision.verdicts],
        "obligations": [{"kind": o.kind, "family": o.family} for o in decision.obligations],
        **_files(considered),
    }


def _files(considered: Considered) -> Mapping[str, JsonValue]:
    """What is in the files that it names; their names are arguments, and erasable."""
    digests = {at: one.sha256 for at, one in considered.artefacts.items()}
    return {"files": {**digests}} if digests else {}


def _contents(invocation: Invocation, considered: Considered) -> Mapping[str, JsonValue]:
    """Enough to decide it again: the policy input, or the arguments where policy was spared."""
    if considered.question is not None:
        return {"summary": considered.summary, "question": dict(considered.question)}
    return {"summary": considered.summary, "arguments": dict(invocation.call.arguments)}
