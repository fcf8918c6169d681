"""How long contents are kept, what must be kept for a court, and whose are erased at once.

Each is an operator's act with its reason in the log. A legal hold always wins over an erasure.
"""

from broker.administration.changes import ControlChanges, InForce, Planned, required_reason
from broker.administration.erasing import ErasedTally, EraseOrder, Eraser
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.credentials import Credential
from broker.core.errors import MalformedRequest, NotFound
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.core.retention import CONTENTS_DAYS_MAX, LegalHold, LegalHoldKind, Retention
from broker.core.retention_rows import LEGAL_HOLD, legal_hold_row, retention_row
from broker.core.unit import DropControl
from broker.ports.keeping import Keeping


class RetentionAdministration:
    """Sets the period, puts on and lifts legal holds, erases, and begins backups."""

    def __init__(self, *, changes: ControlChanges, keeping: Keeping) -> None:
        self._changes = changes
        self._keeping = keeping
        self.eraser = Eraser(changes=changes, keeping=keeping)

    def in_force(self) -> tuple[Retention, tuple[LegalHold, ...]]:
        """The period, and the legal holds, oldest first."""
        control = self._changes.room.current()
        return control.retention, control.legal_holds

    async def set(self, operator: Credential, *, contents_days: int, reason: str) -> Retention:
        """Say how long contents are kept after their session has ended.

        Args:
            operator: who does it.
            contents_days: 0 for ever.
            reason: required.

        Raises:
            MalformedRequest: no reason, or no such number of days.
        """
        why = required_reason(reason)
        if not 0 <= contents_days <= CONTENTS_DAYS_MAX:
            raise MalformedRequest(
                f"Contents are kept for 1 to {CONTENTS_DAYS_MAX} days, or for ever.",
                metadata={"field": "contents_days"},
            )
        made = Retention(
            contents_days=contents_days, set_by=operator.subject, set_at=self._changes.clock()
        )

        async def plan(in_force: InForce) -> Planned[Retention]:
            before = in_force.control.retention.contents_days
            body: dict[str, JsonValue] = {"contents_days": contents_days, "before": before}
            body["reason"] = why
            entry = self._changes.entry(EntryKind.RETENTION_SET, operator, body)
            return Planned(changes=(retention_row(made),), entries=(entry,), answer=made)

        return await self._changes.make(plan)

    async def hold(
        self, operator: Credential, *, kind: LegalHoldKind, subject: str, reason: str
    ) -> LegalHold:
        """Keep the contents of a principal, a session or a call until it is lifted.

        Raises:
            MalformedRequest: no reason, or there is no such session or call.
        """
        why = required_reason(reason)
        if not await self._is_known(kind, subject):
            raise MalformedRequest(
                f"There is no such {kind.value} to keep.", metadata={"field": "subject"}
            )
        made = LegalHold(
            name=f"legal-holds/{self._changes.ids()}",
            kind=kind,
            subject=subject,
            reason=why,
            held_by=operator.subject,
            created_at=self._changes.clock(),
        )
        entry = self._changes.entry(EntryKind.LEGAL_HOLD_CREATED, operator, _told(made, why))

        async def plan(_: InForce) -> Planned[LegalHold]:
            return Planned(changes=(legal_hold_row(made),), entries=(entry,), answer=made)

        return await self._changes.make(plan)

    async def release(self, operator: Credential, name: str, *, reason: str) -> LegalHold:
        """Lift a legal hold.

        Raises:
            NotFound: no such legal hold.
            MalformedRequest: no reason.
        """
        why = required_reason(reason)

        async def plan(in_force: InForce) -> Planned[LegalHold]:
            found = next((h for h in in_force.control.legal_holds if h.name == name), None)
            if found is None:
                raise NotFound("There is no such legal hold.")
            entry = self._changes.entry(EntryKind.LEGAL_HOLD_DELETED, operator, _told(found, why))
            drop = DropControl(kind=LEGAL_HOLD, key=name)
            return Planned(changes=(drop,), entries=(entry,), answer=found)

        return await self._changes.make(plan)

    async def erase(self, operator: Credential, *, principal: str, reason: str) -> ErasedTally:
        """Erase what was said in a principal's sessions that are over.

        Raises:
            MalformedRequest: no principal or no reason.
            StoreUnavailable: the store went away in between; asking again goes on.
        """
        why = required_reason(reason)
        if not 0 < len(principal) <= NAME_CHARACTERS_MAX:
            raise MalformedRequest("Say whose.", metadata={"field": "principal"})
        said = {"credential": operator.name, "person": str(operator.person or ""), "reason": why}
        order = EraseOrder(by=operator.subject, said={**said}, principal=principal)
        return await self.eraser.erase(order)

    async def begin_backup(self, operator: Credential) -> str:
        """Say that a backup is taken, and sign the log up to that.

        Returns:
            The signed head, which a good backup has.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        await self._changes.say(self._changes.entry(EntryKind.BACKUP_TAKEN, operator, {}))
        await self._keeping.checkpoint_now()
        head = await self._keeping.log_head()
        return head.note if head is not None else ""

    async def _is_known(self, kind: LegalHoldKind, subject: str) -> bool:
        match kind:
            case LegalHoldKind.SESSION:
                return await self._changes.store.find_session(subject) is not None
            case LegalHoldKind.INVOCATION:
                return await self._changes.store.find_invocation(subject) is not None
            case LegalHoldKind.PRINCIPAL:
                return 0 < len(subject) <= NAME_CHARACTERS_MAX


def _told(hold: LegalHold, reason: str) -> dict[str, str]:
    return {
        "legal_hold": hold.name,
        "kind": hold.kind.value,
        "subject": hold.subject,
        "reason": reason,
    }
