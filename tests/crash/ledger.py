"""The world outside: effects, each a line that is appended and synced, and what was known by then.

A line also says what a stranger with a connection of their own read in the database at that moment:
the invocation's state, and how many attempts of it the log had begun. So a log that was written
after the effect is seen to have been.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from broker.core.audit import EntryKind

Point = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One hand-over that came to the tool.

    Attributes:
        is_effect: whether something happened; not where the tool knew the key already.
        state, attempts: of its invocation in the database, just before.
    """

    invocation: str
    tool: str
    attempt: int
    fence: str
    is_effect: bool
    state: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A file of lines beside a database.

    Attributes:
        database: a file of SQLite, or the address of a PostgreSQL database.
        known_keys: the tools that know a key again.
    """

    path: Path
    database: Path | str
    known_keys: frozenset[str]
    point: Point

    def write(self, *, invocation: str, tool: str, attempt: int, fence: str) -> Line:
        """Have an effect, durably, or know that one was had already."""
        state, attempts = self._witnessed(invocation)
        had = tool in self.known_keys and invocation in self.effects()
        line = Line(
            invocation=invocation,
            tool=tool,
            attempt=attempt,
            fence=fence,
            is_effect=not had,
            state=state,
            attempts=attempts,
        )
        self.point("effect before")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            os.write(descriptor, json.dumps(asdict(line)).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.point("effect after")
        return line

    def lines(self) -> list[Line]:
        """All that came to the tools, in order."""
        if not self.path.exists():
            return []
        return [Line(**json.loads(line)) for line in self.path.read_bytes().splitlines()]

    def effects(self) -> list[str]:
        """The invocations of all effects, in order."""
        return [line.invocation for line in self.lines() if line.is_effect]

    def _witnessed(self, invocation: str) -> tuple[str, int]:
        connection, mark = self._connected()
        with contextlib.closing(connection):
            found = connection.execute(
                f"SELECT state FROM invocations WHERE name = {mark}", (invocation,)
            ).fetchone()
            said = connection.execute(
                f"SELECT entry FROM audit_entries WHERE invocation = {mark}", (invocation,)
            ).fetchall()
        begun = [json.loads(entry)["kind"] for (entry,) in said].count(EntryKind.ATTEMPT_STARTED)
        return (found[0] if found else ""), begun

    def _connected(self) -> tuple[Any, str]:
        """A stranger's connection, and how it marks a value."""
        if isinstance(self.database, str):
            return psycopg.connect(self.database, autocommit=True, connect_timeout=5), "%s"
        return sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5.0), "?"
