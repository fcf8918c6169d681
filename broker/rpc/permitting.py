"""Permits on the wire: who takes one, what is in it, and how a process says that its call ended."""

from typing import Final

from google.protobuf.duration_pb2 import Duration

from broker.permits import Raised, Report
from broker.ports import Failed, Succeeded
from broker.rpc.convert import malformed, require_text, timestamp
from broker.tools.caller import Permit
from broker.v1 import broker_pb2

TAKER_CHARACTERS_MIN: Final = 16
TAKER_CHARACTERS_MAX: Final = 128


def taker_in(taker: str) -> str:
    """The taker of a request; empty where it takes no permit.

    Raises:
        MalformedRequest: it can be guessed, or is too long.
    """
    if taker and not TAKER_CHARACTERS_MIN <= len(taker) <= TAKER_CHARACTERS_MAX:
        raise malformed(
            "permit_taker",
            f"A taker has {TAKER_CHARACTERS_MIN} to {TAKER_CHARACTERS_MAX} random characters.",
        )
    return taker


def permit_out(permit: Permit | None, *, left_s: float) -> broker_pb2.Permit | None:
    """A permit for the wire, with how long it is good yet; None where there is none."""
    if permit is None:
        return None
    call = permit.call
    valid_for = Duration()
    valid_for.FromMilliseconds(max(0, int(left_s * 1_000)))
    return broker_pb2.Permit(
        token=call.fencing_token,
        digest=call.invocation.call.digest,
        attempt=call.invocation.attempt,
        expire_time=timestamp(permit.expires_at),
        valid_for=valid_for,
    )


def report_in(request: broker_pb2.ReportOutcomeRequest) -> Report:
    """What is said of a call.

    Raises:
        MalformedRequest: nothing is.
    """
    match request.WhichOneof("outcome"):
        case "result_json":
            return Succeeded(result_json=request.result_json)
        case "failure":
            code = require_text(request.failure.code, field="failure.code")
            return Failed(code=code, message=request.failure.message)
        case "raised":
            return Raised(kind=require_text(request.raised, field="raised"))
        case _:
            raise malformed("outcome", "Say how it ended.")
