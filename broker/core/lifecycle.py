"""Life cycles are tables: an absent pair is illegal; an illegal step raises and changes nothing.

`INVOCATION` and `HOLD` are the only places that say which state may follow which. The store's
conditional updates name the state that they leave, so that two writers cannot both take a step.
"""

import enum
from collections.abc import Mapping
from typing import Final

from broker.core.errors import IllegalTransition


class InvocationState(enum.StrEnum):
    """Where one mediated call is."""

    NEW = "NEW"
    HELD = "HELD"
    RUNNING = "RUNNING"
    DENIED = "DENIED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class HoldState(enum.StrEnum):
    """Where one suspended call's consent is."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    CLAIMED = "CLAIMED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"
    VOID = "VOID"


_I = InvocationState
INVOCATION: Final[Mapping[InvocationState, frozenset[InvocationState]]] = {
    _I.NEW: frozenset({_I.DENIED, _I.HELD, _I.RUNNING}),
    # HELD to HELD is a new hold: what was shown has changed.
    _I.HELD: frozenset(
        {_I.RUNNING, _I.DENIED, _I.REJECTED, _I.EXPIRED, _I.CANCELLED, _I.HELD},
    ),
    # To CANCELLED only where the runner proves that it never started.
    _I.RUNNING: frozenset({_I.SUCCEEDED, _I.FAILED, _I.UNKNOWN, _I.CANCELLED}),
    # Reconcile only, with an author and evidence.
    _I.UNKNOWN: frozenset({_I.SUCCEEDED, _I.FAILED}),
    _I.DENIED: frozenset(),
    _I.REJECTED: frozenset(),
    _I.EXPIRED: frozenset(),
    _I.CANCELLED: frozenset(),
    _I.SUCCEEDED: frozenset(),
    _I.FAILED: frozenset(),
}

_H = HoldState
HOLD: Final[Mapping[HoldState, frozenset[HoldState]]] = {
    # PENDING to VOID: its invocation was denied or held anew when it was looked at again.
    _H.PENDING: frozenset({_H.APPROVED, _H.REJECTED, _H.EXPIRED, _H.WITHDRAWN, _H.VOID}),
    # To PENDING: taken back before the claim.
    _H.APPROVED: frozenset({_H.CLAIMED, _H.EXPIRED, _H.WITHDRAWN, _H.VOID, _H.PENDING}),
    _H.CLAIMED: frozenset(),
    _H.REJECTED: frozenset(),
    _H.EXPIRED: frozenset(),
    _H.WITHDRAWN: frozenset(),
    _H.VOID: frozenset(),
}

TERMINAL: Final = frozenset(state for state, following in INVOCATION.items() if not following)

# A key stays taken while its effect may still happen or may have happened unseen.
KEY_TAKEN: Final = frozenset({_I.RUNNING, _I.UNKNOWN})


def step(state: InvocationState, following: InvocationState) -> InvocationState:
    """The state after a legal step of an invocation.

    Raises:
        IllegalTransition: the table has no such pair.
    """
    if following not in INVOCATION[state]:
        raise IllegalTransition(
            f"An invocation that is {state} cannot become {following}.",
            metadata={"state": state, "following": following},
        )
    return following


def step_hold(state: HoldState, following: HoldState) -> HoldState:
    """The state after a legal step of a hold.

    Raises:
        IllegalTransition: the table has no such pair.
    """
    if following not in HOLD[state]:
        raise IllegalTransition(
            f"A hold that is {state} cannot become {following}.",
            metadata={"state": state, "following": following},
        )
    return following
