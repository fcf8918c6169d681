"""Which releases may run on a database whose schema has moved on: those whose tables it still has.

A migration that only adds says `EXPANDS = True`: a broker of the release before it goes on running,
and starts again, beside newer ones. One that does not ends that for all releases before it. The
newer release knows which those are, the older ones cannot; so it is written into the database.
"""

from collections.abc import Container, Iterable
from typing import Final

import sqlalchemy as sa
from alembic.script import Script

from broker.store.tables import metadata

schema_runs: Final = sa.Table(
    "schema_runs",
    metadata,
    sa.Column("revision", sa.Text, primary_key=True),
    sqlite_with_rowid=False,
)


def still_running(newest_first: Iterable[Script]) -> tuple[str, ...]:
    """The revisions whose brokers may run on the newest of them, that one too."""
    running = []
    for script in newest_first:
        running.append(script.revision)
        if not getattr(script.module, "EXPANDS", False):
            break
    return tuple(running)


def ends_others(newest_first: Iterable[Script], present: Container[str]) -> bool:
    """Whether the way from what is present to the newest does more than add."""
    for script in newest_first:
        if script.revision in present:
            return False
        if not getattr(script.module, "EXPANDS", False):
            return True
    return True


def note(connection: sa.Connection, revisions: Iterable[str]) -> None:
    """Write down who may run, in the transaction of the migration."""
    connection.execute(sa.delete(schema_runs))
    connection.execute(sa.insert(schema_runs), [{"revision": revision} for revision in revisions])


def may_run(connection: sa.Connection, revision: str) -> bool:
    """Whether a broker made for this revision may run on a newer database."""
    if not sa.inspect(connection).has_table(schema_runs.name):
        return False
    found = connection.execute(
        sa.select(schema_runs.c.revision).where(schema_runs.c.revision == revision)
    )
    return found.first() is not None
