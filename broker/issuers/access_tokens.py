"""An access token counts if all of it is as it must be, and then stands for an operator's row.

RFC 9068 the strict way: its type is `at+jwt`, its algorithm and issuer are pinned, its key is one
that the issuer publishes under exactly the token's `kid`, and it is for exactly one of our
services. Keys that a token brings along are never looked at. Nobody is anybody by an issuer's word
alone: a token stands for a credential that an operator has bound to its issuer and subject, or, for
reviewers, for groups that the settings name. A token by which an agent acts for somebody (RFC 8693
`act`) is the agent's, for that Person alone, and nobody else's.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from broker.core.arguments import JsonValue, MalformedJson, parse_object
from broker.core.calls import Person
from broker.core.errors import MalformedRequest
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.core.persons import parse_person
from broker.issuers.groups import groups_in

TOKEN_CHARACTERS_MAX: Final = 8_192
LEEWAY_S: Final = 30.0
TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")

_ED25519: Final = "EdDSA"
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
# Thumbprints name a key that we have or have not; everything else would bring one, or change rules.
_HEADER: Final = frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"})


class NotCounted(Exception):
    """The token shows nothing; `str()` is for the log, never for whoever sent it."""


class UnknownKey(Exception):
    """It may be signed by a key that is newer than those at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the settings say of one issuer.

    Attributes:
        issuer: exactly as its tokens say it.
        audiences: what a token says for each service that it is good for: `host`, `agent`,
            `worker`, `review`, `admin`.
        algorithms: some of `ALGORITHMS`.
        life_s_max: seconds that a token may be meant to last.
        groups_claim: where a reviewer's token says groups.
        groups: ours, by what that says; without any, reviewers too are bound by rows alone.
    """

    issuer: str
    audiences: Mapping[str, str]
    algorithms: tuple[str, ...] = ALGORITHMS
    life_s_max: float = 3_600.0
    groups_claim: str = "groups"
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a token that counts says.

    Attributes:
        service: which of ours it is for.
        who: whose token it is: the agent, where it acts for somebody.
        acting_for: whom for; None where it acts for itself.
        groups: ours.
        until: POSIX seconds from which on it counts nothing.
    """

    service: str
    who: Person
    acting_for: Person | None
    groups: tuple[str, ...]
    until: float


def issuer_named(token: str) -> str:
    """Which issuer a token claims to be of, before anything of it is believed.

    Raises:
        NotCounted: it has not the form of one.
    """
    if len(token) > TOKEN_CHARACTERS_MAX or not _FORM.fullmatch(token):
        raise NotCounted("it has not the form of a signed token")
    claimed = _part(token.split(".")[1]).get("iss")
    if not isinstance(claimed, str):
        raise NotCounted("it names no issuer")
    return claimed


def verified(token: str, terms: Terms, keys: Mapping[str, Any], *, now: float) -> Shown:
    """What a token shows.

    Args:
        token: of the form that `issuer_named` accepts.
        terms: of its issuer.
        keys: the issuer's usable keys, by `kid`.
        now: POSIX seconds.

    Raises:
        NotCounted: nothing.
        UnknownKey: it names a key that is not there.
    """
    header = _part(token.split(".", maxsplit=1)[0])
    _check_header(header, terms)
    key = keys.get(str(header["kid"]))
    if key is None:
        raise UnknownKey
    return _shown(_payload(token, header, key), terms, now=now)


def keys_of(usable: list[dict[str, Any]]) -> dict[str, Any]:
    """Public keys by `kid`; a `kid` that two of them have is none's.

    Raises:
        ValueError: they cannot be read.
    """
    named = [key for key in usable if isinstance(key.get("kid"), str)]
    try:
        found = KeySet.import_key_set({"keys": named}).keys
    except (JoseError, TypeError) as error:
        raise ValueError(repr(error)) from error
    count = Counter(str(key["kid"]) for key in named)
    both = zip(named, found, strict=True)
    return {str(d["kid"]): key for d, key in both if count[str(d["kid"])] == 1}


def _check_header(header: Mapping[str, JsonValue], terms: Terms) -> None:
    if not header.keys() <= _HEADER:
        raise NotCounted("its header has members that are none of a token's")
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise NotCounted("it is no access token (typ at+jwt)")
    if header.get("alg") not in terms.algorithms or header.get("alg") not in ALGORITHMS:
        raise NotCounted("its algorithm is none that is taken")
    name = header.get("kid")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise NotCounted("it names no key")


def _payload(token: str, header: Mapping[str, JsonValue], key: Any) -> Mapping[str, JsonValue]:
    """Its claims, once the signature holds; read from the very bytes that are signed."""
    signed, _, signature = token.rpartition(".")
    try:
        if header["alg"] == _ED25519:
            # By itself: the library warns of the name, which RFC 9864 has issuers change one day.
            _require_ed25519(key, signed.encode("ascii"), _bytes(signature))
        else:
            registry = jws.JWSRegistry(algorithms=[str(header["alg"])], strict_check_header=False)
            jws.deserialize_compact(token, key, registry=registry)
    except (JoseError, InvalidSignature, ValueError, TypeError) as error:
        raise NotCounted(f"its signature does not hold: {error!r}") from error
    _bytes(signature)
    return _part(token.split(".")[1])


def _require_ed25519(key: Any, signed: bytes, signature: bytes) -> None:
    if not isinstance(key, OKPKey) or not isinstance(key.public_key, Ed25519PublicKey):
        raise TypeError("the key is of another algorithm")
    key.public_key.verify(signature, signed)


def _shown(claims: Mapping[str, JsonValue], terms: Terms, *, now: float) -> Shown:
    if claims.get("iss") != terms.issuer:
        raise NotCounted("it is of another issuer")
    if "cnf" in claims:
        raise NotCounted("it is bound to a key that is not asked for here (cnf)")
    until = _until(claims, terms, now=now)
    service = _service(claims.get("aud"), terms)
    subject = _person(terms, claims.get("sub"))
    if "act" not in claims:
        who, acting_for = subject, None
    elif service == "agent":
        who, acting_for = _actor(claims["act"], terms), subject
    else:
        raise NotCounted("whoever acts for somebody else is nobody at this service")
    return Shown(
        service=service,
        who=who,
        acting_for=acting_for,
        groups=groups_in(claims.get(terms.groups_claim), terms.groups),
        until=until,
    )


def _until(claims: Mapping[str, JsonValue], terms: Terms, *, now: float) -> float:
    end, made = _time(claims, "exp"), _time(claims, "iat")
    begins = _time(claims, "nbf") if "nbf" in claims else made
    if now >= end + LEEWAY_S:
        raise NotCounted("it has ended")
    if max(made, begins) > now + LEEWAY_S:
        raise NotCounted("it does not count yet")
    if end - made > terms.life_s_max:
        raise NotCounted("it is meant to last too long")
    return end + LEEWAY_S


def _time(claims: Mapping[str, JsonValue], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotCounted(f"{name} is no time")
    return float(value)


def _service(claimed: JsonValue, terms: Terms) -> str:
    """The one service of ours that it is for; one that is for two of them is for none."""
    told = claimed if isinstance(claimed, list) else [claimed]
    ours = [service for service, audience in terms.audiences.items() if audience in told]
    if len(ours) != 1 or not all(isinstance(one, str) for one in told):
        raise NotCounted("it is not for exactly one service of ours (aud)")
    return ours[0]


def _actor(actor: JsonValue, terms: Terms) -> Person:
    """The one that acts now; whoever acted before it (nested `act`) is history, RFC 8693 §4.1."""
    if not isinstance(actor, dict) or actor.get("iss", terms.issuer) != terms.issuer:
        raise NotCounted("who acts is nobody of this issuer's")
    return _person(terms, actor.get("sub"))


def _person(terms: Terms, subject: JsonValue) -> Person:
    if not isinstance(subject, str):
        raise NotCounted("it names no subject")
    try:
        return parse_person(f"{terms.issuer}#{subject}", field="sub")
    except MalformedRequest as refused:
        raise NotCounted("its subject is none that can be kept") from refused


def _part(text: str) -> Mapping[str, JsonValue]:
    """One part's JSON object, strictly: no member twice, no second spelling of its base64."""
    try:
        return parse_object(_bytes(text), bytes_max=TOKEN_CHARACTERS_MAX)
    except MalformedJson as error:
        raise NotCounted(f"a part of it is no JSON object: {error}") from error


def _bytes(text: str) -> bytes:
    """What base64url spells, in the one spelling that it has."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise NotCounted(f"a part of it is no base64: {error}") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise NotCounted("its base64 has another spelling")
    return data
