"""Somebody brings a token that the configured issuer has not made for this, or not for them.

They can read what the issuer publishes, have honest tokens for other services and people, and can
make any bytes; they do not have the issuer's signing keys.
"""

import base64
import dataclasses
import hmac
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.core.calls import Person
from broker.core.credentials import CredentialClass
from broker.core.errors import NotPermitted, Unauthenticated
from tests.fakes.token_issuer import (
    AUDIENCES,
    EC,
    ISSUER,
    OKP,
    RSA,
    STRANGER,
    FakeIssuer,
    part,
    signed,
)
from tests.gate import SERVICE, SUBJECTS, Gate, bound, refuses
from tests.world import NOW, FakeClock

PUBLIC_PEM = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed_with_the_public_key(gate: "Gate") -> str:
    header = {"alg": "HS256", "typ": "at+jwt", "kid": "rsa"}
    text = f"{part(header)}.{part(gate.issuer.claims('agent', 'agents/support'))}"
    mac = hmac.digest(PUBLIC_PEM, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.fixture
def gate() -> Gate:
    return Gate(FakeIssuer(), FakeClock())


@pytest.mark.parametrize("wanted", SUBJECTS)
async def test_an_honest_token_stands_for_the_row_that_is_bound_to_it(gate, wanted):
    """No attack."""
    found = await gate.show(gate.honest(wanted), wanted)
    assert (found.name, found.subject) == (f"credentials/{wanted}", SUBJECTS[wanted])
    assert found.expires_at == NOW + 330
    assert gate.used == [found.name]


@pytest.mark.parametrize(("algorithm", "key"), [("ES256", EC), ("EdDSA", OKP)])
async def test_the_other_pinned_algorithms_are_taken(gate, algorithm, key):
    """No attack."""
    assert await gate.show(gate.honest(key=key, header={"alg": algorithm}))


UNSIGNED = {
    "no algorithm": lambda g: ".".join(
        (
            part({"alg": "none", "typ": "at+jwt", "kid": "rsa"}),
            g.honest().split(".")[1],
            part("nothing"),
        )
    ),
    "no signature": lambda g: g.honest().rpartition(".")[0] + ".",
    "a shared secret that is the public key": signed_with_the_public_key,
    "a stranger's key under the same name": lambda g: g.honest(key=STRANGER),
    "an algorithm that is not pinned": lambda g: g.honest(header={"alg": "RS512"}),
    "PSS instead of PKCS1": lambda g: g.honest(header={"alg": "PS256"}),
    "Ed25519 by another key": lambda g: g.honest(key=OKP, header={"alg": "EdDSA"})[:-4] + "AAAA",
    "Ed25519 named for an RSA key": lambda g: g.honest(
        key=OKP, header={"alg": "EdDSA", "kid": "rsa"}
    ),
    "an algorithm of another key": lambda g: g.honest(header={"kid": "ec"}),
    "a header of another token": lambda g: ".".join(
        (g.honest(key=EC, header={"alg": "ES256"}).split(".")[0], *g.honest().split(".")[1:])
    ),
    "other claims under an honest signature": lambda g: ".".join(
        (
            g.honest().split(".")[0],
            part(g.issuer.claims("agent", "agents/other")),
            g.honest().split(".")[2],
        )
    ),
}


@pytest.mark.parametrize("what", UNSIGNED)
async def test_what_the_issuer_has_not_signed_counts_nothing(gate, what):
    """I make a token myself, with what anybody can read of the issuer."""
    await refuses(gate, UNSIGNED[what](gate))


BRINGS = {
    "jwk": STRANGER.as_dict(private=False),
    "jku": "https://evil.test/keys",
    "x5u": "https://evil.test/certificate",
    "x5c": ["MIIB"],
    "crit": ["exp"],
    "b64": False,
    "zip": "DEF",
    "cty": "JWT",
}


@pytest.mark.parametrize("member", BRINGS)
@pytest.mark.parametrize("key", [RSA, STRANGER], ids=["honest", "mine"])
async def test_a_key_that_a_token_brings_along_is_never_looked_at(gate, member, key):
    """I sign with my own key, and say in the header where to find it."""
    asked = len(gate.issuer.asked)
    await refuses(gate, gate.honest(key=key, header={member: BRINGS[member]}))
    assert not any("evil" in path for path in gate.issuer.asked[asked:])


@pytest.mark.parametrize(
    "name",
    ["../../../../dev/null", "' OR 1=1 --", "rsa\u0000", "", "x" * 201, None, 7, ["rsa"]],
    ids=repr,
)
async def test_a_key_is_found_by_its_very_name_alone(gate, name):
    """I name a key by a path, a statement or nothing, and sign with what I think is there."""
    await refuses(gate, gate.honest(header={"kid": name}))


@pytest.mark.parametrize(
    "lie",
    [
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "id_token"}},
        {"header": {"typ": None}},
        {"header": {"typ": "logout+jwt"}},
        {"iss": "https://login.test/realm/"},
        {"iss": "https://evil.test"},
        {"iss": None},
        {"aud": "somebody-else"},
        {"aud": None},
        {"aud": []},
        {"aud": ["callbroker-agent", "callbroker-admin"]},
        {"aud": ["callbroker-agent", 7]},
        {"exp": int(NOW) - 31},
        {"exp": None},
        {"exp": "never"},
        {"exp": True},
        {"exp": int(NOW) + 90_000},
        {"iat": int(NOW) + 31},
        {"iat": None},
        {"nbf": int(NOW) + 31},
        {"nbf": "now"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "agents/support\u202e"},
        {"sub": "agents/nobody"},
        {"cnf": {"jkt": "x"}},
        {"act": None, "sub": "AGENTS/SUPPORT"},
    ],
    ids=str,
)
async def test_what_was_signed_for_something_else_counts_nothing(gate, lie):
    """I have tokens that the issuer did sign: for another time, place, kind or somebody else."""
    await refuses(gate, gate.honest(**lie))


async def test_an_id_token_is_no_access_token(gate):
    """I send on the ID token that a web application was given for a reviewer."""
    token = gate.issuer.token(
        "review", "lead", header={"typ": "JWT"}, nonce="n", aud=AUDIENCES["review"]
    )
    await refuses(gate, token, CredentialClass.REVIEWER)


@pytest.mark.parametrize("given", SUBJECTS)
@pytest.mark.parametrize("wanted", SUBJECTS)
async def test_a_token_for_one_service_opens_no_other(gate, given, wanted):
    """I have a worker's token and bring it to the operators' service."""
    if given is wanted:
        return
    with pytest.raises((Unauthenticated, NotPermitted)):
        await gate.show(gate.honest(given), wanted)


async def test_the_same_subject_is_somebody_else_at_another_service(gate):
    """I am bound as a worker, and have the issuer give me a token for the operators' service."""
    token = gate.issuer.token("admin", "workers/shop")
    await refuses(gate, token, CredentialClass.OPERATOR)


@pytest.mark.parametrize("service", ["host", "worker", "review", "admin"])
async def test_whoever_acts_for_somebody_is_nobody_but_an_agent(gate, service):
    """I am an agent with a token that a lead has delegated to me, and I approve with it."""
    wanted = {s: c for c, s in SERVICE.items()}[service]
    token = gate.issuer.token(service, SUBJECTS[wanted], act={"sub": "agents/support"})
    await refuses(gate, token, wanted)


async def test_an_agent_that_acts_for_somebody_is_itself_and_for_them_alone(gate):
    """I am let act for Ann, and say that I am Ann, or act for whomever I like."""
    token = gate.issuer.token("agent", "ann", act={"sub": "agents/support"})
    found = await gate.show(token)
    assert found.subject == "agents/support"
    assert found.acting_for == Person(issuer=ISSUER, subject="ann")
    assert (await gate.show(gate.honest())).acting_for is None


@pytest.mark.parametrize(
    "actor",
    [
        None,
        "agents/support",
        {},
        {"sub": ""},
        {"sub": "agents/support", "iss": "https://evil.test"},
    ],
    ids=repr,
)
async def test_an_actor_that_is_nobody_makes_the_token_nobodys(gate, actor):
    """I have `act` say nothing, so that the subject counts instead."""
    claims = gate.issuer.claims("agent", "agents/support")
    claims["act"] = actor
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}
    await refuses(gate, signed(header, json.dumps(claims), RSA))


async def test_a_claim_twice_is_no_claim(gate):
    """One reader takes the first `sub`, another the last; I have the issuer sign both."""
    honest = json.dumps(gate.issuer.claims("agent", "agents/other"))
    for twice in ('{"sub":"agents/support",' + honest[1:], honest[:-1] + ',"s\\u0075b":"x"}'):
        header = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}
        await refuses(gate, signed(header, twice, RSA))


@pytest.mark.parametrize(
    "text",
    [
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "....",
        "e30.e30.e30",
        "W10.W10.AA",
        "x" * 9_000 + ".e30.AA",
        "e30=.e30.AA",
        "e31.e30.AA",
    ],
    ids=lambda text: text[:20],
)
async def test_what_has_not_the_form_of_a_token_costs_nothing(gate, text):
    """I send nonsense, and megabytes of it."""
    await refuses(gate, text)
    assert gate.issuer.asked == []


async def test_a_huge_token_is_refused_before_anything_of_it_is_read(gate):
    """I have the issuer sign an enormous claim, so that each call costs you a second."""
    await gate.show(gate.honest())
    await refuses(gate, gate.honest(pad="x" * 10_000))


async def test_a_token_with_another_signature_encoding_is_another_token(gate):
    """I change bits that base64 ignores, so that what was revoked by its text comes back."""
    head, _, signature = gate.honest().rpartition(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(signature[-1])
    other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]
    await refuses(gate, f"{head}.{signature[:-1]}{other}")


async def test_a_token_ends_although_it_was_verified_before(gate):
    """I use it again and again, so that the broker remembers that it was good."""
    token = gate.honest()
    await gate.show(token)
    gate.clock.advance(329)
    assert await gate.show(token)
    found = await gate.show(token)
    gate.clock.advance(2)
    await refuses(gate, token)
    with pytest.raises(Unauthenticated):
        gate.identity.recheck(found)


@pytest.mark.parametrize("how", ["revoked", "expired", "gone"])
async def test_what_an_operator_revokes_counts_at_once_whatever_the_issuer_signs(gate, how):
    """My issuer goes on giving me tokens after you have shown me the door."""
    found = await gate.show(gate.honest())
    place = next(n for n, row in enumerate(gate.rows) if row.name == found.name)
    if how == "revoked":
        gate.rows[place] = dataclasses.replace(gate.rows[place], revoked_at=NOW)
    elif how == "expired":
        gate.rows[place] = dataclasses.replace(gate.rows[place], expires_at=NOW)
    else:
        del gate.rows[place]
    await refuses(gate, gate.honest())
    with pytest.raises(Unauthenticated):
        gate.identity.recheck(found)


async def test_a_stream_ends_although_the_same_identity_was_bound_anew(gate):
    """I keep my stream over a row that was replaced by one for less."""
    found = await gate.show(gate.honest())
    gate.rows.append(bound(CredentialClass.AGENT, name="credentials/new"))
    with pytest.raises(Unauthenticated):
        gate.identity.recheck(found)


async def test_groups_make_reviewers_and_nothing_else_and_only_until_revoked():
    """My issuer lets me choose my groups, or I come back after I was shown the door."""
    gate = Gate(
        FakeIssuer(), FakeClock(), terms={"groups": {"desk": ("leads",), "lunch": ("eaters",)}}
    )
    token = gate.issuer.token("review", "ann", groups=["desk", "admins"])
    found = await gate.show(token, CredentialClass.REVIEWER)
    assert (found.groups, found.person) == (("leads",), Person(issuer=ISSUER, subject="ann"))
    for groups in ([], ["admins"], "admins", {"desk": 1}, ["x"] * 1_001):
        nobody = gate.issuer.token("review", "ann", groups=groups)
        await refuses(gate, nobody, CredentialClass.REVIEWER)
    for service, wanted in (("admin", CredentialClass.OPERATOR), ("host", CredentialClass.HOST)):
        token_there = gate.issuer.token(service, "ann", groups=["desk"])
        await refuses(gate, token_there, wanted)
    gate.identity.recheck(found)
    gate.rows.append(bound(CredentialClass.REVIEWER, "ann", name="credentials/no", revoked_at=NOW))
    await refuses(gate, token, CredentialClass.REVIEWER)
    with pytest.raises(Unauthenticated):
        gate.identity.recheck(found)


@pytest.mark.parametrize("other", [CredentialClass.OPERATOR, CredentialClass.REVIEWER])
async def test_what_was_made_before_a_revocation_undoes_none(other):
    """I was shown the door as a reviewer, and have another row from before, which has ended."""
    gate = Gate(FakeIssuer(), FakeClock(), terms={"groups": {"desk": ("leads",)}})
    gate.rows += [
        bound(CredentialClass.REVIEWER, "ann", name="credentials/1", revoked_at=NOW + 20),
        bound(other, "ann", name="credentials/2", created_at=NOW + 10, expires_at=NOW + 15),
    ]
    gate.clock.advance(30)
    token = gate.issuer.token("review", "ann", groups=["desk"])
    await refuses(gate, token, CredentialClass.REVIEWER)
    gate.rows.append(bound(other, "ann", name="credentials/3", created_at=NOW + 25))
    assert await gate.show(token, CredentialClass.REVIEWER)
