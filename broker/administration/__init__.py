"""The operators' use cases; each change is one audited unit with who did it and, mostly, why.

`Administration` is all of them together, as the RPC layer is handed them.
"""

from dataclasses import dataclass

from broker.administration.changes import ControlChanges
from broker.administration.credentials import CredentialAdministration
from broker.administration.directory import DirectoryAdministration
from broker.administration.explaining import ExplainingAdministration
from broker.administration.freezes import FreezeAdministration
from broker.administration.grants import GrantAdministration
from broker.administration.observing import ObservingAdministration
from broker.administration.overview import Overview
from broker.administration.policies import PolicyAdministration
from broker.administration.recorded import RecordedAdministration
from broker.administration.reperforming import ReperformingAdministration
from broker.administration.retention import RetentionAdministration
from broker.administration.shadow import ShadowAdministration
from broker.administration.sign_ins import SignInAdministration
from broker.administration.tools import ToolAdministration


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """Every use case of operators and auditors."""

    changes: ControlChanges
    tools: ToolAdministration
    policies: PolicyAdministration
    grants: GrantAdministration
    freezes: FreezeAdministration
    observing: ObservingAdministration
    shadow: ShadowAdministration
    directory: DirectoryAdministration
    credentials: CredentialAdministration
    sign_ins: SignInAdministration
    retention: RetentionAdministration
    overview: Overview
    recorded: RecordedAdministration
    explaining: ExplainingAdministration
    reperforming: ReperformingAdministration


__all__ = ["Administration"]
