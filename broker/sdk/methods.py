"""Each RPC is a value: what goes in, what comes out, whose token, and whether it may be repeated.

Repeatable is what reads, and what says the same if it is said twice: Invoke, by its request id, and
ReportOutcome, by its permit.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from broker.sdk.configuration import Audience
from broker.v1 import broker_pb2, host_pb2

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[Q, A]):
    """One RPC.

    Attributes:
        path: as on the wire.
        audience: whose token it takes.
        repeatable: whether a lost answer may be asked for again.
    """

    path: str
    request: type[Q]
    response: type[A]
    audience: Audience
    repeatable: bool = False


CREATE_MANDATE: Final = Method(
    path="/broker.v1.HostService/CreateMandate",
    request=host_pb2.CreateMandateRequest,
    response=host_pb2.CreateMandateResponse,
    audience="host",
)
ADD_WORDS: Final = Method(
    path="/broker.v1.HostService/AddWords",
    request=host_pb2.AddWordsRequest,
    response=host_pb2.AddWordsResponse,
    audience="host",
)
REVOKE_SESSION: Final = Method(
    path="/broker.v1.HostService/RevokeSession",
    request=host_pb2.RevokeSessionRequest,
    response=host_pb2.RevokeSessionResponse,
    audience="host",
)
OPEN_SESSION: Final = Method(
    path="/broker.v1.BrokerService/OpenSession",
    request=broker_pb2.OpenSessionRequest,
    response=broker_pb2.OpenSessionResponse,
    audience="agent",
)
CLOSE_SESSION: Final = Method(
    path="/broker.v1.BrokerService/CloseSession",
    request=broker_pb2.CloseSessionRequest,
    response=broker_pb2.CloseSessionResponse,
    audience="agent",
)
LIST_TOOLS: Final = Method(
    path="/broker.v1.BrokerService/ListTools",
    request=broker_pb2.ListToolsRequest,
    response=broker_pb2.ListToolsResponse,
    audience="agent",
    repeatable=True,
)
INVOKE: Final = Method(
    path="/broker.v1.BrokerService/Invoke",
    request=broker_pb2.InvokeRequest,
    response=broker_pb2.InvokeResponse,
    audience="agent",
    repeatable=True,
)
GET_INVOCATION: Final = Method(
    path="/broker.v1.BrokerService/GetInvocation",
    request=broker_pb2.GetInvocationRequest,
    response=broker_pb2.GetInvocationResponse,
    audience="agent",
    repeatable=True,
)
CANCEL_INVOCATION: Final = Method(
    path="/broker.v1.BrokerService/CancelInvocation",
    request=broker_pb2.CancelInvocationRequest,
    response=broker_pb2.CancelInvocationResponse,
    audience="agent",
)
WATCH_INVOCATION: Final = Method(
    path="/broker.v1.BrokerService/WatchInvocation",
    request=broker_pb2.WatchInvocationRequest,
    response=broker_pb2.WatchInvocationResponse,
    audience="agent",
)
REPORT_OUTCOME: Final = Method(
    path="/broker.v1.BrokerService/ReportOutcome",
    request=broker_pb2.ReportOutcomeRequest,
    response=broker_pb2.ReportOutcomeResponse,
    audience="agent",
    repeatable=True,
)
CREATE_ARTEFACT: Final = Method(
    path="/broker.v1.BrokerService/CreateArtefact",
    request=broker_pb2.CreateArtefactRequest,
    response=broker_pb2.CreateArtefactResponse,
    audience="agent",
)
READ_ARTEFACT: Final = Method(
    path="/broker.v1.BrokerService/ReadArtefact",
    request=broker_pb2.ReadArtefactRequest,
    response=broker_pb2.ReadArtefactResponse,
    audience="agent",
)
LIST_ARTEFACTS: Final = Method(
    path="/broker.v1.BrokerService/ListArtefacts",
    request=broker_pb2.ListArtefactsRequest,
    response=broker_pb2.ListArtefactsResponse,
    audience="agent",
    repeatable=True,
)
