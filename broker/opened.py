"""What the composition root has opened, and what operators may do with it.

Beside `app` the only module that names adapters: it has them under their own types.
"""

from dataclasses import dataclass

from broker import __version__
from broker.administration import Administration
from broker.administration.changes import ControlChanges
from broker.administration.credentials import CredentialAdministration
from broker.administration.directory import DirectoryAdministration
from broker.administration.explaining import ExplainingAdministration
from broker.administration.freezes import FreezeAdministration
from broker.administration.grants import GrantAdministration
from broker.administration.kept import Kept
from broker.administration.observing import ObservingAdministration
from broker.administration.overview import About, Overview
from broker.administration.policies import PolicyAdministration
from broker.administration.recorded import RecordedAdministration
from broker.administration.reperforming import ReperformingAdministration
from broker.administration.retention import RetentionAdministration
from broker.administration.shadow import ShadowAdministration
from broker.administration.sign_ins import SignInAdministration
from broker.administration.tools import ToolAdministration
from broker.config import Settings
from broker.credential_uses import CredentialUses
from broker.mediation import Mediation, Parts
from broker.named_in_settings import opa_of
from broker.neighbourhood import Neighbourhood
from broker.notifying import Notifying
from broker.policy.explaining.explainer import OpaExplainer
from broker.policy.room import OpaRoom
from broker.ports import Clock, IdFactory
from broker.sandbox_nodes.runner import SandboxRunner
from broker.sign_ins import SignIns
from broker.store import SqlStore
from broker.store.addresses import shown
from broker.tools.worker import WorkerHub


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The adapters, under their own types where somebody needs more than the port."""

    mediation: Parts
    store: SqlStore
    neighbours: Neighbourhood
    policies: OpaRoom
    workers: WorkerHub
    sandboxes: SandboxRunner
    uses: CredentialUses


def administration_of(
    settings: Settings,
    opened: Opened,
    mediation: Mediation,
    notifying: Notifying,
    *,
    clock: Clock,
    ids: IdFactory,
) -> Administration:
    """What operators may do, over what is open; nothing begins yet."""
    store, mediating = opened.store, opened.mediation
    changes = ControlChanges(
        store=store,
        room=mediating.room,
        clock=clock,
        ids=ids,
    )
    policies = PolicyAdministration(changes=changes, room=opened.policies)
    shadow = ShadowAdministration(
        changes=changes,
        room=opened.policies,
        policies=policies,
        seen=mediation.shadowing.tally,
        owner=mediating.owner,
    )
    recorded, kept = RecordedAdministration(decisions=store), Kept(changes)
    explainer = OpaExplainer(opa=opa_of(settings))
    return Administration(
        changes=changes,
        tools=ToolAdministration(
            changes=changes,
            policies=policies,
            sources=tuple(settings.sources),
        ),
        policies=policies,
        grants=GrantAdministration(changes=changes),
        freezes=FreezeAdministration(changes=changes),
        observing=ObservingAdministration(changes=changes),
        shadow=shadow,
        directory=DirectoryAdministration(changes=changes),
        recorded=recorded,
        explaining=ExplainingAdministration(kept=kept, recorded=recorded, explainer=explainer),
        reperforming=ReperformingAdministration(kept=kept, recorded=recorded, explainer=explainer),
        credentials=CredentialAdministration(changes=changes, uses=opened.uses),
        sign_ins=SignInAdministration(sign_ins=SignIns(store=store, clock=clock)),
        retention=RetentionAdministration(changes=changes, keeping=store),
        overview=Overview(
            changes=changes,
            events=mediating.events,
            policies=opened.policies,
            audit_log=store,
            workers=opened.workers.views,
            shadow=shadow.report,
            libraries=policies.libraries,
            sandbox_nodes=opened.sandboxes.status,
            channels=notifying.views,
            brokers=lambda: opened.neighbours.presence.live,
            about=About(
                broker=mediating.owner,
                version=__version__,
                store=shown(settings.database),
                started_at=clock(),
            ),
        ),
    )
