"""An identity whose issuer and rows a test puts together, and what every refusal is like."""

from dataclasses import dataclass, field

import pytest

from broker.core.calls import Person
from broker.core.control import Control
from broker.core.credentials import Credential, CredentialClass, bindings_of
from broker.core.errors import Unauthenticated
from broker.identity import Identity
from tests.fakes.token_issuer import ISSUER, FakeIssuer
from tests.world import NOW, FakeClock

SUBJECTS = {
    CredentialClass.HOST: "hosts/shop",
    CredentialClass.AGENT: "agents/support",
    CredentialClass.WORKER: "workers/shop",
    CredentialClass.REVIEWER: "lead",
    CredentialClass.OPERATOR: "operator",
}
SERVICE = {
    CredentialClass.HOST: "host",
    CredentialClass.AGENT: "agent",
    CredentialClass.WORKER: "worker",
    CredentialClass.REVIEWER: "review",
    CredentialClass.OPERATOR: "admin",
}


def bound(credential_class: CredentialClass, subject: str = "", **given: object) -> Credential:
    """A row that an operator has bound to a subject of the issuer's."""
    wanted = {
        "name": f"credentials/{credential_class}",
        "credential_class": credential_class,
        "subject": SUBJECTS[credential_class],
        "person": Person(issuer="local", subject="owner"),
        "digest": b"",
        "created_at": NOW,
        "expires_at": NOW + 10_000,
        "identity": f"{ISSUER}#{subject or SUBJECTS[credential_class]}",
    }
    return Credential(**{**wanted, **given})


@dataclass
class Gate:
    """An identity, its issuer, and what operators have put in force."""

    issuer: FakeIssuer
    clock: FakeClock
    rows: list[Credential] = field(default_factory=lambda: [bound(c) for c in SUBJECTS])
    terms: dict[str, object] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.issuer.clock = self.clock
        tokens = self.issuer.tokens(self.control, **self.terms)
        self.tokens = tokens
        self.identity = Identity(
            control=self.control, clock=self.clock, access_tokens=tokens, used=self.used.append
        )

    def control(self) -> Control:
        return Control(
            revision=1,
            policy_revision="",
            tools={},
            grants=(),
            freezes=(),
            agents={},
            credentials={},
            bindings=bindings_of(self.rows),
        )

    async def show(self, token: str, wanted: CredentialClass = CredentialClass.AGENT) -> Credential:
        found = await self.identity.recognise(f"Bearer {token}", {wanted})
        self.identity.admit(found, {wanted})
        return found

    def honest(self, wanted: CredentialClass = CredentialClass.AGENT, **more: object) -> str:
        return self.issuer.token(SERVICE[wanted], SUBJECTS[wanted], **more)


async def refuses(gate: Gate, token: str, wanted=CredentialClass.AGENT) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await gate.show(token, wanted)
    assert str(refused.value) == "This needs a valid token: authorization: Bearer cb_…"
