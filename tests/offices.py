"""The operators' side of a test broker: administration over a real store and a fake policy room."""

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
from broker.control_room import ControlRoom
from broker.core.credentials import Credential, CredentialClass
from broker.core.shadowing import Tally
from broker.events import Events
from broker.ids import UuidFactory
from broker.ports import Clock, Explainer, PolicyRoom
from broker.sign_ins import SignIns
from broker.store import SqlStore
from tests.fakes.explainer import FakeExplainer
from tests.world import credential


def administration(
    store: SqlStore,
    room: ControlRoom,
    policies: PolicyRoom,
    *,
    clock: Clock,
    events: Events | None = None,
    drain_s: float = 0.0,
    workers=lambda: (),
    seen=lambda _shadow: Tally(),
    explainer: Explainer | None = None,
) -> Administration:
    changes = ControlChanges(store=store, room=room, clock=clock, ids=UuidFactory(clock))
    policy_administration = PolicyAdministration(changes=changes, room=policies, drain_s=drain_s)
    shadow = ShadowAdministration(
        changes=changes,
        room=policies,
        policies=policy_administration,
        seen=seen,
        owner="brokers/1",
    )
    recorded, kept = RecordedAdministration(decisions=store), Kept(changes)
    explainer = explainer or FakeExplainer()
    return Administration(
        changes=changes,
        tools=ToolAdministration(
            changes=changes, policies=policy_administration, sources=("shop",)
        ),
        policies=policy_administration,
        grants=GrantAdministration(changes=changes),
        freezes=FreezeAdministration(changes=changes),
        observing=ObservingAdministration(changes=changes),
        shadow=shadow,
        directory=DirectoryAdministration(changes=changes),
        recorded=recorded,
        explaining=ExplainingAdministration(kept=kept, recorded=recorded, explainer=explainer),
        reperforming=ReperformingAdministration(kept=kept, recorded=recorded, explainer=explainer),
        credentials=CredentialAdministration(changes=changes),
        sign_ins=SignInAdministration(sign_ins=SignIns(store=store, clock=clock)),
        retention=RetentionAdministration(changes=changes, keeping=store),
        overview=Overview(
            changes=changes,
            events=events or Events(),
            policies=policies,
            audit_log=store,
            workers=workers,
            shadow=shadow.report,
            libraries=policy_administration.libraries,
            about=About(
                broker="brokers/1", version="0", store="sqlite:///broker.db", started_at=clock()
            ),
        ),
    )


def operator(subject: str = "operator-1") -> Credential:
    return credential(CredentialClass.OPERATOR, subject, person=subject)
