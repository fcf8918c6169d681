"""An error becomes a status in one place, without a branch: its class has declared everything.

What is told is the code, the reason and one sentence. Why a rule said so, which file a trace names
or what a database answered is for the log.
"""

from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from broker.core.errors import BrokerError

DOMAIN: Final = "broker.v1"
REASON_KEY: Final = "callbroker-reason"
DETAILS_KEY: Final = "grpc-status-details-bin"
_MESSAGE_CHARACTERS_MAX: Final = 2_500
"""Trailers have 8 KiB with most clients, and the sentence is in them twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a client is told.

    Attributes:
        trailing: metadata: `google.rpc.Status` with an ErrorInfo, and its reason by itself for
            clients that have no such types.
    """

    code: grpc.StatusCode
    message: str
    trailing: tuple[tuple[str, str | bytes], ...]


def status_of(error: BrokerError) -> Status:
    """The status of an error (AIP-193)."""
    code = grpc.StatusCode[error.code]
    message = str(error)[:_MESSAGE_CHARACTERS_MAX]
    detail = any_pb2.Any()
    detail.Pack(
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)
        )
    )
    status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
    return Status(
        code=code,
        message=message,
        trailing=((REASON_KEY, error.reason), (DETAILS_KEY, status.SerializeToString())),
    )
