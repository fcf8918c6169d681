"""A kill switch works the moment that it is committed, and names something that there is.

A freeze of a misspelt tool would stop nothing while everybody believes that it does; so the tool,
agent or session must be known. Principals are not the broker's to know: theirs is taken as it is.
"""

from broker.administration.changes import ControlChanges, InForce, Planned, required_reason
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.control_rows import FREEZE, freeze_row
from broker.core.credentials import Credential
from broker.core.errors import MalformedRequest, NotFound
from broker.core.freezes import Freeze, FreezeKind
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.core.unit import DropControl


class FreezeAdministration:
    """Stops things and lets them go."""

    def __init__(self, *, changes: ControlChanges) -> None:
        self._changes = changes

    def in_force(self) -> tuple[Freeze, ...]:
        """Those that stop something now, oldest first."""
        now = self._changes.clock()
        freezes = self._changes.room.current().freezes
        return tuple(f for f in freezes if f.is_in_force(now=now))

    async def create(
        self,
        operator: Credential,
        *,
        kind: FreezeKind,
        subject: str,
        reason: str,
        life_s: float | None = None,
    ) -> Freeze:
        """Stop something, from the next decision on.

        Args:
            operator: who does it.
            kind: what is stopped.
            subject: which one; empty for everything.
            reason: required.
            life_s: seconds after which it lifts by itself; None for never.

        Raises:
            MalformedRequest: no reason, or the subject is unknown, or is named for everything.
        """
        why = required_reason(reason)
        if life_s is not None and life_s <= 0:
            raise MalformedRequest("A freeze lasts some time.", metadata={"field": "life"})
        now = self._changes.clock()
        freeze = Freeze(
            name=f"freezes/{self._changes.ids()}",
            kind=kind,
            subject=subject,
            reason=why,
            frozen_by=operator.subject,
            created_at=now,
            expires_at=0.0 if life_s is None else now + life_s,
        )
        entry = self._changes.entry(EntryKind.FREEZE_CREATED, operator, _told(freeze, why))

        async def plan(in_force: InForce) -> Planned[Freeze]:
            await self._require_known(in_force, kind, subject)
            return Planned(changes=(freeze_row(freeze),), entries=(entry,), answer=freeze)

        return await self._changes.make(plan)

    async def delete(self, operator: Credential, name: str, *, reason: str) -> None:
        """Let something go.

        Raises:
            NotFound: no such freeze.
            MalformedRequest: no reason.
        """
        why = required_reason(reason)

        async def plan(in_force: InForce) -> Planned[None]:
            freeze = next((f for f in in_force.control.freezes if f.name == name), None)
            if freeze is None:
                raise NotFound("There is no such freeze.")
            entry = self._changes.entry(EntryKind.FREEZE_DELETED, operator, _told(freeze, why))
            drop = DropControl(kind=FREEZE, key=name)
            return Planned(changes=(drop,), entries=(entry,), answer=None)

        await self._changes.make(plan)

    async def _require_known(self, in_force: InForce, kind: FreezeKind, subject: str) -> None:
        if not await self._is_known(in_force, kind, subject):
            raise MalformedRequest(
                "A freeze of everything names nothing."
                if kind is FreezeKind.ALL
                else f"There is no such {kind.value} to freeze.",
                metadata={"field": "subject"},
            )

    async def _is_known(self, in_force: InForce, kind: FreezeKind, subject: str) -> bool:
        match kind:
            case FreezeKind.TOOL:
                return subject in in_force.control.tools
            case FreezeKind.AGENT:
                return subject in in_force.control.agents
            case FreezeKind.SESSION:
                return await self._changes.store.find_session(subject) is not None
            case FreezeKind.PRINCIPAL:
                return 0 < len(subject) <= NAME_CHARACTERS_MAX
            case FreezeKind.ALL:
                return not subject


def _told(freeze: Freeze, reason: str) -> dict[str, JsonValue]:
    return {
        "freeze": freeze.name,
        "kind": freeze.kind.value,
        "subject": freeze.subject,
        "expires_at": freeze.expires_at,
        "reason": reason,
    }
