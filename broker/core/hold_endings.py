"""A hold that ends before its call has run ends the call with it: both move in one unit of work."""

from dataclasses import dataclass, replace

from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState, step, step_hold
from broker.core.unit import MoveHold, MoveInvocation, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldEnding:
    """Where a hold and its call end, and what the call's agent is told."""

    hold: HoldState
    invocation: InvocationState
    code: str
    message: str


EXPIRED = HoldEnding(
    hold=HoldState.EXPIRED,
    invocation=InvocationState.EXPIRED,
    code="EXPIRED",
    message="Nobody decided in time, or the approval was not used in time. Nothing ran.",
)
RESTORED = HoldEnding(
    hold=HoldState.EXPIRED,
    invocation=InvocationState.EXPIRED,
    code="RESTORED",
    message="The broker was restored from a backup. What became of this call since that was taken "
    "is not known. Do not repeat it; a person must look.",
)
WITHDRAWN = HoldEnding(
    hold=HoldState.WITHDRAWN,
    invocation=InvocationState.CANCELLED,
    code="CANCELLED",
    message="The call was taken back before anything ran.",
)


def rejected(reason: str) -> HoldEnding:
    """What a reviewer's no leads to; the reason reaches the model."""
    return HoldEnding(
        hold=HoldState.REJECTED,
        invocation=InvocationState.REJECTED,
        code="REJECTED",
        message=reason,
    )


def moves_of(
    hold: Hold, invocation: Invocation, ending: HoldEnding, *, at: float
) -> tuple[MoveHold, MoveInvocation]:
    """Both moves, each from what was seen.

    Raises:
        IllegalTransition: the hold or the call cannot end so from where it is.
    """
    ended_hold = replace(hold, state=step_hold(hold.state, ending.hold), etag=hold.etag + 1)
    ended = replace(
        invocation,
        state=step(invocation.state, ending.invocation),
        code=ending.code,
        message=ending.message,
        updated_at=at,
        etag=invocation.etag + 1,
    )
    return (
        MoveHold(hold=ended_hold, from_etag=hold.etag),
        MoveInvocation(invocation=ended, from_etag=invocation.etag),
    )


def unit_of(
    hold: Hold, invocation: Invocation, ending: HoldEnding, *, actor: str, at: float
) -> Unit:
    """Both moves and their entry.

    Raises:
        IllegalTransition: as for `moves_of`.
    """
    entry = EntryDraft(
        kind=EntryKind.HOLD_CHANGED,
        at=at,
        actor=actor,
        invocation=invocation.name,
        session=hold.session,
        body={"hold": hold.name, "state": ending.hold.value},
    )
    return Unit(changes=moves_of(hold, invocation, ending, at=at), entries=(entry,))
