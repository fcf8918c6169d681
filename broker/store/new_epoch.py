"""What was put back goes on in a new epoch, in one transaction, whatever database it lies in.

What happened after the backup was taken is lost to the database, though not to the world: so
nothing that the backup believes to be open stays open, every limit counts as reached until its
window has gone by, and everything is frozen until an operator has looked: one whom whoever restores
has made anew, since nobody knows which of those of then was revoked. The entry that tells of
it comes first, because from it on the log is linked and signed with the keys of now, also where
the backup is of before they were rotated.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.control_rows import credential_row, credentials_in, freeze_row
from broker.core.credentials import Credential, CredentialClass
from broker.core.epochs import Epoch, sign_epoch
from broker.core.freezes import Freeze, FreezeKind
from broker.core.hold_endings import RESTORED, unit_of
from broker.core.key_line import RETOLD
from broker.core.lifecycle import InvocationState, step
from broker.core.merkle import Frontier
from broker.core.notes import Checkpoint, MalformedNote, origin_of
from broker.core.restored import RestoredAt
from broker.core.retention_rows import restored_row
from broker.core.sign_ins import DropSignIns
from broker.core.unit import EndSession, MoveInvocation, RevokeMandate, Unit
from broker.ids import UuidFactory
from broker.store import queries as q
from broker.store import reads
from broker.store import tables as t
from broker.store.apply import apply, control_revision
from broker.store.checking import LogRefused
from broker.store.heads import Heads, epochs_of, notes_of
from broker.store.keys import AuditKeys
from broker.store.log import Log
from broker.store.rows import hold_of, invocation_of
from broker.store.sql import Database, Row, Statement

PAGE: Final = 200
_EVER: Final = float(2**53)
_WHY: Final = "The broker was restored from a backup."


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOrder:
    """What is to be put back, where, and by whom.

    Attributes:
        backup: the file; None where the database's own tools have put it back already.
    """

    backup: Path | None
    url: str
    state: Path
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did.

    Attributes:
        epoch: the new one, with the heads on both sides of the gap.
        kept_at: POSIX seconds of the newest entry of the backup; 0 where it has none.
        replaced: where the database that was there before is now.
    """

    epoch: Epoch
    kept_at: float
    holds_expired: int
    calls_unknown: int
    sessions_revoked: int
    mandates_revoked: int
    operators_revoked: int
    replaced: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A new epoch, once its transaction is committed: what the heads outside are to hear.

    Attributes:
        note: of the epoch.
        head: the first of it.
    """

    done: Restored
    note: str
    head: str


def open_epoch(
    database: Database, order: RestoreOrder, *, keys: AuditKeys, heads: Heads, now: float
) -> Opened:
    """Check what was put back, end what is open in it, and go on in a new epoch.

    Args:
        database: in a transaction that nobody else writes beside; the caller commits it.
        order: for the log.
        keys: of now.
        heads: outside, which hear of nothing yet.
        now: POSIX seconds.

    Raises:
        LogRefused: it is not of this log, or is damaged.
    """
    ids = UuidFactory(lambda: now)
    restoring = _Restoring(database, order, now, ids)
    log = Log(f"brokers/{ids()}", keys, ids, secrets.token_bytes)
    return restoring.in_new_epoch(log, heads)


@dataclass(slots=True)
class _Restoring:
    """One restore, within its transaction."""

    database: Database
    order: RestoreOrder
    now: float
    ids: Callable[[], str]

    def in_new_epoch(self, log: Log, heads: Heads) -> Opened:
        """See `open_epoch`."""
        newest = self.database.row(q.NEWEST_HEAD, {})
        if newest is None:
            raise LogRefused("There is no signed head in it: it is no backup.")
        keys, kept = log.keys, newest["note"]
        log.load(self.database, newest=kept, is_to_be_restored=True)
        epoch = _epoch(keys, kept, heads)
        note = sign_epoch(epoch, keys.public_key, keys.signing_key.sign)
        newest_at = self.database.row(_NEWEST_ENTRY, {})
        addition = log.addition()
        addition.epoch = epoch.number
        revision = control_revision(self.database)
        units, counted = self._units()
        said = self._said(epoch, note, log.untold, counted)
        for unit in (said, *units):
            revision = apply(self.database, unit.changes, revision=revision)
            addition.take(addition.link(unit.entries))
        addition.store(self.database)
        addition.sign(self.database)
        done = Restored(epoch=epoch, kept_at=_time_of(newest_at), replaced=None, **counted)
        return Opened(done=done, note=note, head=addition.note)

    def _units(self) -> tuple[list[Unit], dict[str, int]]:
        """What ends each thing that the backup believes to be open; and how many there are."""
        held = [self._expired(row) for row in self._pages(_OPEN_HOLDS)]
        running = [self._unknown(invocation_of(row)) for row in self._pages(_RUNNING)]
        sessions = [self._session_over(row) for row in self._pages(_OPEN_SESSIONS)]
        mandates = [self._mandate_over(row) for row in self._pages(_OPEN_MANDATES)]
        operators = [self._operator_over(one) for one in self._operators()]
        counted = {
            "holds_expired": len(held),
            "calls_unknown": len(running),
            "sessions_revoked": len(sessions),
            "mandates_revoked": len(mandates),
            "operators_revoked": len(operators),
        }
        return [*held, *running, *sessions, *mandates, *operators], counted

    def _said(
        self, epoch: Epoch, note: str, untold: tuple[str, ...], counted: dict[str, int]
    ) -> Unit:
        freeze = Freeze(
            name=f"freezes/{self.ids()}",
            kind=FreezeKind.ALL,
            subject="",
            reason=_WHY + " Look at what is in force before you lift this.",
            frozen_by=self.order.actor,
            created_at=self.now,
        )
        entry = EntryDraft(
            kind=EntryKind.LOG_RESTORED,
            at=self.now,
            actor=self.order.actor,
            body={
                "epoch": epoch.number,
                "note": note,
                "kept": epoch.kept.size,
                "abandoned": epoch.abandoned.size,
                "freeze": freeze.name,
                "reason": self.order.reason,
                **counted,
                # What was put back is of before these: they lead to the keys from here on.
                **({RETOLD: list(untold)} if untold else {}),
            },
        )
        changes = (
            DropSignIns(expired_at=_EVER),
            restored_row(RestoredAt(at=self.now, epoch=epoch.number)),
            freeze_row(freeze),
        )
        return Unit(changes=changes, entries=(entry,))

    def _expired(self, row: Row) -> Unit:
        hold = hold_of(row)
        held = self.database.row(_INVOCATION, {"name": hold.invocation})
        if held is None:
            raise LogRefused(f"The backup has the hold {hold.name} and not its call.")
        return unit_of(hold, invocation_of(held), RESTORED, actor=self.order.actor, at=self.now)

    def _unknown(self, running: Invocation) -> Unit:
        after = replace(
            running,
            state=step(running.state, InvocationState.UNKNOWN),
            code=RESTORED.code,
            message=RESTORED.message,
            updated_at=self.now,
            etag=running.etag + 1,
        )
        entry = EntryDraft(
            kind=EntryKind.CALL_ENDED,
            at=self.now,
            actor=self.order.actor,
            invocation=running.name,
            session=running.session,
            body={
                "state": after.state.value,
                "code": RESTORED.code,
                "attempt": after.attempt,
                "why": "the broker was restored from a backup that had it under way",
            },
        )
        return Unit(
            changes=(MoveInvocation(invocation=after, from_etag=running.etag),), entries=(entry,)
        )

    def _session_over(self, row: Row) -> Unit:
        return Unit(
            changes=(EndSession(name=row["name"], state="REVOKED"),),
            entries=(self._ended(row["mandate"], session=row["name"]),),
        )

    def _mandate_over(self, row: Row) -> Unit:
        revoked = RevokeMandate(name=row["name"])
        return Unit(changes=(revoked,), entries=(self._ended(row["name"]),))

    def _operators(self) -> list[Credential]:
        """Whoever could lift the freeze before anybody has looked."""
        every = credentials_in(reads.control(self.database))
        is_operator = CredentialClass.OPERATOR
        return [c for c in every if c.credential_class is is_operator and c.is_good(now=self.now)]

    def _operator_over(self, operator: Credential) -> Unit:
        entry = EntryDraft(
            kind=EntryKind.CREDENTIAL_REVOKED,
            at=self.now,
            actor=self.order.actor,
            body={
                "created": operator.name,
                "class": operator.credential_class.value,
                "subject": operator.subject,
                "of": str(operator.person or ""),
                "reason": _WHY,
            },
        )
        revoked = credential_row(replace(operator, revoked_at=self.now))
        return Unit(changes=(revoked,), entries=(entry,))

    def _ended(self, mandate: str, *, session: str = "") -> EntryDraft:
        return EntryDraft(
            kind=EntryKind.SESSION_ENDED,
            at=self.now,
            actor=self.order.actor,
            session=session,
            body={"mandate": mandate, "state": "REVOKED", "reason": _WHY},
        )

    def _pages(self, statement: Statement) -> Iterator[Row]:
        after = ""
        while rows := self.database.rows(statement, {"after": after, "limit": PAGE}):
            yield from rows
            after = rows[-1]["name"]


def _epoch(keys: AuditKeys, newest: str, heads: Heads) -> Epoch:
    """The epoch to open: from the backup's newest head, over the newest outside."""
    nothing = Checkpoint(origin=origin_of(keys.public_key), size=0, root=Frontier().root())
    outside = heads.path.read_bytes() if heads.path.exists() else b""
    try:
        known = [keys.line.read(note) for note in notes_of(outside)]
        before = [keys.line.read_epoch(note) for note in epochs_of(outside)]
        kept = keys.line.read(newest)
    except MalformedNote as error:
        raise LogRefused(
            "A head of the backup, or outside of the database, is not signed with this key."
        ) from error
    twin = [head for head in known if (head.epoch, head.size) == (kept.epoch, kept.size)]
    if twin and kept not in twin:
        raise LogRefused("The backup is not of this log: another head was signed in its place.")
    lost = known[-1] if known else nothing
    numbers = [kept.epoch, lost.epoch, *(epoch.number for epoch in before)]
    return Epoch(number=max(numbers) + 1, kept=kept, abandoned=lost)


def _time_of(row: Row | None) -> float:
    digits = row["id"].replace("-", "")[:12] if row and row["id"] else ""
    return int(digits, 16) / 1000 if digits else 0.0


def _paged(table: sa.Table, condition: str) -> Statement:
    return Statement(
        sa.select(table)
        .where(sa.text(condition), table.c.name > bound("after"))
        .order_by(table.c.name)
        .limit(bound("limit")),
    )


_INVOCATION: Final = Statement(
    sa.select(t.invocations).where(t.invocations.c.name == bound("name")),
)
_OPEN_HOLDS: Final = _paged(t.holds, t.OPEN_HOLD)
_RUNNING: Final = _paged(t.invocations, "state = 'RUNNING'")
_OPEN_SESSIONS: Final = _paged(t.sessions, "state = 'OPEN'")
_OPEN_MANDATES: Final = _paged(t.mandates, "state = 'ISSUED'")
_NEWEST_ENTRY: Final = Statement(sa.select(sa.func.max(t.audit_entries.c.id).label("id")))
