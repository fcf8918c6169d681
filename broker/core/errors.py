"""What can go wrong so that no answer exists; a refusal is an answer and never one of these.

BrokerError
├── CallerError                 fix the request; repeating it unchanged will not help
│   ├── Unauthenticated         UNAUTHENTICATED      no, wrong, expired or revoked credential
│   ├── NotPermitted            PERMISSION_DENIED    this RPC is not for this class of credential
│   ├── MalformedRequest        INVALID_ARGUMENT     bytes or fields that mean nothing
│   ├── NotFound                NOT_FOUND            absent, or a stranger's: the answer is the same
│   ├── RequestIdReused         ALREADY_EXISTS       the same request id for another call
│   ├── StaleEtag               ABORTED              what was shown has changed since
│   ├── IllegalTransition       FAILED_PRECONDITION  the life cycle does not allow this now
│   └── LimitExceeded           RESOURCE_EXHAUSTED   a bound of `core.limits` or of a quota
├── DependencyError             nothing was decided and nothing ran; the same id may be retried
│   ├── PolicyUnavailable       UNAVAILABLE
│   ├── StoreUnavailable        UNAVAILABLE
│   ├── IssuerUnavailable       UNAVAILABLE
│   └── RunnerUnavailable       UNAVAILABLE
│       └── NoPreview           UNAVAILABLE          told to reviewers alone
├── OutcomeUnstored             UNKNOWN              it ran, or may have; do not retry
└── Defect                      INTERNAL             an invariant broke; details go to the log only

Each class declares its gRPC status code by name and its reason (AIP-193: UPPER_SNAKE, at most 63
characters). `str()` of an error is one sentence that is safe to show to whoever asked.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

RETRY_SOON_S: Final = 1.0
"""When to come again where a place is free as soon as others are done."""


class BrokerError(Exception):
    """No answer exists. `metadata` holds the dynamic parts of the sentence (AIP-193)."""

    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "DEFECT"

    def __init__(self, message: str, /, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.metadata: Mapping[str, str] = dict(metadata or {})


class CallerError(BrokerError):
    """The request is at fault."""


class Unauthenticated(CallerError):
    """No credential, or one that is wrong, expired or revoked."""

    code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class NotPermitted(CallerError):
    """This RPC, or this act, is not for this credential. Never said of a tool."""

    code = "PERMISSION_DENIED"
    reason = "NOT_PERMITTED"


class MalformedRequest(CallerError):
    """Bytes or fields that mean nothing. `metadata["field"]` names the field, if there is one."""

    code = "INVALID_ARGUMENT"
    reason = "MALFORMED_REQUEST"


class NotFound(CallerError):
    """Absent, or somebody else's; the two look alike on purpose."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"


class RequestIdReused(CallerError):
    """This request id names another call of the same session."""

    code = "ALREADY_EXISTS"
    reason = "REQUEST_ID_REUSED"


class StaleEtag(CallerError):
    """What the caller was shown has changed since."""

    code = "ABORTED"
    reason = "STALE_ETAG"


class IllegalTransition(CallerError):
    """The life cycle has no such step from the present state; nothing changed."""

    code = "FAILED_PRECONDITION"
    reason = "ILLEGAL_TRANSITION"


class LimitExceeded(CallerError):
    """A bound was passed."""

    code = "RESOURCE_EXHAUSTED"
    reason = "LIMIT_EXCEEDED"


class DependencyError(BrokerError):
    """A part that the broker needs is away: nothing was decided and nothing ran."""

    code = "UNAVAILABLE"


class PolicyUnavailable(DependencyError):
    """OPA cannot be asked."""

    reason = "POLICY_UNAVAILABLE"


class StoreUnavailable(DependencyError):
    """The database cannot be read or written."""

    reason = "STORE_UNAVAILABLE"


class IssuerUnavailable(DependencyError):
    """The issuer of an access token cannot be asked for its keys, and those at hand are too old."""

    reason = "ISSUER_UNAVAILABLE"


class RunnerUnavailable(DependencyError):
    """Nobody is there to carry the call out."""

    reason = "RUNNER_UNAVAILABLE"


class NoPreview(RunnerUnavailable):
    """The tool's workers do not offer the preview that its manifest names."""

    reason = "NO_PREVIEW"


class OutcomeUnstored(BrokerError):
    """It ran, or may have, and that could not be recorded. Do not retry."""

    code = "UNKNOWN"
    reason = "OUTCOME_UNSTORED"


class Defect(BrokerError):
    """An invariant broke. The sentence is bland; the log has the details."""

    code = "INTERNAL"
    reason = "DEFECT"


def retry_after(wait_s: float = RETRY_SOON_S) -> dict[str, str]:
    """The metadata of an error that says when to come again."""
    return {"retry_after_s": f"{wait_s:.3f}"}
