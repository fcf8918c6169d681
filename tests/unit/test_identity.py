"""A token tells who asks; every wrong one gets the same answer."""

import pytest

from broker.core.calls import Person
from broker.core.control import Control
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.errors import MalformedRequest, NotPermitted, Unauthenticated
from broker.identity import Identity, new_token, parse_person

NOW = 1_800_000_000.0


def known(token: str, *, expires_at: float = NOW + 60) -> Control:
    credential = Credential(
        name="credentials/1",
        credential_class=CredentialClass.AGENT,
        subject="agents/a",
        person=Person(issuer="local", subject="owner"),
        digest=secret_digest(token),
        created_at=NOW,
        expires_at=expires_at,
    )
    return Control(
        revision=1,
        policy_revision="",
        tools={},
        grants=(),
        freezes=(),
        agents={},
        credentials={credential.digest: credential},
    )


def identity(control: Control, *, now: float = NOW) -> Identity:
    return Identity(control=lambda: control, clock=lambda: now)


def test_a_new_token_names_its_class_and_has_256_random_bits():
    tokens = {new_token(CredentialClass.WORKER) for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {len("cb_worker_") + 43}


def test_a_good_token_of_the_right_class_is_its_credential():
    token = new_token(CredentialClass.AGENT)
    found = identity(known(token)).authenticate(f"Bearer {token}", {CredentialClass.AGENT})
    assert found.subject == "agents/a"


def test_a_good_token_of_another_class_is_not_permitted():
    token = new_token(CredentialClass.AGENT)
    with pytest.raises(NotPermitted):
        identity(known(token)).authenticate(f"Bearer {token}", {CredentialClass.OPERATOR})


def test_every_wrong_token_gets_the_same_answer():
    token = new_token(CredentialClass.AGENT)
    wrong = [
        None,
        "",
        token,
        f"Basic {token}",
        f"Bearer  {token}",
        f"Bearer {token} ",
        f"Bearer {token}\n",
        f"Bearer {token[:-1]}",
        f"Bearer {new_token(CredentialClass.AGENT)}",
        f"Bearer {token.replace('agent', 'operator')}",
        "Bearer cb_agent_" + "é" * 43,
        "Bearer " + "A" * 100_000,
    ]
    told = set()
    for header in wrong:
        with pytest.raises(Unauthenticated) as refused:
            identity(known(token)).identify(header)
        told.add((str(refused.value), tuple(refused.value.metadata)))
    with pytest.raises(Unauthenticated) as expired:
        identity(known(token, expires_at=NOW)).identify(f"Bearer {token}")
    told.add((str(expired.value), tuple(expired.value.metadata)))
    assert len(told) == 1
    assert token not in str(told)


def test_a_credential_that_is_gone_or_expired_is_found_out_when_looked_at_again():
    token = new_token(CredentialClass.AGENT)
    control = known(token)
    credential = identity(control).identify(f"bearer {token}")
    identity(control, now=NOW + 59).recheck(credential)
    with pytest.raises(Unauthenticated):
        identity(control, now=NOW + 60).recheck(credential)
    with pytest.raises(Unauthenticated):
        identity(known(new_token(CredentialClass.AGENT))).recheck(credential)


def test_a_person_is_issuer_and_subject_and_a_bare_name_is_local():
    assert parse_person("idp.example#ann#1", field="person") == Person(
        issuer="idp.example", subject="ann#1"
    )
    assert parse_person("lead-2", field="person") == Person(issuer="local", subject="lead-2")
    assert parse_person("local#lead-2", field="person") == parse_person("lead-2", field="person")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#a",
        "a#",
        " a",
        "a ",
        "a\n",
        "a\x1b[0m",
        "a\u202eb",
        "x" * 201,
        "\uff41dmin",  # fullwidth a: looks alike, is another
        "e\u0301ve",  # two code points for one letter
    ],
)
def test_a_person_that_could_pass_for_another_is_malformed(text):
    with pytest.raises(MalformedRequest) as wrong:
        parse_person(text, field="person")
    assert wrong.value.metadata["field"] == "person"
