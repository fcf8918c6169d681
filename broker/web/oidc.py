"""Who somebody is, as an OpenID Connect provider says: the code flow with PKCE, and nothing else.

An ID token counts only if every one of these holds: signed by a key that the provider publishes,
with one of two pinned algorithms; from exactly the configured issuer, for exactly this client,
with the nonce of this very visit, and in time. Of what it says, the subject makes the Person, and
groups become ours by the settings alone. The access token is not kept. Whatever leaves the process
has a deadline and a largest size.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from broker.core.addresses import is_https_or_here
from broker.core.errors import MalformedRequest
from broker.core.inspection import plain
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.identity import parse_person
from broker.issuers.bounded import Bounded, https
from broker.issuers.groups import groups_in
from broker.issuers.signing_keys import usable_in
from broker.ports import Clock
from broker.web.journeys import Journey
from broker.web.providers import Identified, NotShown, ProviderAway, Terms

DEADLINE_S: Final = 5.0
METADATA_LIFE_S: Final = 3600.0
KEYS_PAUSE_S: Final = 60.0
LEEWAY_S: Final = 60
FRESH_S: Final = 60.0
SKEW_S: Final = 10.0
CODE_CHARACTERS_MAX: Final = 4_000
ALGORITHMS: Final = ("RS256", "ES256")
# Half an address, and JSON that is nested too deep, too.
_NONSENSE: Final = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    TimeoutError,
    ValueError,
    RecursionError,
)
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class Provider:
    """Asks one provider (`web.providers.Provider`)."""

    def __init__(
        self,
        terms: Terms,
        *,
        clock: Clock,
        transport: Callable[[], httpx2.AsyncBaseTransport] | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Make one; nothing is asked yet, so that a broker starts while its provider is away.

        Args:
            terms: what the settings say.
            clock: the time.
            transport: how it is reached; by HTTP unless given.
            deadline_s: seconds that it has for each answer.
        """
        self.terms = terms
        self._clock = clock
        self._transport = transport or (lambda: https(terms.ca_file))
        self._deadline_s = deadline_s
        self._asking = asyncio.Lock()
        self._metadata: Mapping[str, Any] = {}
        self._metadata_until = 0.0
        self._keys: KeySet | None = None
        self._keys_at = 0.0

    @property
    def name(self) -> str:
        """Its host, as people know it."""
        return urlsplit(self.terms.issuer).hostname or self.terms.issuer

    async def door(self, journey: Journey, state: str, *, back: str) -> str:
        """Where a browser goes to sign in; see the port."""
        metadata = await self._described()
        anew = {"prompt": "login", "max_age": "0"} if journey.fresh else {}
        async with self._client() as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=state,
                code_verifier=journey.verifier,
                nonce=journey.nonce,
                redirect_uri=back,
                **anew,
            )
        return str(url)

    async def identify(self, journey: Journey, *, code: str, issuer: str, back: str) -> Identified:
        """Who has come back; see the port."""
        metadata = await self._described()
        says = bool(metadata.get("authorization_response_iss_parameter_supported"))
        if (issuer or says) and issuer != self.terms.issuer:
            raise NotShown("the answer came from another issuer")
        if not 0 < len(code) <= CODE_CHARACTERS_MAX:
            raise NotShown("there is no code, or one that is too long")
        token = await self._redeemed(metadata, journey, code, back)
        claims = await self._verified(metadata, token)
        self._check(claims, journey)
        return self._identified(claims)

    async def _redeemed(
        self, metadata: Mapping[str, Any], journey: Journey, code: str, back: str
    ) -> str:
        client = self._client(metadata)
        try:
            async with asyncio.timeout(self._deadline_s), client:
                answer = await client.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=journey.verifier,
                    redirect_uri=back,
                )
        except OAuthError as refused:
            raise NotShown(f"the code was refused: {plain(str(refused))}") from refused
        except _NONSENSE as error:
            raise ProviderAway(f"the code could not be redeemed: {error!r}") from error
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotShown("the answer has no ID token")
        return token

    async def _verified(self, metadata: Mapping[str, Any], token: str) -> CodeIDToken:
        """The claims of a token that one of the provider's keys has signed."""
        known, failed = await self._key_set(metadata, anew=False), "no key of the provider's fits"
        for keys in (known, None):
            if keys is None and self._clock() - self._keys_at < KEYS_PAUSE_S:
                break  # the keys are as new as can be: whoever forges tokens makes us ask no more
            signed = keys or await self._key_set(metadata, anew=True)
            try:
                decoded = jwt.decode(
                    token,
                    signed,
                    registry=JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False),
                )
            except (JoseError, ValueError) as error:
                failed = repr(error)
            else:
                return self._claims(decoded.claims, decoded.header)
        raise NotShown(f"the ID token is not signed as it must be: {failed}")

    def _claims(self, claims: dict[str, Any], header: dict[str, Any]) -> CodeIDToken:
        return CodeIDToken(
            claims,
            header,
            {"iss": {"essential": True, "values": [self.terms.issuer]}},
            {"client_id": self.terms.client_id},
        )

    def _check(self, claims: CodeIDToken, journey: Journey) -> None:
        """OpenID Connect Core 3.1.3.7, and whatever it leaves to us the strict way."""
        now = self._clock()
        for name in ("exp", "iat", "nbf", "auth_time"):
            if name in claims and not _is_number(claims[name]):
                raise NotShown(f"{name} is no time")
        try:
            claims.validate(now=int(now), leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError) as error:
            raise NotShown(f"the ID token does not count: {error!r}") from error
        audience = claims["aud"]
        if audience != self.terms.client_id and (
            not isinstance(audience, list) or self.terms.client_id not in audience
        ):
            raise NotShown("the ID token is for another client")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not _same(nonce, journey.nonce):
            raise NotShown("the ID token is of another visit")
        if journey.fresh is not None:
            _check_fresh(claims.get("auth_time"), journey, now=now)

    def _identified(self, claims: CodeIDToken) -> Identified:
        subject, auth_time = claims["sub"], claims.get("auth_time")
        if not isinstance(subject, str):
            raise NotShown("the subject is no text")
        try:
            person = parse_person(f"{self.terms.issuer}#{subject}", field="sub")
        except MalformedRequest as refused:
            raise NotShown(f"the subject is none that can be kept: {refused}") from refused
        return Identified(
            person=person,
            name=_name(claims.get(self.terms.name_claim)) or subject,
            groups=groups_in(claims.get(self.terms.groups_claim), self.terms.groups),
            auth_time=None if auth_time is None else float(auth_time),
        )

    async def _described(self) -> Mapping[str, Any]:
        """OpenID Connect Discovery 1.0, kept for an hour."""
        async with self._asking:
            if self._clock() >= self._metadata_until:
                issuer = self.terms.issuer
                found = await self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                _check_metadata(found, issuer)
                self._metadata = found
                self._metadata_until = self._clock() + METADATA_LIFE_S
            return self._metadata

    async def _key_set(self, metadata: Mapping[str, Any], *, anew: bool) -> KeySet:
        async with self._asking:
            stale = self._clock() - self._keys_at >= METADATA_LIFE_S
            if self._keys is None or stale or anew:
                found = await self._json(metadata["jwks_uri"])
                try:
                    self._keys = KeySet.import_key_set({"keys": usable_in(found.get("keys"))})
                except (JoseError, ValueError, TypeError) as error:
                    raise ProviderAway(f"its keys cannot be read: {error!r}") from error
                self._keys_at = self._clock()
            return self._keys

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._deadline_s), self._client() as client:
                answer = await client.request("GET", url, withhold_token=True)
                answer.raise_for_status()
                found = answer.json()
        except _NONSENSE as error:
            raise ProviderAway(f"{url}: {error!r}") from error
        if not isinstance(found, dict):
            raise ProviderAway(f"{url}: no JSON object")
        return found

    def _client(self, metadata: Mapping[str, Any] | None = None) -> AsyncOAuth2Client:
        ways = (metadata or {}).get("token_endpoint_auth_methods_supported")
        post = isinstance(ways, list) and "client_secret_basic" not in ways
        secret = "client_secret_post" if post else "client_secret_basic"
        return AsyncOAuth2Client(
            client_id=self.terms.client_id,
            client_secret=self.terms.client_secret or None,
            token_endpoint_auth_method=secret if self.terms.client_secret else "none",
            scope=" ".join(self.terms.scopes),
            code_challenge_method="S256",
            transport=Bounded(self._transport()),
            headers={"accept-encoding": "identity"},
            timeout=self._deadline_s,
            follow_redirects=False,
            trust_env=False,
        )


def _check_metadata(found: Mapping[str, Any], issuer: str) -> None:
    if found.get("issuer") != issuer:
        raise ProviderAway(f"it calls itself {plain(str(found.get('issuer')))!r}, not {issuer!r}")
    for name in _ENDPOINTS:
        url = found.get(name)
        if not isinstance(url, str) or not is_https_or_here(url):
            raise ProviderAway(f"its {name} is not there or not HTTPS")


def _check_fresh(auth_time: object, journey: Journey, *, now: float) -> None:
    """They signed in on this visit, and just now: an older one is no step-up.

    `auth_time` is in whole seconds, and the clocks of two machines differ a little.
    """
    if not isinstance(auth_time, (int, float)):
        raise NotShown("the provider does not say when they signed in")
    if not max(now - FRESH_S, journey.began_at - SKEW_S) <= auth_time <= now + SKEW_S:
        raise NotShown("that sign-in is not fresh")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _name(claimed: object) -> str:
    """As they are called, where that can be shown on one line."""
    if not isinstance(claimed, str):
        return ""
    name = claimed.strip()
    return name if 0 < len(name) <= NAME_CHARACTERS_MAX and name.isprintable() else ""
