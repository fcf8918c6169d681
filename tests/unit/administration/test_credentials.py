"""A credential fits its class, stands for one person and opens nothing once it is revoked."""

import dataclasses
import json

import pytest

from broker.administration.credentials import CredentialAdministration, CredentialOrder
from broker.core.credentials import CredentialClass, secret_digest
from broker.core.errors import (
    IllegalTransition,
    MalformedRequest,
    NotFound,
    StoreUnavailable,
)
from broker.credential_uses import CredentialUses
from tests.fakes.faulty_store import FaultyStore
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


async def test_a_rotated_credential_is_the_same_but_for_its_token_and_lasts_as_long(office):
    first, old = await office.admin.credentials.create(OPERATOR, agent_order(life_s=1_000.0))
    office.clock.advance(400)
    made = await office.admin.credentials.rotate(OPERATOR, first.name, overlap_s=100.0)
    now = office.clock()
    same = dataclasses.replace(
        first,
        name=made.credential.name,
        digest=secret_digest(made.token),
        created_at=now,
        expires_at=now + 1_000,
    )
    assert made.credential == same
    assert made.replaced == dataclasses.replace(first, expires_at=now + 100, lasting_s=1_000)
    good = office.room.current().credentials
    assert {secret_digest(old), secret_digest(made.token)} <= good.keys()
    again = await office.admin.credentials.rotate(OPERATOR, made.credential.name, overlap_s=9e4)
    assert again.replaced.expires_at == made.credential.expires_at
    told = [entry for entry in await office.said() if "kind" in entry][-1]
    assert told["kind"] == "credential.rotated"
    assert told["body"]["replaces"] == made.credential.name
    assert made.token not in json.dumps(told)


async def test_whoever_lost_the_new_token_rotates_the_old_one_again_to_as_long_a_life(office):
    first, _ = await office.admin.credentials.create(OPERATOR, agent_order(life_s=1_000.0))
    office.clock.advance(400)
    await office.admin.credentials.rotate(OPERATOR, first.name, overlap_s=100.0)
    office.clock.advance(50)
    again = await office.admin.credentials.rotate(OPERATOR, first.name, overlap_s=100.0)

    assert again.credential.expires_at == office.clock() + 1_000
    assert again.replaced.expires_at == first.created_at + 500


@pytest.mark.parametrize("overlap_s", [-1.0, 8 * 86_400.0, float("nan")])
async def test_two_tokens_do_not_overlap_for_ever(office, overlap_s):
    first, _ = await office.admin.credentials.create(OPERATOR, agent_order())
    with pytest.raises(MalformedRequest):
        await office.admin.credentials.rotate(OPERATOR, first.name, overlap_s=overlap_s)


async def test_what_is_not_good_or_has_no_token_is_not_rotated(office):
    admin = office.admin.credentials
    gone, _ = await admin.create(OPERATOR, agent_order())
    await admin.revoke(OPERATOR, gone.name, reason="lost")
    late, _ = await admin.create(OPERATOR, agent_order(life_s=10.0))
    bound, _ = await admin.create(OPERATOR, agent_order(identity="https://i.example#a"))
    office.clock.advance(10)
    for name in (gone.name, late.name, bound.name):
        with pytest.raises(IllegalTransition):
            await admin.rotate(OPERATOR, name)
    with pytest.raises(NotFound):
        await admin.rotate(OPERATOR, "credentials/0")


@pytest.mark.parametrize(
    "given",
    [
        {"identity": "no-issuer"},
        {"identity": "https://i.example#"},
        {"identity": "#a"},
        {"certificate_san": "spiffe://shop.example/worker"},
        {"certificate_san": "uri:spiffe://shop.example/a b"},
        {"certificate_san": "dns:*.shop.example"},
        {"certificate_san": "dns:Shop.example"},
        {"certificate_san": "email:a@shop.example"},
        {"certificate_alone": True},
        {"certificate_alone": True, "certificate_san": "dns:a", "identity": "https://i#a"},
    ],
    ids=str,
)
async def test_a_credential_goes_with_one_kind_of_proof_that_is_named_whole(office, given):
    with pytest.raises(MalformedRequest):
        await office.admin.credentials.create(OPERATOR, agent_order(**given))


async def test_what_goes_with_something_else_has_no_token(office):
    create, control = office.admin.credentials.create, office.room.current
    by_token, token = await create(OPERATOR, agent_order(certificate_san="dns:a.example"))
    assert token
    assert by_token.digest
    bound, none = await create(OPERATOR, agent_order(identity="https://i.example#a"))
    assert (none, bound.digest) == ("", b"")
    alone, none = await create(
        OPERATOR, agent_order(certificate_san="uri:spiffe://a/b", certificate_alone=True)
    )
    assert (none, alone.is_by_certificate_alone) == ("", True)
    agent = CredentialClass.AGENT
    assert control().bindings.by_identity == {(agent, "https://i.example#a"): bound}
    assert control().bindings.by_certificate == {(agent, "uri:spiffe://a/b"): alone}
    assert list(control().credentials.values()) == [by_token]


async def test_a_reviewer_by_an_issuers_token_is_the_person_whom_it_names(office):
    def order(person: str) -> CredentialOrder:
        return CredentialOrder(
            credential_class=CredentialClass.REVIEWER,
            subject="lead-1",
            person=person,
            groups=("leads",),
            identity="https://i.example#ann",
        )

    with pytest.raises(MalformedRequest, match="who that issuer says"):
        await office.admin.credentials.create(OPERATOR, order("ann-again"))
    made, _ = await office.admin.credentials.create(OPERATOR, order(""))
    assert str(made.person) == "https://i.example#ann"


async def test_one_identity_is_one_agent_while_it_is_good(office):
    create = office.admin.credentials.create
    order = agent_order(identity="https://i.example#a")
    first, _ = await create(OPERATOR, order)
    await create(OPERATOR, order)
    with pytest.raises(MalformedRequest, match=first.name):
        await create(OPERATOR, agent_order(subject="agents/b", identity="https://i.example#a"))


async def test_a_revoked_identity_is_nobody_until_an_operator_makes_a_row_for_it(office):
    admin, control = office.admin.credentials, office.room.current
    identity = "https://i.example#a"
    bound, _ = await admin.create(OPERATOR, agent_order(identity=identity))
    revoked = await admin.revoke_identity(OPERATOR, identity, reason="left")
    assert revoked == (bound.name,)
    assert control().bindings.by_identity == {}
    assert control().bindings.refused == {identity}
    office.clock.advance(1)
    await admin.create(OPERATOR, agent_order(identity=identity))
    assert control().bindings.refused == set()
    assert (await office.kinds())[-2:] == ["identity.revoked", "credential.created"]


async def test_when_a_credential_was_used_is_written_apart_and_kept(office):
    uses = CredentialUses(store=office.store, clock=office.clock)
    admin = CredentialAdministration(changes=office.admin.changes, uses=uses)
    assert await admin.last_used() == {}
    uses.note("credentials/1")
    office.clock.advance(5)
    uses.note("credentials/2")
    expected = {"credentials/1": office.clock() - 5, "credentials/2": office.clock()}
    assert await admin.last_used() == expected
    assert await office.store.credential_uses() == {}
    before = len(await office.said())
    await uses.flush()
    await uses.flush()
    assert await office.store.credential_uses() == expected == await admin.last_used()
    office.clock.advance(60)
    uses.note("credentials/1")
    await uses.flush()
    assert (await office.store.credential_uses())["credentials/1"] == office.clock()
    assert len(await office.said()) == before


async def test_uses_that_cannot_be_written_are_written_later(office):
    store = FaultyStore(office.store)
    uses = CredentialUses(store=store, clock=office.clock)

    async def away(_unit: object) -> None:
        raise StoreUnavailable("The disk is full.")

    uses.note("credentials/1")
    store.before = away
    await uses.flush()
    store.before = None
    await uses.flush()
    assert await office.store.credential_uses() == {"credentials/1": office.clock()}


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
