"""A credential is made for one class, bound to who answers for it, and its token is shown once.

One subject has one Person: an agent has one owner, a reviewer's name stands for one human, however
many tokens there are. Otherwise "nobody reviews their own agent's request" could be walked around.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from broker.administration.changes import ControlChanges, InForce, Planned, required_reason
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.control_rows import credential_row, credentials_in
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.errors import IllegalTransition, MalformedRequest, NotFound
from broker.core.limits import CREDENTIAL_LIFE_S, NAME_CHARACTERS_MAX
from broker.identity import new_token, parse_person

AGENT_PREFIX: Final = "agents/"
CREDENTIAL_LIFE_S_MAX: Final = 366 * 86_400.0
_NAMES_MAX: Final = 200

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
    """

    credential_class: CredentialClass
    subject: str
    person: str = ""
    groups: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    life_s: float | None = None


class CredentialAdministration:
    """Makes credentials and ends them."""

    def __init__(self, *, changes: ControlChanges) -> None:
        self._changes = changes

    async def list(self) -> tuple[Credential, ...]:
        """Every credential, expired and revoked ones too, oldest first."""
        return credentials_in((await self._changes.look()).rows)

    async def create(self, operator: Credential, order: CredentialOrder) -> tuple[Credential, str]:
        """Make one.

        Returns:
            The credential, and its token, which is nowhere else.

        Raises:
            MalformedRequest: the order does not fit its class, or the subject has another Person.
        """
        credential, token = minted(
            order, name=f"credentials/{self._changes.ids()}", now=self._changes.clock()
        )
        entry = self._changes.entry(EntryKind.CREDENTIAL_CREATED, operator, _told(credential))

        async def plan(in_force: InForce) -> Planned[Credential]:
            _require_one_person(credential, in_force.control.credentials.values())
            row = credential_row(credential)
            return Planned(changes=(row,), entries=(entry,), answer=credential)

        return await self._changes.make(plan), token

    async def revoke(self, operator: Credential, name: str, *, reason: str) -> None:
        """End one at once; streams that it opened end within seconds.

        Raises:
            NotFound: no such credential.
            IllegalTransition: it was revoked before.
            MalformedRequest: no reason.
        """
        why = required_reason(reason)

        async def plan(in_force: InForce) -> Planned[None]:
            found = next((c for c in credentials_in(in_force.rows) if c.name == name), None)
            if found is None:
                raise NotFound("There is no such credential.")
            if found.revoked_at:
                raise IllegalTransition("This credential was revoked before.")
            entry = self._changes.entry(
                EntryKind.CREDENTIAL_REVOKED, operator, {**_told(found), "reason": why}
            )
            row = credential_row(replace(found, revoked_at=self._changes.clock()))
            return Planned(changes=(row,), entries=(entry,), answer=None)

        await self._changes.make(plan)


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
        raise _malformed("life", f"A credential lives {CREDENTIAL_LIFE_S_MAX:.0f} s at most.")
    token = new_token(order.credential_class)
    credential = Credential(
        name=name,
        credential_class=order.credential_class,
        subject=order.subject,
        person=parse_person(order.person, field="person") if order.person else None,
        groups=tuple(dict.fromkeys(order.groups)),
        tools=tuple(dict.fromkeys(order.tools)),
        digest=secret_digest(token),
        created_at=now,
        expires_at=now + life_s,
    )
    return credential, token


def _require_fitting(order: CredentialOrder) -> None:
    if not _is_name(order.subject):
        raise _malformed(
            "subject", f"A subject has 1 to {NAME_CHARACTERS_MAX} printable characters."
        )
    is_agent = order.credential_class is CredentialClass.AGENT
    if order.subject.startswith(AGENT_PREFIX) != is_agent or order.subject == AGENT_PREFIX:
        raise _malformed("subject", "An agent's subject is \"agents/{id}\", and nobody else's is.")
    for field, rule in _RULES[order.credential_class].items():
        given = bool(getattr(order, field))
        if rule is not None and rule is not given:
            needs = "needs" if rule else "has no"
            raise _malformed(
                field, f"A credential of class {order.credential_class} {needs} {field}."
            )
    for field in ("groups", "tools"):
        names: tuple[str, ...] = getattr(order, field)
        if len(names) > _NAMES_MAX or not all(map(_is_name, names)):
            raise _malformed(field, f"At most {_NAMES_MAX} names of printable characters.")


def _require_one_person(new: Credential, good: Iterable[Credential]) -> None:
    """One subject of a class is one Person while any token of it is good."""
    for known in good:
        same = (known.credential_class, known.subject) == (new.credential_class, new.subject)
        if same and known.person != new.person and known.expires_at > new.created_at:
            raise _malformed(
                "person",
                f"{new.subject} has another person by {known.name}; revoke that first, or take"
                " another subject.",
            )


def _is_name(text: str) -> bool:
    return 0 < len(text) <= NAME_CHARACTERS_MAX and text.isprintable() and text == text.strip()


def _malformed(field: str, sentence: str) -> MalformedRequest:
    return MalformedRequest(sentence, metadata={"field": field})


def _told(credential: Credential) -> dict[str, JsonValue]:
    return {
        "created": credential.name,
        "class": credential.credential_class.value,
        "subject": credential.subject,
        "of": str(credential.person) if credential.person else "",
        "groups": list(credential.groups),
        "tools": list(credential.tools),
        "expires_at": credential.expires_at,
    }
