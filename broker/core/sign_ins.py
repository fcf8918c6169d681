"""A Person at the review page: signed in for a short while, by a row that can be taken away.

The browser holds 256 random bits; the store holds their SHA-256. A step-up is a fresh sign-in for
one hold as it was shown (name, etag and call digest), good for one approval.
"""

from dataclasses import dataclass
from typing import Final

from broker.core.holds import Reviewer

SIGN_IN_LIFE_S: Final = 8 * 3600.0
SIGN_IN_IDLE_S: Final = 1800.0
STEP_UP_LIFE_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """One browser of one Person.

    Attributes:
        digest: SHA-256 of the cookie's secret.
        reviewer: who, with the groups that the provider told at sign-in.
        how: `oidc` or `local`.
        created_at, expires_at: absolute bounds, POSIX seconds.
        idle_expires_at: end unless a page is asked for before.
    """

    digest: bytes
    reviewer: Reviewer
    how: str
    created_at: float
    expires_at: float
    idle_expires_at: float

    @property
    def name(self) -> str:
        """As operators and the log name it; the secret does not follow from it."""
        return f"sign-ins/{self.digest.hex()[:16]}"

    def is_good(self, *, now: float) -> bool:
        """Whether it is neither over nor left alone for too long."""
        return now < min(self.expires_at, self.idle_expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """That the Person of a sign-in has just shown who they are, for one hold as it was shown."""

    sign_in: bytes
    hold: str
    etag: int
    call_digest: str
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSignIn:
    """A new sign-in; its digest must be new."""

    sign_in: SignIn


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchSignIn:
    """A sign-in that is there moves its idle end."""

    digest: bytes
    idle_expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSignIn:
    """A sign-in is over, and its step-ups with it. Absent is no conflict."""

    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSignIns:
    """Sign-ins and step-ups whose time was over at `expired_at` are erased."""

    expired_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddStepUp:
    """A fresh sign-in for one hold, in place of an earlier one of this sign-in for it."""

    step_up: StepUp


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendStepUp:
    """The step-up for exactly this is there and in time at `at`; it is used up."""

    sign_in: bytes
    hold: str
    etag: int
    call_digest: str
    at: float


SigningIn = AddSignIn | TouchSignIn | EndSignIn | DropSignIns | AddStepUp | SpendStepUp
