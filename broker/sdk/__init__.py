"""What an agent's, a host's or a tool's own process imports; needs grpcio and protobuf alone.

`connect` and `connect_sync` make clients, `Worker` carries tools out, `broker.sdk.testing` stands
in for a broker in tests. docs/sdk.md shows them at work.
"""

from broker.sdk.client import Broker, Mandate, Session, connect
from broker.sdk.errors import (
    BrokerError,
    CallerError,
    Defect,
    IllegalTransition,
    LimitExceeded,
    MalformedRequest,
    NotFound,
    NotPermitted,
    OutcomeUnstored,
    PlaintextRefused,
    RequestIdReused,
    StaleEtag,
    Unauthenticated,
    Unavailable,
    WorkerRefused,
)
from broker.sdk.outcomes import (
    AsyncHeld,
    Failed,
    Held,
    Outcome,
    Reason,
    Refused,
    Succeeded,
    SyncHeld,
    SyncOutcome,
    Unknown,
)
from broker.sdk.permits import Permit
from broker.sdk.permits_sync import SyncPermit
from broker.sdk.sync import SyncBroker, SyncMandate, SyncSession, connect_sync
from broker.sdk.tool_function import ToolFailed, ToolFunction
from broker.sdk.values import Artefact, Call, Change, Principal, Scope, Tool
from broker.sdk.worker import Worker

__all__ = [
    "Artefact",
    "AsyncHeld",
    "Broker",
    "BrokerError",
    "Call",
    "CallerError",
    "Change",
    "Defect",
    "Failed",
    "Held",
    "IllegalTransition",
    "LimitExceeded",
    "MalformedRequest",
    "Mandate",
    "NotFound",
    "NotPermitted",
    "Outcome",
    "OutcomeUnstored",
    "Permit",
    "PlaintextRefused",
    "Principal",
    "Reason",
    "Refused",
    "RequestIdReused",
    "Scope",
    "Session",
    "StaleEtag",
    "Succeeded",
    "SyncBroker",
    "SyncHeld",
    "SyncMandate",
    "SyncOutcome",
    "SyncPermit",
    "SyncSession",
    "Tool",
    "ToolFailed",
    "ToolFunction",
    "Unauthenticated",
    "Unavailable",
    "Unknown",
    "Worker",
    "WorkerRefused",
    "connect",
    "connect_sync",
]
