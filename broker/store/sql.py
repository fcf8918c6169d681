"""A statement is built by SQLAlchemy Core once and becomes text once; a call only binds values.

Executing a Core statement costs 75 us even where its compiled form is cached, and its text on the
same connection 5 us, and a decision takes a dozen. So every statement is a module's constant, its
text is kept by connection, and a `Database` runs it on the driver's cursor. The columns need no
conversion (`store.tables`), which is what makes that sound.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler

from broker.store.dialects import Dialect

Row = dict[str, Any]
Values = Mapping[str, Any]


class NotUnique(Exception):
    """A row with these unique values is there already."""


class Statement:
    """A statement that is run again and again."""

    __slots__ = ("core", "names")

    def __init__(self, core: sa.ClauseElement) -> None:
        self.core: Final = core
        columns = core.selected_columns if isinstance(core, sa.Select) else ()
        self.names: Final = tuple(str(column.key) for column in columns)


class Database:
    """One connection, as synchronous functions over it."""

    def __init__(self, connection: sa.Connection, dialect: Dialect) -> None:
        """Take a connection for oneself.

        Args:
            connection: its driver's cursor is used.
            dialect: of the database that it is to.
        """
        self.dialect: Final = dialect
        self._compiling = connection.dialect
        self._connection = connection
        self._cursor: DBAPICursor = connection.connection.cursor()
        self._texts: dict[Statement, tuple[str, tuple[str, ...], Values]] = {}

    def run(self, statement: Statement, values: Values) -> int:
        """Run it; how many rows it touched.

        Raises:
            NotUnique: it would have made a second row of what may be there once.
        """
        text, names, constants = self._text(statement)
        bound = [values[name] if name in values else constants[name] for name in names]
        try:
            self._cursor.execute(text, bound)
        except self._compiling.loaded_dbapi.IntegrityError as error:
            if self.dialect.is_unique(error):
                raise NotUnique from error
            raise
        return self._cursor.rowcount

    def run_many(self, statement: Statement, rows: Iterable[Values]) -> None:
        """Run it once for each."""
        text, names, _ = self._text(statement)
        self._cursor.executemany(text, [[row[name] for name in names] for row in rows])

    def rows(self, statement: Statement, values: Values) -> list[Row]:
        """What it selects, each row by column."""
        text, names, constants = self._text(statement)
        bound = [values[name] if name in values else constants[name] for name in names]
        self._cursor.execute(text, bound)
        return [dict(zip(statement.names, row, strict=True)) for row in self._cursor.fetchall()]

    def row(self, statement: Statement, values: Values) -> Row | None:
        """The first row that it selects."""
        rows = self.rows(statement, values)
        return rows[0] if rows else None

    def say(self, text: str) -> None:
        """Begin, commit, roll back, savepoints, locks: what has no values. Nothing says nothing."""
        if text:
            self.dialect.say(self._cursor, text)

    def ask(self, text: str) -> tuple[Any, ...]:
        """As `say`, of what answers with a row."""
        self.say(text)
        found: tuple[Any, ...] | None = self._cursor.fetchone()
        return found or ()

    def claim(self, name: str, *, former: int) -> int:
        """Have a broker's name for this connection alone; what to give as `former` next time."""
        self.dialect.claim(self._cursor, name, former)
        return self.dialect.backend(self._cursor)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    @property
    def texts(self) -> int:
        """How many statements have become text."""
        return len(self._texts)

    def _text(self, statement: Statement) -> tuple[str, tuple[str, ...], Values]:
        known = self._texts.get(statement)
        if known is None:
            compiled = statement.core.compile(dialect=self._compiling)
            if not isinstance(compiled, SQLCompiler):
                raise TypeError("Only statements that select or change rows are run here.")
            names = tuple(compiled.positiontup or ())
            known = self._texts[statement] = (str(compiled), names, dict(compiled.params))
        return known


def insert(table: sa.Table, *, without: str = "") -> Statement:
    """All columns of a table, by their names, but for one that counts by itself."""
    names = [column.name for column in table.columns if column.name != without]
    return Statement(sa.insert(table).inline().values({name: sa.bindparam(name) for name in names}))


def insert_once(table: sa.Table) -> Statement:
    """As `insert`, but a row that is there already stays, and none is touched."""
    return Statement(sa.text(f"{_inserting(table)} ON CONFLICT DO NOTHING"))


def upsert(table: sa.Table, **changes: str) -> Statement:
    """As `insert`, but a row of the same primary key is changed instead.

    Args:
        table: whose columns are bound by their names.
        changes: a column and the SQL of what becomes of it, with `excluded` for the new row.
    """
    key = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    made = ", ".join(f'"{name}" = {value}' for name, value in changes.items())
    return Statement(sa.text(f"{_inserting(table)} ON CONFLICT ({key}) DO UPDATE SET {made}"))


def _inserting(table: sa.Table) -> str:
    names = [column.name for column in table.columns]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(f":{name}" for name in names)
    return f'INSERT INTO "{table.name}" ({columns}) VALUES ({values})'  # noqa: S608 - our own names
