"""What credential may be ordered: it fits its class and is proved in one way.

A token and an issuer's access token exclude each other; a certificate goes beside either, or alone.
Whoever decides on calls or changes what is in force is, by an issuer's token, the Person whom that
issuer names: otherwise one human could be two.
"""

import re
from dataclasses import dataclass
from typing import Final

from broker.core.calls import Person
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.errors import MalformedRequest
from broker.core.limits import CREDENTIAL_LIFE_S, NAME_CHARACTERS_MAX
from broker.identity import new_token, parse_person

AGENT_PREFIX: Final = "agents/"
CREDENTIAL_LIFE_S_MAX: Final = 366 * 86_400.0
_NAMES_MAX: Final = 200
_SAN: Final = re.compile(
    r"uri:[a-z][a-z0-9+.-]*://[!-~]+"
    r"|dns:[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*",
    re.ASCII,
)

_PERSONS_THEMSELVES: Final = frozenset({CredentialClass.REVIEWER, CredentialClass.OPERATOR})

# Which of `person`, `groups` and `tools` a class must have (True), may have (None) or cannot have.
_RULES: Final[dict[CredentialClass, dict[str, bool | None]]] = {
    CredentialClass.HOST: {"person": None, "groups": False, "tools": False},
    CredentialClass.AGENT: {"person": True, "groups": False, "tools": False},
    CredentialClass.WORKER: {"person": None, "groups": False, "tools": True},
    CredentialClass.REVIEWER: {"person": True, "groups": True, "tools": False},
    CredentialClass.OPERATOR: {"person": True, "groups": False, "tools": False},
    CredentialClass.AUDITOR: {"person": None, "groups": False, "tools": False},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialOrder:
    """What credential is wanted.

    Attributes:
        subject: who holds it; an agent's starts with `agents/`, no other's does.
        person: `issuer#subject`, or `subject` of the issuer `local`; may be empty for some classes.
        groups: a reviewer's.
        tools: a worker's.
        life_s: seconds; None for `limits.CREDENTIAL_LIFE_S`.
        identity: `issuer#subject` whose access tokens go with it; it has no token of its own then.
        certificate_san: what its holder's certificate names, `uri:…` or `dns:…`.
        certificate_alone: whether that is all that its holder shows.
    """

    credential_class: CredentialClass
    subject: str
    person: str = ""
    groups: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    life_s: float | None = None
    identity: str = ""
    certificate_san: str = ""
    certificate_alone: bool = False


def minted(order: CredentialOrder, *, name: str, now: float) -> tuple[Credential, str]:
    """A new credential and its token, put in force nowhere yet.

    Args:
        order: what is wanted.
        name: `credentials/{id}`.
        now: POSIX seconds.

    Raises:
        MalformedRequest: the order does not fit its class.
    """
    _require_fitting(order)
    life_s = CREDENTIAL_LIFE_S if order.life_s is None else order.life_s
    if not 0 < life_s <= CREDENTIAL_LIFE_S_MAX:
        raise malformed("life", f"A credential lives {CREDENTIAL_LIFE_S_MAX:.0f} s at most.")
    has_token = not (order.identity or order.certificate_alone)
    token = new_token(order.credential_class) if has_token else ""
    credential = Credential(
        name=name,
        credential_class=order.credential_class,
        subject=order.subject,
        person=_person(order),
        groups=tuple(dict.fromkeys(order.groups)),
        tools=tuple(dict.fromkeys(order.tools)),
        digest=secret_digest(token) if token else b"",
        created_at=now,
        expires_at=now + life_s,
        identity=order.identity,
        certificate_san=order.certificate_san,
    )
    return credential, token


def _require_fitting(order: CredentialOrder) -> None:
    if not _is_name(order.subject):
        raise malformed(
            "subject", f"A subject has 1 to {NAME_CHARACTERS_MAX} printable characters."
        )
    is_agent = order.credential_class is CredentialClass.AGENT
    if order.subject.startswith(AGENT_PREFIX) != is_agent or order.subject == AGENT_PREFIX:
        raise malformed("subject", "An agent's subject is \"agents/{id}\", and nobody else's is.")
    for member, rule in _RULES[order.credential_class].items():
        given = bool(getattr(order, member)) or (
            member == "person"
            and bool(order.identity)
            and order.credential_class in _PERSONS_THEMSELVES
        )
        if rule is not None and rule is not given:
            needs = "needs" if rule else "has no"
            raise malformed(
                member, f"A credential of class {order.credential_class} {needs} {member}."
            )
    for member in ("groups", "tools"):
        names: tuple[str, ...] = getattr(order, member)
        if len(names) > _NAMES_MAX or not all(map(_is_name, names)):
            raise malformed(member, f"At most {_NAMES_MAX} names of printable characters.")
    _require_proof(order)


def _require_proof(order: CredentialOrder) -> None:
    """One way to prove it: our token or an issuer's, perhaps with a certificate, or that alone."""
    if order.identity:
        identity_in(order.identity)
    san = order.certificate_san
    if san and (len(san) > NAME_CHARACTERS_MAX or not _SAN.fullmatch(san)):
        raise malformed(
            "certificate_san",
            'A certificate is named as "uri:spiffe://shop.example/worker" or '
            '"dns:worker.shop.example", whole and in small letters where it is a host.',
        )
    if order.certificate_alone and (not san or order.identity):
        raise malformed(
            "certificate_alone", "A certificate alone needs its name, and goes with nothing else."
        )


def _person(order: CredentialOrder) -> Person | None:
    named = parse_person(order.person, field="person") if order.person else None
    if not order.identity or order.credential_class not in _PERSONS_THEMSELVES:
        return named
    themselves = identity_in(order.identity)
    if named not in {None, themselves}:
        raise malformed("person", "By an issuer's token, somebody is who that issuer says.")
    return themselves


def identity_in(text: str) -> Person:
    """The Person that an identity is; the issuer is never left out."""
    if "#" not in text:
        raise malformed("identity", 'An identity is "issuer#subject" of a configured issuer.')
    return parse_person(text, field="identity")


def _is_name(text: str) -> bool:
    return 0 < len(text) <= NAME_CHARACTERS_MAX and text.isprintable() and text == text.strip()


def malformed(field: str, sentence: str) -> MalformedRequest:
    """The error for one field of an order."""
    return MalformedRequest(sentence, metadata={"field": field})
