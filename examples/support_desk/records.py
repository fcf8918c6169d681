"""The shop's records in SQLite, as the tools use them; only the worker's process writes to them.

Nothing here weighs whether something may happen: that was decided before a tool is called. What
is kept here is that a thing happens once: every write carries the invocation's name as its key, in
the same transaction as its effect.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHOP = Path(__file__).parent / "shop"


def create(path: Path) -> None:
    """Make the shop's database at `path`, with customers, orders and mails in it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # who reads never waits for who writes
        for script in ("schema.sql", "seed.sql"):
            connection.executescript((_SHOP / script).read_text(encoding="utf-8"))
        connection.commit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The shop's database at `path`. Each method is one transaction of its own."""

    path: Path

    def rows(self, sql: str, **values: object) -> list[dict[str, Any]]:
        """All rows of a SELECT, as dictionaries."""
        with self._transaction("DEFERRED") as connection:
            return [dict(row) for row in connection.execute(sql, values)]

    def readable(self, sql: str, groups: Iterable[str], **values: object) -> list[dict[str, Any]]:
        """Rows of a SELECT that joins `readers(reader)`, a table of the reading user's groups."""
        with self._transaction("DEFERRED") as connection:
            connection.execute("CREATE TEMP TABLE readers (reader TEXT PRIMARY KEY)")
            connection.executemany(
                "INSERT OR IGNORE INTO readers VALUES (?)", [(group,) for group in groups]
            )
            return [dict(row) for row in connection.execute(sql, values)]

    def write(self, *statements: str, **values: object) -> None:
        """Run statements that change something: all of them or none."""
        with self._transaction("IMMEDIATE") as connection:
            for statement in statements:
                connection.execute(statement, values)

    @contextlib.contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(
            sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
        ) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"BEGIN {kind}")
            yield connection
            connection.execute("COMMIT")  # closing without it takes everything back
