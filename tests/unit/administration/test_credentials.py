"""A credential fits its class, stands for one person and opens nothing once it is revoked."""

import pytest

from broker.administration.credentials import CredentialOrder
from broker.core.credentials import CredentialClass, secret_digest
from broker.core.errors import IllegalTransition, MalformedRequest, NotFound
from tests.unit.administration.office import OPERATOR, agent_order


async def test_a_token_opens_what_it_was_made_for_and_is_stored_nowhere(office, tmp_path):
    credential, token = await office.admin.credentials.create(OPERATOR, agent_order())
    assert office.room.current().credentials[secret_digest(token)] == credential
    assert token.startswith("cb_agent_")
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert token.encode() not in held
    assert token.removeprefix("cb_agent_").encode() not in held


@pytest.mark.parametrize(
    "order",
    [
        CredentialOrder(credential_class=CredentialClass.AGENT, subject="a", person="p"),
        CredentialOrder(credential_class=CredentialClass.AGENT, subject="agents/", person="p"),
        CredentialOrder(credential_class=CredentialClass.AGENT, subject="agents/a"),
        CredentialOrder(credential_class=CredentialClass.HOST, subject="agents/a"),
        CredentialOrder(credential_class=CredentialClass.WORKER, subject="w"),
        CredentialOrder(
            credential_class=CredentialClass.WORKER, subject="w", tools=("t",), groups=("g",)
        ),
        CredentialOrder(credential_class=CredentialClass.REVIEWER, subject="r", person="p"),
        CredentialOrder(credential_class=CredentialClass.REVIEWER, subject="r", groups=("g",)),
        CredentialOrder(credential_class=CredentialClass.OPERATOR, subject="o"),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject=""),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject="a", tools=("t",)),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject="a", life_s=0.0),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject="a", life_s=4e7),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject="a\x1b[2J"),
    ],
)
async def test_a_credential_that_does_not_fit_its_class_is_refused(office, order):
    with pytest.raises(MalformedRequest):
        await office.admin.credentials.create(OPERATOR, order)
    assert office.room.current().credentials == {}


async def test_one_agent_has_one_owner_while_any_token_of_it_is_good(office):
    create = office.admin.credentials.create
    first, _ = await create(OPERATOR, agent_order("owner", life_s=60.0))
    await create(OPERATOR, agent_order("local#owner", life_s=60.0))
    with pytest.raises(MalformedRequest, match="has another person"):
        await create(OPERATOR, agent_order("somebody-else"))
    office.clock.advance(60)
    await create(OPERATOR, agent_order("somebody-else"))
    assert office.room.current().agents["agents/a"].owner.subject == "somebody-else"
    assert first.name in {c.name for c in await office.admin.credentials.list()}


async def test_one_reviewers_name_stands_for_one_person(office):
    def order(person: str) -> CredentialOrder:
        return CredentialOrder(
            credential_class=CredentialClass.REVIEWER,
            subject="lead-1",
            person=person,
            groups=("leads",),
        )

    await office.admin.credentials.create(OPERATOR, order("ann"))
    with pytest.raises(MalformedRequest):
        await office.admin.credentials.create(OPERATOR, order("idp#ann"))


async def test_a_revoked_credential_opens_nothing_and_stays_in_the_list(office):
    credential, token = await office.admin.credentials.create(OPERATOR, agent_order())
    await office.admin.credentials.revoke(OPERATOR, credential.name, reason="lost")
    assert secret_digest(token) not in office.room.current().credentials
    (listed,) = await office.admin.credentials.list()
    assert listed.revoked_at == office.clock()
    with pytest.raises(IllegalTransition):
        await office.admin.credentials.revoke(OPERATOR, credential.name, reason="lost")
    with pytest.raises(NotFound):
        await office.admin.credentials.revoke(OPERATOR, "credentials/0", reason="lost")
