"""An issuer of access tokens in this process, which signs whatever a test wants it to."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.core.control import Control
from broker.issuers.access_tokens import Terms
from broker.issuers.holding import IssuedTokens, IssuerSettings
from tests.world import NOW

ISSUER = "https://login.test/realm"
AUDIENCES = {
    "host": "callbroker-host",
    "agent": "callbroker-agent",
    "worker": "callbroker-worker",
    "review": "callbroker-review",
    "admin": "callbroker-admin",
}
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
OKP = OKPKey.generate_key("Ed25519", {"kid": "okp", "use": "sig"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})


def part(value: Any) -> str:
    """One part of a token."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@dataclass
class FakeIssuer:
    """An issuer.

    Attributes:
        keys: what it publishes.
        away: while true, it cannot be asked.
        asked: how often each address was.
        says: of itself, instead of the truth.
    """

    clock: Callable[[], float] = lambda: NOW
    keys: list[Any] = field(
        default_factory=lambda: [k.as_dict(private=False) for k in (RSA, EC, OKP)]
    )
    away: bool = False
    asked: list[str] = field(default_factory=list)
    says: dict[str, Any] = field(default_factory=dict)

    def tokens(self, control: Callable[[], Control], **terms: Any) -> IssuedTokens:
        """The broker's side of it."""
        told = {"issuer": ISSUER, "audiences": AUDIENCES, **terms}
        return IssuedTokens(
            [IssuerSettings(terms=Terms(**told))],
            control=control,
            clock=lambda: self.clock(),  # noqa: PLW0108 - a test sets another one later
            transport=lambda _settings: httpx2.MockTransport(self._answer),
        )

    def claims(self, service: str, subject: str, **more: Any) -> dict[str, Any]:
        """What an honest token says; None leaves a claim out."""
        now = int(self.clock())
        told = {
            "iss": ISSUER,
            "aud": AUDIENCES[service],
            "sub": subject,
            "iat": now,
            "exp": now + 300,
            "client_id": "c",
            "jti": "j",
            **more,
        }
        return {name: value for name, value in told.items() if value is not None}

    def token(
        self,
        service: str,
        subject: str,
        *,
        key: Any = RSA,
        header: dict[str, Any] | None = None,
        **more: Any,
    ) -> str:
        """A signed token."""
        named = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid, **(header or {})}
        told = {name: value for name, value in named.items() if value is not None}
        return signed(told, json.dumps(self.claims(service, subject, **more)), key)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.path)
        if self.away:
            raise httpx2.ConnectError("nobody is there")
        if request.url.path.endswith("/openid-configuration"):
            told = {"issuer": ISSUER, "jwks_uri": "https://login.test/keys", **self.says}
            return httpx2.Response(200, json=told)
        return httpx2.Response(200, json={"keys": self.keys})


def signed(header: dict[str, Any], payload: str, key: Any) -> str:
    """A compact token of exactly this payload, by any algorithm and with any header."""
    if header.get("alg") == "RS256" and isinstance(key, RSAKey):
        # By hand: a library would not sign what no issuer signs.
        text = f"{part(header)}.{part(payload)}"
        signature = key.private_key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    if header.get("alg") == "EdDSA":
        text = f"{part(header)}.{part(payload)}"
        signature = key.private_key.sign(text.encode())
        return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
    return jws.serialize_compact(header, payload, key, registry=registry)
