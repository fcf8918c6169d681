"""Words on calls that other brokers have, until these have ended: a row each, mostly none at all.

A word is kept beneath a lock on its call's row, which the end of that call waits for: so there is
either a word that the end could have seen, or a Conflict for whoever brings it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.lifecycle import InvocationState
from broker.core.reports import CloseReport, DropReports, KeepReport, KeptReport, ReportSeen
from broker.core.unit import Conflict, ConflictOn
from broker.store import tables as t
from broker.store.readers import Readers
from broker.store.sql import Database, NotUnique, Statement, insert, insert_once

reports: Final = sa.Table(
    "reports",
    t.metadata,
    # No foreign key: making one would have every call wait for the migration.
    sa.Column("invocation", sa.Text, primary_key=True),
    sa.Column("attempt", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("said", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)


class ReportReads:
    """What `ports.Store` says of reports, over a store's readers."""

    _readers: Readers

    async def find_report(self, invocation: str) -> KeptReport | None:
        """The word that is kept on a call, or that it was closed."""
        return await self._readers.ask(find_report, invocation)

    async def list_reports(self, *, reports_max: int) -> Sequence[ReportSeen]:
        """On which calls words are kept, oldest first."""
        return await self._readers.ask(list_reports, reports_max)


def find_report(database: Database, invocation: str) -> KeptReport | None:
    """The word on a call, or that it was closed."""
    row = database.row(_FIND, {"of_invocation": invocation})
    if row is None:
        return None
    return KeptReport(**{**row, "body": bytes(row["body"]), "said": bytes(row["said"])})


def list_reports(database: Database, reports_max: int) -> Sequence[ReportSeen]:
    """Of which calls there are words, oldest first; not what they are."""
    return [
        ReportSeen(invocation=row["invocation"], state=InvocationState(row["state"]))
        for row in database.rows(_ALL, {"limit": reports_max})
    ]


def drop_reports(database: Database, change: DropReports) -> None:
    """Remove words on calls that have ended; of any other call the word stays."""
    for name in change.invocations:
        database.run(_DROP, {"of_invocation": name})


def _keep(database: Database, change: KeepReport) -> None:
    report = change.report
    asked = {"name": report.invocation, "at_attempt": report.attempt, "now": report.at}
    if database.row(_RUNNING, asked) is None:
        raise Conflict(ConflictOn.INVOCATION)
    try:
        database.run(_ADD, asdict(report))
    except NotUnique as taken:
        raise Conflict(ConflictOn.REPORT) from taken


def _close(database: Database, change: CloseReport) -> None:
    closed = KeptReport(invocation=change.invocation, attempt=change.attempt, at=change.at)
    database.run(_ADD_IF_NONE, asdict(closed))


REPORTS: Final[Mapping[type, Callable[[Database, Any], None]]] = {
    KeepReport: _keep,
    CloseReport: _close,
    DropReports: drop_reports,
}


_R, _I = reports.c, t.invocations.c
_IS_RUNNING: Final = _I.state == InvocationState.RUNNING.value
_RUNNING: Final = Statement(
    sa.select(_I.name)
    .where(
        _I.name == bound("name"),
        _I.attempt == bound("at_attempt"),
        _IS_RUNNING,
        _I.deadline_at > bound("now"),
        _I.lease_expires_at > bound("now"),
    )
    .with_for_update(read=True),
)
_ADD: Final = insert(reports)
_ADD_IF_NONE: Final = insert_once(reports)
_FIND: Final = Statement(sa.select(reports).where(_R.invocation == bound("of_invocation")))
_ALL: Final = Statement(
    sa.select(_R.invocation, _I.state)
    .select_from(reports.join(t.invocations, _I.name == _R.invocation))
    .order_by(_R.at, _R.invocation)
    .limit(bound("limit")),
)
_DROP: Final = Statement(
    sa.delete(reports).where(
        _R.invocation == bound("of_invocation"),
        ~sa.exists().where(_I.name == _R.invocation, _IS_RUNNING),
    ),
)
