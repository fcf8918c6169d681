"""What one kind of database does its own way, behind one small port; all else both know as SQL.

A `Dialect` says how a database is opened, how a transaction begins, which locks several writers
take, and what its driver's errors mean. The store, its writer and its readers ask it and name no
database themselves; `store.addresses` finds the one that an address is of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor


class DatabaseInUse(Exception):
    """Another process has this database, or this broker's name in it."""


class DatabaseRefused(Exception):
    """It would not keep what is written, or takes nothing; the sentence tells what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one kind of database is used.

    Attributes:
        is_shared: any number of brokers write at once; each has a chain of its own in the log.
        is_near: a read of a few rows is quick enough to be done on the loop.
        readers: how many threads read beside each other.
        errors: all that its driver raises.
        opening_errors: those, and what opening wraps them in.
        begin_read: begins a transaction that sees one state and writes nothing.
        begin_write: begins one that may write, while control rows stand still.
        begin_control: begins one that changes control rows; no other writes beside it.
        begin_migration: begins one that changes the tables.
        begin_alone: begins one beside which nobody writes or signs, and that takes its time.
        wait_for_no_lock: said once to a connection that must never wait; "" where there is none.
        lock: the text that has a name alone until the commit; "" where one has all of it anyway.
        others: selects how many other connections brokers have, or "" where a lock says that.
        lock_log: whoever signs a head has the log alone until its commit; "" where it has anyway.
        engine: its connections begin no transaction by themselves.
        say: runs a text without values on a driver's cursor.
        make: makes what a new database needs before it can be connected to.
        own: has the database for one process where it serves only one, and returns what gives it
            up again. Raises `DatabaseInUse`.
        claim: has a broker's name for one connection, so that whatever connection had it before is
            surely done; takes the cursor, the name, and the former connection's `backend`. Raises
            one of `errors` where it cannot be had in time.
        backend: what the server calls this connection; 0 where there is no server.
        finish: after migrations, in their transaction.
        refuse: raises `DatabaseRefused` for a server that may lose what was committed.
        is_unique: an integrity error is one of uniqueness.
        is_of_unit: an error is the fault of one unit's values; undoing the unit is enough.
        is_contended: the transaction was in another's way, and may pass when it is tried again.
        is_lost: the connection is gone.
        is_certainly_not_committed: a commit that failed with it did surely not happen.
        is_no_transaction: a rollback failed with it because there was nothing left to undo.
    """

    is_shared: bool
    is_near: bool
    readers: int
    errors: tuple[type[BaseException], ...]
    opening_errors: tuple[type[BaseException], ...]
    begin_read: str
    begin_write: str
    begin_control: str
    begin_migration: str
    begin_alone: str
    wait_for_no_lock: str
    lock: Callable[[str], str]
    others: str
    lock_log: str
    engine: Callable[[str], sa.Engine]
    say: Callable[[DBAPICursor, str], None]
    make: Callable[[str], None]
    own: Callable[[str], Callable[[], None]]
    claim: Callable[[DBAPICursor, str, int], None]
    backend: Callable[[DBAPICursor], int]
    finish: Callable[[sa.Connection], None]
    refuse: Callable[[sa.Connection], None]
    is_unique: Callable[[Any], bool]
    is_of_unit: Callable[[BaseException], bool]
    is_contended: Callable[[BaseException], bool]
    is_lost: Callable[[BaseException], bool]
    is_certainly_not_committed: Callable[[BaseException], bool]
    is_no_transaction: Callable[[BaseException], bool]
