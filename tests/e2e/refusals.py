"""How a refusal reads on the wire, for whoever expects one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

DEADLINE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Refused:
    """How an RPC was refused."""

    code: str
    reason: str
    message: str
    metadata: Mapping[str, str]


def bearer(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),), "timeout": DEADLINE_S}


def refused(call: Callable[[], object]) -> Refused:
    """The refusal of a call that has to be refused."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return refusal_of(error)
    raise AssertionError(f"this was not refused: {answer}")


def refusal_of(error: Any) -> Refused:
    """What an RPC's error says; its trailer and its details have to say the same."""
    trailing = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    detail = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(detail)
    assert trailing["callbroker-reason"] == detail.reason
    return Refused(
        code=error.code().name,
        reason=detail.reason,
        message=error.details(),
        metadata=dict(detail.metadata),
    )
