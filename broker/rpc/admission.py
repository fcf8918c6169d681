"""Which class of credential may call what: one service, one audience.

What is not named here is closed.
"""

from collections.abc import Mapping
from typing import Final

from broker.core.credentials import CredentialClass

OPEN_SERVICES: Final = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "grpc.reflection.v1.ServerReflection",
    }
)
"""Standard services that say nothing that is not public."""

_SERVICES: Final[Mapping[str, CredentialClass]] = {
    "broker.v1.HostService": CredentialClass.HOST,
    "broker.v1.BrokerService": CredentialClass.AGENT,
    "broker.v1.WorkerService": CredentialClass.WORKER,
    "broker.v1.ReviewService": CredentialClass.REVIEWER,
    "broker.v1.AdminService": CredentialClass.OPERATOR,
}
_AUDITORS_TOO: Final = frozenset(
    f"broker.v1.AdminService/{method}"
    for method in (
        "GetStatus",
        "ListManifests",
        "ListPolicies",
        "ShowAccess",
        "ListFreezes",
        "ListObservations",
        "GetShadow",
        "ListDirectories",
        "ListDirectoryEntries",
        "ListCredentials",
        "ListSignIns",
        "GetRetention",
        "ListInvocations",
        "TailInvocations",
        "ShowInvocation",
        "GetRecordedDecision",
        "ListRecordedDecisions",
        "ExplainInvocation",
        "ReperformInvocation",
        "ExportAudit",
    )
)


def admitted_to(rpc: str) -> frozenset[CredentialClass]:
    """The classes that may call a method.

    Args:
        rpc: `broker.v1.AdminService/GetStatus`.

    Returns:
        Empty for any method that is not known here.
    """
    service = rpc.partition("/")[0]
    owner = _SERVICES.get(service)
    if owner is None:
        return frozenset()
    return frozenset({owner} | ({CredentialClass.AUDITOR} if rpc in _AUDITORS_TOO else set()))
