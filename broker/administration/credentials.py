"""A credential is made for one class, bound to who answers for it; what proves it is shown once.

One subject has one Person: an agent has one owner, a reviewer's name stands for one human, however
many tokens there are. Otherwise "nobody reviews their own agent's request" could be walked around.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from broker.administration.changes import (
    ControlChanges,
    InForce,
    Planned,
    optional_reason,
    required_reason,
)
from broker.administration.credential_orders import (
    CREDENTIAL_LIFE_S_MAX,
    CredentialOrder,
    identity_in,
    malformed,
    minted,
)
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.control_rows import credential_row, credentials_in
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.errors import IllegalTransition, NotFound
from broker.credential_uses import CredentialUses
from broker.identity import new_token

__all__ = ["CredentialAdministration", "CredentialOrder", "Rotated"]

OVERLAP_S: Final = 3_600.0
OVERLAP_S_MAX: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """A credential in place of another.

    Attributes:
        token: shown once.
        replaced: the other one, as it now ends.
    """

    credential: Credential
    token: str = field(repr=False)
    replaced: Credential


class CredentialAdministration:
    """Makes credentials and ends them."""

    def __init__(self, *, changes: ControlChanges, uses: CredentialUses | None = None) -> None:
        """Make one.

        Args:
            changes: makes them.
            uses: knows when credentials were used; None where nobody keeps that.
        """
        self._changes = changes
        self._uses = uses

    async def list(self) -> tuple[Credential, ...]:
        """Every credential, expired and revoked ones too, oldest first."""
        return credentials_in((await self._changes.look()).rows)

    async def last_used(self) -> Mapping[str, float]:
        """When each was last used, POSIX seconds, to about a minute; none that never was."""
        return await self._uses.last() if self._uses is not None else {}

    async def create(self, operator: Credential, order: CredentialOrder) -> tuple[Credential, str]:
        """Make one.

        Returns:
            The credential, and its token, which is nowhere else; empty where it goes without.

        Raises:
            MalformedRequest: the order does not fit its class, or the subject has another Person.
        """
        credential, token = minted(
            order, name=f"credentials/{self._changes.ids()}", now=self._changes.clock()
        )
        entry = self._changes.entry(EntryKind.CREDENTIAL_CREATED, operator, _told(credential))

        async def plan(in_force: InForce) -> Planned[Credential]:
            _require_one_person(credential, credentials_in(in_force.rows))
            row = credential_row(credential)
            return Planned(changes=(row,), entries=(entry,), answer=credential)

        return await self._changes.make(plan), token

    async def rotate(
        self, operator: Credential, name: str, *, overlap_s: float = OVERLAP_S, reason: str = ""
    ) -> Rotated:
        """Make another token for the holder of one; the old one goes on for a while, no longer.

        Args:
            operator: who asks.
            name: `credentials/{id}`.
            overlap_s: seconds for which both are good, at most.
            reason: for the log.

        Raises:
            NotFound: no such credential.
            IllegalTransition: it is not good any more, or has no token.
            MalformedRequest: too long an overlap.
        """
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise malformed("overlap", f"Two tokens overlap by {OVERLAP_S_MAX:.0f} s at most.")
        fresh = f"credentials/{self._changes.ids()}"
        why = optional_reason(reason)

        async def plan(in_force: InForce) -> Planned[Rotated]:
            now = self._changes.clock()
            old = _found(in_force, name)
            if not old.is_good(now=now):
                raise IllegalTransition("This credential is not good any more: make another.")
            if not old.digest:
                raise IllegalTransition("This credential has no token of its own to be rotated.")
            token = new_token(old.credential_class)
            # As long as the first one was meant to last, not as what a rotation has left of it.
            meant_s = old.lasting_s or old.expires_at - old.created_at
            life_s = min(meant_s, CREDENTIAL_LIFE_S_MAX)
            made = replace(
                old,
                name=fresh,
                digest=secret_digest(token),
                created_at=now,
                expires_at=now + life_s,
                lasting_s=0.0,
            )
            ends_at = min(old.expires_at, now + overlap_s)
            ended = replace(old, expires_at=ends_at, lasting_s=meant_s)
            said: dict[str, JsonValue] = {
                **_told(made),
                "replaces": old.name,
                "replaced_expires_at": ended.expires_at,
                "reason": why,
            }
            entry = self._changes.entry(EntryKind.CREDENTIAL_ROTATED, operator, said)
            rotated = Rotated(credential=made, token=token, replaced=ended)
            changes = (credential_row(made), credential_row(ended))
            return Planned(changes=changes, entries=(entry,), answer=rotated)

        return await self._changes.make(plan)

    async def revoke_identity(
        self, operator: Credential, identity: str, *, reason: str
    ) -> tuple[str, ...]:
        """Let nobody in any more whom an issuer of tokens calls so, whatever it signs.

        A row that was never good says so for ever, or until an operator makes a newer one for them.

        Returns:
            The credentials that were revoked with it.

        Raises:
            MalformedRequest: no identity, or no reason.
        """
        why = required_reason(reason)
        person = identity_in(identity)
        name = f"credentials/{self._changes.ids()}"

        async def plan(in_force: InForce) -> Planned[tuple[str, ...]]:
            now = self._changes.clock()
            good = [
                c
                for c in credentials_in(in_force.rows)
                if c.identity == identity and not c.revoked_at
            ]
            refused = Credential(
                name=name,
                credential_class=CredentialClass.REVIEWER,
                subject=identity,
                person=person,
                digest=b"",
                created_at=now,
                expires_at=now,
                revoked_at=now,
                identity=identity,
            )
            revoked = tuple(c.name for c in good)
            entry = self._changes.entry(
                EntryKind.IDENTITY_REVOKED,
                operator,
                {"identity": identity, "revoked": list(revoked), "reason": why},
            )
            rows = (credential_row(refused), *(credential_row(_ended(c, now)) for c in good))
            return Planned(changes=rows, entries=(entry,), answer=revoked)

        return await self._changes.make(plan)

    async def revoke(self, operator: Credential, name: str, *, reason: str) -> None:
        """End one at once; streams that it opened end within seconds.

        Raises:
            NotFound: no such credential.
            IllegalTransition: it was revoked before.
            MalformedRequest: no reason.
        """
        why = required_reason(reason)

        async def plan(in_force: InForce) -> Planned[None]:
            found = _found(in_force, name)
            if found.revoked_at:
                raise IllegalTransition("This credential was revoked before.")
            entry = self._changes.entry(
                EntryKind.CREDENTIAL_REVOKED, operator, {**_told(found), "reason": why}
            )
            row = credential_row(_ended(found, self._changes.clock()))
            return Planned(changes=(row,), entries=(entry,), answer=None)

        await self._changes.make(plan)


def _found(in_force: InForce, name: str) -> Credential:
    found = next((c for c in credentials_in(in_force.rows) if c.name == name), None)
    if found is None:
        raise NotFound("There is no such credential.")
    return found


def _ended(credential: Credential, now: float) -> Credential:
    return replace(credential, revoked_at=now)


def _require_one_person(new: Credential, every: Iterable[Credential]) -> None:
    """One subject of a class is one Person, and one identity one subject, while either is good."""
    for known in every:
        if not known.is_good(now=new.created_at):
            continue
        bound = (known.credential_class, known.identity) == (new.credential_class, new.identity)
        if new.identity and bound and known.subject != new.subject:
            raise malformed(
                "identity", f"{new.identity} is {known.subject} by {known.name}; revoke that first."
            )
        same = (known.credential_class, known.subject) == (new.credential_class, new.subject)
        if same and known.person != new.person:
            raise malformed(
                "person",
                f"{new.subject} has another person by {known.name}; revoke that first, or take"
                " another subject.",
            )


def _told(credential: Credential) -> dict[str, JsonValue]:
    return {
        "created": credential.name,
        "class": credential.credential_class.value,
        "subject": credential.subject,
        "of": str(credential.person) if credential.person else "",
        "groups": list(credential.groups),
        "tools": list(credential.tools),
        "expires_at": credential.expires_at,
        **({"identity": credential.identity} if credential.identity else {}),
        **({"certificate": credential.certificate_san} if credential.certificate_san else {}),
    }
