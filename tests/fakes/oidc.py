"""An OpenID Connect provider in this process, which signs whatever a test wants it to.

`FakeProvider` answers the broker's requests by `transport`, and stands for the browser's visit with
`visit`. What a provider does that conforms is tried against a real one (tests/browser, tests/e2e).
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from broker.web.oidc import Provider
from broker.web.providers import Terms
from tests.world import NOW

ISSUER = "https://login.test/realm"
CLIENT = "callbroker"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
EC_KEY = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})


@dataclass
class Visit:
    """What the broker asked of the provider by way of a browser."""

    query: dict[str, str]
    user: dict[str, Any]


@dataclass
class FakeProvider:
    """A provider.

    Attributes:
        claims: what its ID tokens say instead of the truth; None leaves a claim out.
        token: makes the ID token of its claims; signs with `KEY` unless replaced.
        metadata: what its discovery document says besides.
        keys: what it publishes.
        away: while true, nobody can be asked.
        asked: paths of every request.
    """

    clock: Callable[[], float] = lambda: NOW
    claims: dict[str, Any] = field(default_factory=dict)
    token: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode(
        {"alg": "RS256", "kid": "one"}, claims, KEY
    )
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=lambda: [KEY.as_dict(private=False)])
    away: bool = False
    asked: list[str] = field(default_factory=list)
    visits: dict[str, Visit] = field(default_factory=dict)
    terms: Terms = field(
        default_factory=lambda: Terms(
            issuer=ISSUER,
            client_id=CLIENT,
            client_secret="a secret of the broker's",
            groups={"refund-desk": ("reviewers",), "other-desk": ("others",)},
        )
    )

    def provider(self) -> Provider:
        """The broker's side of it."""
        return Provider(
            self.terms,
            clock=lambda: self.clock(),  # noqa: PLW0108 - a test sets another one later
            transport=lambda: httpx2.MockTransport(self._answer),
        )

    def visit(self, door: str, user: str = "lead", **told: Any) -> str:
        """A browser goes through a door and signs in; returns where it is sent back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(door).query).items()}
        who = {
            "sub": user,
            "preferred_username": user,
            "groups": ["refund-desk"],
            "auth_time": int(self.clock()),
            **told,
        }
        code = f"code-{len(self.visits)}"
        self.visits[code] = Visit(query=query, user=who)
        back = {"code": code, "state": query["state"], "iss": ISSUER}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.asked.append(path)
        if self.away:
            raise httpx2.ConnectError("nobody is there")
        if path.endswith("/.well-known/openid-configuration"):
            return httpx2.Response(200, json=self._described())
        if path.endswith("/keys"):
            return httpx2.Response(200, json={"keys": self.keys})
        return self._redeemed(request)

    def _described(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    def _redeemed(self, request: httpx2.Request) -> httpx2.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        visit = self.visits.pop(form.get("code", ""), None)
        made = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(made).rstrip(b"=").decode()
        if visit is None or visit.query.get("code_challenge") != challenge:
            return httpx2.Response(400, json={"error": "invalid_grant"})
        now = int(self.clock())
        claims = {
            "iss": ISSUER,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": visit.query["nonce"],
            **visit.user,
            **self.claims,
        }
        told = {name: value for name, value in claims.items() if value is not None}
        return httpx2.Response(
            200, json={"access_token": "a", "token_type": "Bearer", "id_token": self.token(told)}
        )
