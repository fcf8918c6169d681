"""What is known of issuers is held here: their keys for a while, and what was found out of a token.

Keys are asked for beside the calls, every few minutes, and once more where a token names one that
is not there, at most once a minute however many such tokens come. While an issuer is away its keys
count on until their life ends; after that its tokens are answered with UNAVAILABLE, never taken.
A token is verified once in a while and not with each call; whom it stands for is looked up each
time, so that what operators revoke counts at once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx2
import structlog

from broker.core.addresses import is_https_or_here
from broker.core.control import Control
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.errors import IssuerUnavailable, Unauthenticated
from broker.core.limits import (
    ISSUER_DEADLINE_S,
    ISSUER_KEYS_EVERY_S,
    ISSUER_KEYS_LIFE_S,
    ISSUER_KEYS_PAUSE_S,
    VERIFIED_TOKENS_MAX,
    VERIFIED_TOKENS_S,
)
from broker.issuers.access_tokens import (
    NotCounted,
    Shown,
    Terms,
    UnknownKey,
    issuer_named,
    keys_of,
    verified,
)
from broker.issuers.bounded import Bounded, https
from broker.issuers.signing_keys import usable_in
from broker.ports import Clock
from broker.ports.access_tokens import KeysWanted

KEYS_MAX: Final = 100

_NOBODY: Final = "This needs a valid token: authorization: Bearer cb_…"
_AWAY: Final = "The issuer of this token cannot be asked for its keys; nothing was decided."
_CLASSES: Final[Mapping[str, tuple[CredentialClass, ...]]] = {
    "host": (CredentialClass.HOST,),
    "agent": (CredentialClass.AGENT,),
    "worker": (CredentialClass.WORKER,),
    "review": (CredentialClass.REVIEWER,),
    "admin": (CredentialClass.OPERATOR, CredentialClass.AUDITOR),
}
_log: Final = structlog.get_logger(__name__)


class IssuerAway(Exception):
    """It cannot be asked, or answers what no issuer does; `str()` is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """One issuer and where its keys are.

    Attributes:
        jwks_uri: empty where its metadata say so (RFC 8414, OpenID Connect Discovery).
        ca_file: PEM of who signs its certificate; None for those of the system.
    """

    terms: Terms
    jwks_uri: str = ""
    ca_file: Path | None = None


@dataclass(slots=True)
class _Issuer:
    settings: IssuerSettings
    keys: Mapping[str, Any] = field(default_factory=dict)
    fetched_at: float | None = None
    tried_at: float | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def was_asked(self, now: float) -> bool:
        """Whether it was asked so lately that it is left in peace."""
        return self.tried_at is not None and 0 <= now - self.tried_at < ISSUER_KEYS_PAUSE_S


class IssuedTokens:
    """Implements `ports.access_tokens.AccessTokens`."""

    def __init__(
        self,
        issuers: Sequence[IssuerSettings],
        *,
        control: Callable[[], Control],
        clock: Clock,
        transport: Callable[[IssuerSettings], httpx2.AsyncBaseTransport] | None = None,
        deadline_s: float = ISSUER_DEADLINE_S,
    ) -> None:
        """Make one; nothing is asked yet, so that a broker starts while its issuers are away.

        Args:
            issuers: that the settings name.
            control: what operators have put in force.
            clock: POSIX seconds.
            transport: how one is reached; by HTTPS unless given.
            deadline_s: seconds that it has for each answer.
        """
        self._issuers = {one.terms.issuer: _Issuer(one) for one in issuers}
        self._control = control
        self._clock = clock
        self._transport = transport or (lambda settings: https(settings.ca_file))
        self._deadline_s = deadline_s
        self._shown: dict[bytes, tuple[Shown, float]] = {}

    def read(self, token: str) -> tuple[Credential, ...]:
        """Whom a token stands for. See the port."""
        try:
            shown = self._verified(token)
        except NotCounted as why:
            _log.info("access_token_refused", why=str(why))
            raise Unauthenticated(_NOBODY) from None
        found = tuple(self._bound(shown))
        if not found:
            _log.info("access_token_of_nobody", identity=str(shown.who), service=shown.service)
            raise Unauthenticated(_NOBODY)
        return found

    def recheck(self, credential: Credential) -> bool:
        """Whether what a token stood for is in force still."""
        bindings = self._control().bindings
        row = bindings.by_identity.get((credential.credential_class, credential.identity))
        if row is not None:
            return row.name == credential.name and self._clock() < row.expires_at
        return (
            credential.name == _name(credential.identity)
            and credential.identity not in bindings.refused
        )

    async def renew(self, issuer: str) -> None:
        """Ask an issuer for its keys, unless that was done just now. Never raises."""
        known = self._issuers[issuer]
        async with known.asking:
            now = self._clock()
            if known.was_asked(now):
                return
            known.tried_at = now
            try:
                async with asyncio.timeout(self._deadline_s):
                    known.keys = await self._published(known.settings)
            except (IssuerAway, TimeoutError) as error:
                _log.warning("issuer_away", issuer=issuer, why=str(error) or "it took too long")
            else:
                known.fetched_at = now
                # What was signed by a key that is gone is verified again, and refused.
                self._shown.clear()

    async def run(self) -> None:
        """Keep the keys new, for ever."""
        while True:
            await asyncio.gather(*(self.renew(issuer) for issuer in self._issuers))
            await asyncio.sleep(ISSUER_KEYS_EVERY_S)

    def _verified(self, token: str) -> Shown:
        now, digest = self._clock(), secret_digest(token)
        cached = self._shown.get(digest)
        if cached is not None and now < min(cached[1], cached[0].until):
            return cached[0]
        issuer = issuer_named(token)
        known = self._issuers.get(issuer)
        if known is None:
            raise NotCounted("its issuer is none of the settings'")
        keys = self._keys(known, now)
        try:
            shown = verified(token, known.settings.terms, keys, now=now)
        except UnknownKey:
            if self._may_ask(known, now):
                raise KeysWanted(issuer) from None
            raise NotCounted("its key is none that its issuer publishes") from None
        while len(self._shown) >= VERIFIED_TOKENS_MAX:
            self._shown.pop(next(iter(self._shown)))
        self._shown[digest] = (shown, now + VERIFIED_TOKENS_S)
        return shown

    def _keys(self, known: _Issuer, now: float) -> Mapping[str, Any]:
        at = known.fetched_at
        if at is not None and 0 <= now - at < ISSUER_KEYS_LIFE_S:
            return known.keys
        if self._may_ask(known, now):
            raise KeysWanted(known.settings.terms.issuer)
        raise IssuerUnavailable(_AWAY)

    def _may_ask(self, known: _Issuer, now: float) -> bool:
        """Whether it may be asked now, or is being asked: then that answer is waited for."""
        return known.asking.locked() or not known.was_asked(now)

    def _bound(self, shown: Shown) -> list[Credential]:
        bindings, identity = self._control().bindings, str(shown.who)
        found = []
        for credential_class in _CLASSES[shown.service]:
            row = bindings.by_identity.get((credential_class, identity))
            if row is not None and self._clock() < row.expires_at:
                until = min(row.expires_at, shown.until)
                found.append(replace(row, expires_at=until, acting_for=shown.acting_for))
        if found or shown.service != "review" or not shown.groups or identity in bindings.refused:
            return found
        return [_reviewer(shown, identity)]

    async def _published(self, settings: IssuerSettings) -> Mapping[str, Any]:
        uri = settings.jwks_uri or await self._described(settings)
        keys = (await self._json(uri, settings)).get("keys")
        usable = usable_in(keys)
        if not 0 < len(usable) <= KEYS_MAX:
            raise IssuerAway(f"{uri}: no usable keys, or more than {KEYS_MAX}")
        try:
            return keys_of(usable)
        except ValueError as error:
            raise IssuerAway(f"{uri}: its keys cannot be read: {error}") from error

    async def _described(self, settings: IssuerSettings) -> str:
        issuer = settings.terms.issuer
        found = await self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration", settings)
        uri = found.get("jwks_uri")
        if found.get("issuer") != issuer:
            raise IssuerAway("its metadata are another issuer's")
        if not isinstance(uri, str) or not is_https_or_here(uri):
            raise IssuerAway("its jwks_uri is not there or not HTTPS")
        return uri

    async def _json(self, url: str, settings: IssuerSettings) -> dict[str, Any]:
        try:
            async with httpx2.AsyncClient(
                transport=Bounded(self._transport(settings)),
                headers={"accept-encoding": "identity"},
                timeout=self._deadline_s,
                follow_redirects=False,
                trust_env=False,
            ) as client:
                answer = await client.get(url)
                answer.raise_for_status()
                found = answer.json()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError, RecursionError) as error:
            raise IssuerAway(f"{url}: {error!r}") from error
        if not isinstance(found, dict):
            raise IssuerAway(f"{url}: no JSON object")
        return found


def _reviewer(shown: Shown, identity: str) -> Credential:
    """A reviewer by the groups that the settings name, as at the pages; there is no row."""
    person = shown.who
    return Credential(
        name=_name(identity),
        credential_class=CredentialClass.REVIEWER,
        subject=person.subject,
        person=person,
        groups=shown.groups,
        digest=b"",
        created_at=0.0,
        expires_at=shown.until,
        identity=identity,
    )


def _name(identity: str) -> str:
    """What the log calls whoever has no row."""
    return f"access-tokens/{secret_digest(identity).hex()[:16]}"
