"""Somebody stands between the broker and the issuer of its tokens, or has a key that was withdrawn.

They can cut the way, answer in the issuer's place in the clear, have it publish nonsense, and send
any number of tokens that name keys of their invention.
"""

import asyncio
import gzip

import httpx2
import pytest
from joserfc.jwk import RSAKey

from broker.core.credentials import CredentialClass
from broker.core.errors import IssuerUnavailable, Unauthenticated
from broker.core.limits import ISSUER_KEYS_LIFE_S, ISSUER_KEYS_PAUSE_S, VERIFIED_TOKENS_S
from broker.issuers.access_tokens import Terms
from broker.issuers.bounded import ANSWER_BYTES_MAX
from broker.issuers.holding import IssuedTokens, IssuerSettings
from tests.fakes.token_issuer import AUDIENCES, ISSUER, RSA, STRANGER, FakeIssuer
from tests.gate import Gate, refuses
from tests.world import FakeClock


@pytest.fixture
def gate() -> Gate:
    return Gate(FakeIssuer(), FakeClock())


async def test_a_key_that_the_issuer_withdrew_verifies_nothing_any_more(gate):
    """I stole a signing key; the issuer noticed and publishes another one."""
    token = gate.honest()
    await gate.show(token)
    fresh = RSAKey.generate_key(2048, {"kid": "next", "use": "sig"})
    gate.issuer.keys = [fresh.as_dict(private=False)]
    gate.clock.advance(ISSUER_KEYS_PAUSE_S)
    assert await gate.show(gate.honest(key=fresh))
    await refuses(gate, token)


async def test_keys_that_are_not_there_are_asked_for_once_a_minute_however_many_name_them(gate):
    """I send a thousand tokens that name keys of my invention, so that you flood the issuer."""
    await gate.show(gate.honest())
    before = len(gate.issuer.asked)
    for number in range(50):
        await refuses(gate, gate.honest(key=STRANGER, header={"kid": f"k{number}"}))
    assert len(gate.issuer.asked) == before
    gate.clock.advance(ISSUER_KEYS_PAUSE_S)
    for number in range(50):
        await refuses(gate, gate.honest(key=STRANGER, header={"kid": f"k{number}"}))
    assert len(gate.issuer.asked) == before + 2


class SlowIssuer(FakeIssuer):
    """One that others come to while it answers."""

    async def _answer(self, request):
        await asyncio.sleep(0.01)
        return super()._answer(request)


async def test_who_comes_while_keys_are_asked_for_waits_for_them_too():
    """I have you ask for keys as a new one comes into use, so that you turn its tokens away."""
    gate = Gate(SlowIssuer(), FakeClock())
    await gate.show(gate.honest())
    fresh = RSAKey.generate_key(2048, {"kid": "next", "use": "sig"})
    gate.issuer.keys = [fresh.as_dict(private=False)]
    gate.clock.advance(ISSUER_KEYS_PAUSE_S)
    mine = gate.honest(key=STRANGER, header={"kid": "mine"})
    shown = (gate.show(token) for token in (mine, gate.honest(key=fresh)))
    refused, found = await asyncio.gather(*shown, return_exceptions=True)
    assert isinstance(refused, Unauthenticated)
    assert found.name == f"credentials/{CredentialClass.AGENT}"


async def test_while_the_issuer_is_away_its_keys_count_until_their_life_ends(gate):
    """I cut the way to the issuer, and hope that you then take every token."""
    await gate.show(gate.honest())
    gate.issuer.away = True
    gate.clock.advance(ISSUER_KEYS_LIFE_S - 1)
    assert await gate.show(gate.honest())
    await refuses(gate, gate.honest(key=STRANGER))
    await refuses(gate, gate.honest(key=STRANGER, header={"kid": "newer"}))
    gate.clock.advance(VERIFIED_TOKENS_S)
    for token in (gate.honest(), gate.honest(key=STRANGER)):
        with pytest.raises(IssuerUnavailable):
            await gate.show(token)


async def test_an_issuer_that_was_never_there_is_said_to_be_away(gate):
    """I start the broker where it cannot reach its issuer."""
    gate.issuer.away = True
    with pytest.raises(IssuerUnavailable):
        await gate.show(gate.honest())


KEYS = {
    "a shared secret": [{"kty": "oct", "kid": "rsa", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}],
    "a short RSA key": [{**RSA.as_dict(private=False), "n": "n" * 170}],
    "one to encrypt with": [{**RSA.as_dict(private=False), "use": "enc"}],
    "two of one name": [RSA.as_dict(private=False), STRANGER.as_dict(private=False)],
    "no list": {"rsa": RSA.as_dict(private=False)},
    "nonsense": ["x", None, 7, {}],
    "too many": [{**RSA.as_dict(private=False), "kid": f"k{n}"} for n in range(101)],
}


@pytest.mark.parametrize("what", KEYS)
async def test_keys_that_are_no_signing_keys_verify_nothing(gate, what):
    """I have the issuer's page of keys say what it likes."""
    gate.issuer.keys = KEYS[what]
    with pytest.raises((Unauthenticated, IssuerUnavailable)):
        await gate.show(gate.honest())


@pytest.mark.parametrize(
    "says",
    [{"issuer": "https://evil.test"}, {"jwks_uri": "http://login.test/keys"}, {"jwks_uri": 7}],
    ids=str,
)
async def test_metadata_that_lead_elsewhere_are_not_followed(gate, says):
    """I answer in the issuer's place, and send you to my keys, or in the clear."""
    gate.issuer.says = says
    with pytest.raises(IssuerUnavailable):
        await gate.show(gate.honest())
    assert "/keys" not in gate.issuer.asked


@pytest.mark.parametrize(
    "uri",
    [
        "https://[",
        "https://login.test\x00/keys",
        "https://login.test/" + "k" * 70_000,
        "https://\u2603..test/",
    ],
    ids=["half an address", "a control character", "too long", "no name of a host"],
)
async def test_an_address_that_is_none_is_an_issuer_that_is_away(gate, uri):
    """I answer in one issuer's place, so that you never ask any of them for their keys again."""
    gate.issuer.says = {"jwks_uri": uri}
    with pytest.raises(IssuerUnavailable):
        await gate.show(gate.honest())


async def test_keys_that_are_nested_without_end_are_an_issuer_that_is_away(gate):
    """I have one issuer's page of keys open bracket after bracket until your reading breaks."""
    tokens = answering(gate, httpx2.Response(200, content=b"[" * 200_000))
    await tokens.renew(ISSUER)
    with pytest.raises(IssuerUnavailable):
        tokens.read(gate.honest())


async def test_a_compressed_answer_is_not_unpacked(gate):
    """I answer with few bytes that become a thousand times as many in your memory."""
    plain = b'{"keys": [], "x": "' + b" " * ANSWER_BYTES_MAX + b'"}'
    packed = gzip.compress(plain)
    assert len(packed) < ANSWER_BYTES_MAX
    answer = httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=Told(packed))
    tokens = answering(gate, answer)
    await tokens.renew(ISSUER)
    assert answer.stream.said == 0
    with pytest.raises(IssuerUnavailable):
        tokens.read(gate.honest())


class Told(httpx2.AsyncByteStream):
    """What is sent, and how much of it was asked for."""

    def __init__(self, body):
        self.body = body
        self.said = 0

    async def __aiter__(self):
        self.said += len(self.body)
        yield self.body


def answering(gate: Gate, answer: httpx2.Response) -> IssuedTokens:
    """The broker's side of an issuer that answers this, whatever it is asked."""
    terms = Terms(issuer=ISSUER, audiences=AUDIENCES)
    return IssuedTokens(
        [IssuerSettings(terms=terms, jwks_uri="https://login.test/keys")],
        control=gate.control,
        clock=gate.clock,
        transport=lambda _settings: httpx2.MockTransport(lambda _request: answer),
    )
