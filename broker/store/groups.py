"""A group of units in one transaction: each a savepoint, and a loser is taken out alone."""

from collections.abc import Callable, Iterable
from typing import Final

from broker.core.standing import RequireRoomForHold
from broker.core.unit import DropControl, PutControl
from broker.store.apply import apply, control_revision
from broker.store.jobs import Job, told
from broker.store.log import Addition, Log
from broker.store.sql import Database

_OF_CONTROL: Final = (PutControl, DropControl)


def begin(database: Database, jobs: Iterable[Job]) -> None:
    """Begin the transaction of a group; alone, where one of its units changes control rows.

    What is counted while others write it is had alone from here on: before any row is, and in one
    order, so that no two groups wait for each other.
    """
    changes = [change for job in jobs for change in job.unit.changes]
    is_of_control = any(isinstance(change, _OF_CONTROL) for change in changes)
    dialect = database.dialect
    database.say(dialect.begin_control if is_of_control else dialect.begin_write)
    counted = {
        name
        for change in changes
        if isinstance(change, RequireRoomForHold)
        for name in (f"holds of {change.agent}", f"holds for {change.principal}")
    }
    database.say("; ".join(filter(None, (dialect.lock(name) for name in sorted(counted)))))


def transact(
    database: Database,
    log: Log,
    jobs: Iterable[Job],
    *,
    is_due: Callable[[Addition], bool],
) -> Addition:
    """Make all changes of a group, and what the log says of them.

    Args:
        database: in the transaction that `begin` began.
        log: as it stood after the last commit.
        jobs: each is left with its error, or with none.
        is_due: whether a head is to be signed with it.

    Raises:
        Exception: of the driver, or `LogRefused`; the transaction is to be undone.
    """
    revision = control_revision(database)
    addition = log.addition()
    addition.look(database)
    for job in jobs:
        job.error = None
        database.say("SAVEPOINT unit")
        try:
            revised = apply(database, job.unit.changes, revision=revision)
            linked = addition.link(job.unit.entries)
        except Exception as error:
            errors = database.dialect.errors
            if isinstance(error, errors) and not database.dialect.is_of_unit(error):
                raise
            job.error = told(error)
            database.say("ROLLBACK TO SAVEPOINT unit")
        else:
            revision = revised
            addition.take(linked)
        database.say("RELEASE SAVEPOINT unit")
    addition.store(database)
    if is_due(addition):
        if addition.waiting or log.is_ahead:
            addition.sign(database)
        else:
            addition.catch_up(database)
    return addition
