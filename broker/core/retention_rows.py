"""Control rows of what is kept and of the last restore: written and read, both ways, exactly."""

import json
from collections.abc import Iterable
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes, digest
from broker.core.control import ControlRow
from broker.core.errors import Defect
from broker.core.restored import NEVER, RestoredAt
from broker.core.retention import KEPT, LegalHold, LegalHoldKind, Retention
from broker.core.unit import PutControl

LEGAL_HOLD: Final = "legal_hold"
SETTING: Final = "setting"
RETENTION: Final = "retention"
RESTORED: Final = "restored"


def restored_row(restored: RestoredAt) -> PutControl:
    """The row that fills the counters; kept to the microsecond."""
    return _row(SETTING, RESTORED, {"at": restored.at, "epoch": restored.epoch})


def restored_in(rows: Iterable[ControlRow]) -> RestoredAt:
    """When the last restore was, or `NEVER`.

    Raises:
        Defect: the row cannot be read.
    """
    for row in rows:
        if (row.kind, row.key) == (SETTING, RESTORED):
            try:
                body = json.loads(row.body)
                return RestoredAt(at=float(body["at"]), epoch=int(body["epoch"]))
            except (ValueError, KeyError, TypeError) as error:
                raise _unreadable(row) from error
    return NEVER


def retention_row(retention: Retention) -> PutControl:
    """The row that says how long contents are kept."""
    return _row(
        SETTING,
        RETENTION,
        {
            "contents_days": retention.contents_days,
            "set_by": retention.set_by,
            "set_at": retention.set_at,
        },
    )


def retention_in(rows: Iterable[ControlRow]) -> Retention:
    """How long contents are kept; for ever where nobody has said.

    Raises:
        Defect: the row cannot be read.
    """
    for row in rows:
        if (row.kind, row.key) == (SETTING, RETENTION):
            try:
                body = json.loads(row.body)
                return Retention(
                    contents_days=int(body["contents_days"]),
                    set_by=str(body["set_by"]),
                    set_at=float(body["set_at"]),
                )
            except (ValueError, KeyError, TypeError) as error:
                raise _unreadable(row) from error
    return KEPT


def legal_hold_row(hold: LegalHold) -> PutControl:
    """The row that keeps."""
    return _row(
        LEGAL_HOLD,
        hold.name,
        {
            "kind": hold.kind.value,
            "subject": hold.subject,
            "reason": hold.reason,
            "held_by": hold.held_by,
            "created_at": hold.created_at,
        },
    )


def legal_holds_in(rows: Iterable[ControlRow]) -> tuple[LegalHold, ...]:
    """Every legal hold, oldest first.

    Raises:
        Defect: a row cannot be read.
    """
    ordered = sorted((row for row in rows if row.kind == LEGAL_HOLD), key=lambda row: row.key)
    return tuple(_legal_hold(row) for row in ordered)


def _legal_hold(row: ControlRow) -> LegalHold:
    try:
        body: dict[str, Any] = json.loads(row.body)
        return LegalHold(
            name=row.key,
            kind=LegalHoldKind(body["kind"]),
            subject=str(body["subject"]),
            reason=str(body["reason"]),
            held_by=str(body["held_by"]),
            created_at=float(body["created_at"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(row) from error


def _row(kind: str, key: str, body: dict[str, JsonValue]) -> PutControl:
    return PutControl(kind=kind, key=key, digest=digest(body), body=canonical_bytes(body))


def _unreadable(row: ControlRow) -> Defect:
    return Defect(f"The control row {row.kind} {row.key} cannot be read.")
