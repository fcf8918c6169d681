"""An error means that there is no answer; a refusal is an answer and is never raised.

BrokerError
├── CallerError       fix the request; repeating it unchanged will not help
│   ├── Unauthenticated · NotPermitted · MalformedRequest · NotFound · RequestIdReused
│   ├── StaleEtag · IllegalTransition · LimitExceeded
│   ├── PlaintextRefused   tokens would cross a network in the clear, or go to what is no address
│   └── WorkerRefused      the broker does not take this worker as it is
├── Unavailable       the broker, or a part that it needs, is away: repeat with the same request id
├── OutcomeUnstored   it ran, or may have, and could not be recorded: do not repeat
└── Defect            the broker's fault

The broker names the reason in trailing metadata; where it cannot (no broker was reached, or
something between broke), the status code decides, towards the more careful class.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import grpc

REASON_KEY: Final = "callbroker-reason"
DEADLINE_EXCEEDED: Final = grpc.StatusCode.DEADLINE_EXCEEDED.name
"""The reason of an Unavailable whose RPC was given no longer."""


class BrokerError(Exception):
    """There is no answer.

    Attributes:
        reason: UPPER_SNAKE and stable, for programs; `str()` is one sentence for people.
    """

    reason: str = "DEFECT"

    def __init__(self, message: str, /, *, reason: str = "") -> None:
        super().__init__(message)
        if reason:
            self.reason = reason


class CallerError(BrokerError):
    """The request is at fault."""


class Unauthenticated(CallerError):
    """No token, or one that is wrong, expired or revoked."""

    reason = "UNAUTHENTICATED"


class NotPermitted(CallerError):
    """This is not for this class of token."""

    reason = "NOT_PERMITTED"


class MalformedRequest(CallerError):
    """Bytes or fields that mean nothing."""

    reason = "MALFORMED_REQUEST"


class NotFound(CallerError):
    """Absent, or somebody else's; the two look alike on purpose."""

    reason = "NOT_FOUND"


class RequestIdReused(CallerError):
    """This request id names another call of the same session."""

    reason = "REQUEST_ID_REUSED"


class StaleEtag(CallerError):
    """What was shown has changed since."""

    reason = "STALE_ETAG"


class IllegalTransition(CallerError):
    """The life cycle has no such step from here; nothing changed."""

    reason = "ILLEGAL_TRANSITION"


class LimitExceeded(CallerError):
    """A bound was passed."""

    reason = "LIMIT_EXCEEDED"


class PlaintextRefused(CallerError):
    """The address is none, or is not this machine and no CA file is given; nothing was sent."""

    reason = "PLAINTEXT_REFUSED"


class WorkerRefused(CallerError):
    """The broker does not take this worker as it is; the sentence says what to change."""

    reason = "WORKER_REFUSED"


class Unavailable(BrokerError):
    """No answer; repeating with the same request id is safe, with a new one it is not.

    Attributes:
        nothing_ran: True where the broker itself says that nothing was decided and nothing ran;
            False where the connection was lost or the deadline passed and nobody can know.
    """

    reason = "UNAVAILABLE"

    def __init__(self, message: str, /, *, reason: str = "", nothing_ran: bool = False) -> None:
        super().__init__(message, reason=reason)
        self.nothing_ran = nothing_ran


class OutcomeUnstored(BrokerError):
    """It ran, or may have, and that could not be recorded. Do not repeat it."""

    reason = "OUTCOME_UNSTORED"


class Defect(BrokerError):
    """An invariant broke in the broker; its log has the details."""


_BY_REASON: Final[Mapping[str, type[BrokerError]]] = {
    kind.reason: kind
    for kind in (
        Unauthenticated,
        NotPermitted,
        MalformedRequest,
        NotFound,
        RequestIdReused,
        StaleEtag,
        IllegalTransition,
        LimitExceeded,
        OutcomeUnstored,
        Defect,
    )
}
_NOTHING_RAN: Final = frozenset({"POLICY_UNAVAILABLE", "STORE_UNAVAILABLE", "RUNNER_UNAVAILABLE"})
_NO_ANSWER: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
_BY_CODE: Final[Mapping[grpc.StatusCode, type[BrokerError]]] = {
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: NotPermitted,
    grpc.StatusCode.INVALID_ARGUMENT: MalformedRequest,
    grpc.StatusCode.OUT_OF_RANGE: MalformedRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: RequestIdReused,
    grpc.StatusCode.ABORTED: StaleEtag,
    grpc.StatusCode.FAILED_PRECONDITION: IllegalTransition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceeded,
    # Without a reason an UNKNOWN came from a broken handler: it may have been past the record.
    grpc.StatusCode.UNKNOWN: OutcomeUnstored,
}


def error_from(
    code: grpc.StatusCode,
    details: str | None,
    trailing: Iterable[tuple[str, str | bytes]] | None,
) -> BrokerError:
    """The error that a finished RPC stands for."""
    reason = next((str(v) for k, v in trailing or () if k == REASON_KEY), "")
    sentence = details or f"The broker answered {code.name}."
    if code in _NO_ANSWER:
        return Unavailable(sentence, reason=reason or code.name, nothing_ran=reason in _NOTHING_RAN)
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, Defect)
    return kind(sentence, reason=reason)
