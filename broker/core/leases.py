"""A RUNNING call is its owner's until its lease is over; what has lapsed is never had again.

An owner that lives keeps the lease ahead of time. One that is gone keeps nothing, and the call is
anybody's to end soon after, however long its tool may take.
"""

from dataclasses import dataclass

from broker.core.limits import LEASE_S, STORE_DEADLINE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLease:
    """The owner of a RUNNING attempt whose lease is not over at `at` has it until `until`.

    Conflict on the invocation where it has lapsed, ended, or is somebody else's.
    """

    invocation: str
    owner: str
    attempt: int
    at: float
    until: float


def leased_until(now: float, deadline_s: float) -> float:
    """When the lease of an attempt is over that begins now, or is kept now, POSIX seconds.

    Args:
        now: POSIX seconds.
        deadline_s: what is left to the tool.
    """
    return now + min(deadline_s, LEASE_S) + STORE_DEADLINE_S
