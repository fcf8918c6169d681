"""Who has which scope, with which bound values, until when, by whom and why: all of it is here.

A grant is never changed, only given and taken back. What is granted is an upper bound: what a
session can do is what principal, agent and mandate all have.
"""

from collections.abc import Iterable

from broker.administration.access import Access, access_of
from broker.administration.changes import ControlChanges, InForce, Planned, required_reason
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.control_rows import GRANT, grant_row
from broker.core.credentials import Credential
from broker.core.errors import MalformedRequest, NotFound
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.core.scopes import Grant, Scope
from broker.core.unit import DropControl


class GrantAdministration:
    """Gives scopes and takes them back."""

    def __init__(self, *, changes: ControlChanges) -> None:
        self._changes = changes

    def access(self, *, principal: str, groups: Iterable[str] = (), agent: str = "") -> Access:
        """What a principal may do now, through which agent, and why; see `access_of`."""
        return access_of(
            self._changes.room.current(),
            principal=principal,
            groups=groups,
            agent=agent,
            now=self._changes.clock(),
        )

    async def create(
        self,
        operator: Credential,
        *,
        subject: str,
        scope: Scope,
        expires_at: float = 0.0,
        reason: str,
    ) -> Grant:
        """Give a scope.

        Args:
            operator: who gives.
            subject: a principal's id, `groups/{name}` or `agents/{id}`.
            scope: what is given.
            expires_at: POSIX seconds; 0 for no end.
            reason: required.

        Raises:
            MalformedRequest: no subject, no reason, or an end that has passed.
        """
        why = required_reason(reason)
        now = self._changes.clock()
        if not _is_subject(subject):
            raise MalformedRequest(
                'A grant is to a principal\'s id, "groups/{name}" or "agents/{id}", of at most '
                f"{NAME_CHARACTERS_MAX} printable characters.",
                metadata={"field": "subject"},
            )
        if expires_at and expires_at <= now:
            raise MalformedRequest("This has ended already.", metadata={"field": "expire_time"})
        grant = Grant(
            name=f"grants/{self._changes.ids()}",
            subject=subject,
            scope=scope,
            expires_at=expires_at,
            reason=why,
            granted_by=operator.subject,
            created_at=now,
        )
        entry = self._changes.entry(EntryKind.GRANT_CREATED, operator, _told(grant, why))

        async def plan(_: InForce) -> Planned[Grant]:
            return Planned(changes=(grant_row(grant),), entries=(entry,), answer=grant)

        return await self._changes.make(plan)

    async def delete(self, operator: Credential, name: str, *, reason: str) -> None:
        """Take a scope back.

        Raises:
            NotFound: no such grant.
            MalformedRequest: no reason.
        """
        why = required_reason(reason)

        async def plan(in_force: InForce) -> Planned[None]:
            grant = next((g for g in in_force.control.grants if g.name == name), None)
            if grant is None:
                raise NotFound("There is no such grant.")
            entry = self._changes.entry(EntryKind.GRANT_DELETED, operator, _told(grant, why))
            drop = DropControl(kind=GRANT, key=name)
            return Planned(changes=(drop,), entries=(entry,), answer=None)

        await self._changes.make(plan)


def _is_subject(text: str) -> bool:
    return (
        0 < len(text) <= NAME_CHARACTERS_MAX
        and text.isprintable()
        and text == text.strip()
        and text not in {"groups/", "agents/"}
    )


def _told(grant: Grant, reason: str) -> dict[str, JsonValue]:
    return {
        "grant": grant.name,
        "subject": grant.subject,
        "scope": grant.scope.name,
        "where": {reference: list(values) for reference, values in grant.scope.where.items()},
        "expires_at": grant.expires_at,
        "reason": reason,
    }
