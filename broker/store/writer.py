"""One thread writes: it takes whatever has queued, commits it at once and wakes all who wait.

While one commit waits for the disk the next group gathers, so company costs nobody a timer's wait.
Each unit is a savepoint: a condition that no longer holds takes that unit out alone. A unit is told
that it is written only after the commit; that nothing was written only where that is certain; else
`OutcomeUnstored`. If a signed head that is due cannot be written outside of the database, nothing
more is accepted until it can.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from broker.core import limits
from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.unit import Unit
from broker.store import sqlite
from broker.store.apply import apply, control_revision
from broker.store.heads import Heads
from broker.store.jobs import Job, fail, told, wake
from broker.store.log import Addition, Log, LogRefused
from broker.store.sql import Database

RETRY_S: Final = 1.0

_AWAY: Final = "The database cannot be written; nothing was decided and nothing ran."
_UNKNOWN: Final = "Whether this was recorded is not known."
_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Cadence:
    """How often a head is signed: after so many entries, and so long after the first of them."""

    entries_max: int = limits.CHECKPOINT_ENTRIES_MAX
    interval_s: float = limits.CHECKPOINT_INTERVAL_S


@dataclass(slots=True)
class Writer:
    """The thread and its queue.

    Attributes:
        connect: opens the one connection that writes.
        log: read and checked.
        commits: how many transactions there were.
    """

    connect: Callable[[], Database]
    log: Log
    heads: Heads
    cadence: Cadence
    commits: int = 0
    _jobs: queue.SimpleQueue[Job | None] = field(default_factory=queue.SimpleQueue)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _database: Database | None = None
    _is_log_current: bool = True
    _unsent: str = ""
    _sign_by: float | None = None
    _left_over: Job | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, unit: Unit, *, sign: bool = False, deadline_s: float) -> None:
        """Hand a unit in and wait for its commit.

        Raises:
            Conflict, IllegalTransition: as `ports.Store.commit` says; nothing was written.
            StoreUnavailable: the database is away; nothing was written.
            OutcomeUnstored: the commit's fate is not known, or not yet.
        """
        if self._thread is None or self._jobs.qsize() >= limits.STORE_QUEUE_UNITS_MAX:
            raise StoreUnavailable(_AWAY)
        loop = asyncio.get_running_loop()
        job = Job(unit, loop, loop.create_future(), sign=sign)
        self._jobs.put(job)
        try:
            async with asyncio.timeout(deadline_s):
                await job.done
        except TimeoutError:
            with self._guard:
                taken, job.taken = job.taken, True
            if taken:
                raise OutcomeUnstored(_UNKNOWN) from None
            raise StoreUnavailable(_AWAY) from None

    def stop(self, *, deadline_s: float) -> bool:
        """Write what is queued, sign the head and end. Whether it ended in time."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._jobs.put(None)
        thread.join(deadline_s)
        return not thread.is_alive()

    def _run(self) -> None:
        going = True
        while going:
            jobs, going = self._take()
            try:
                self._write(jobs, sign_all=not going)
                self._send_wanted(jobs)
            except Exception as error:  # noqa: BLE001  the thread must live on, and who waits be told
                _log.exception("store_writer_failed")
                self._doubt()
                for job in jobs:
                    job.error = OutcomeUnstored(_UNKNOWN)
                    job.error.__cause__ = error
            wake(jobs)
            self._send_head()
        if self._database is not None:
            self._database.close()

    def _take(self) -> tuple[list[Job], bool]:
        """The next group: all that waits, within bounds; and whether to go on after it."""
        room = self.cadence.entries_max - len(self.log.unsigned.leaves)
        jobs: list[Job] = []
        while len(jobs) < limits.STORE_GROUP_UNITS_MAX:
            job, going = self._next(wait=not jobs)
            if not going:
                return jobs, False
            if job is None:
                break
            room -= len(job.unit.entries)
            if jobs and room < 0:
                # Heads are at most so many entries apart: this one goes with the next group.
                self._left_over = job
                break
            with self._guard:
                withdrawn, job.taken = job.taken, True
            if not withdrawn:
                jobs.append(job)
        return jobs, True

    def _next(self, *, wait: bool) -> tuple[Job | None, bool]:
        if self._left_over is not None:
            left_over, self._left_over = self._left_over, None
            return left_over, True
        job: Job | None
        try:
            if wait and self._sign_by is not None:
                job = self._jobs.get(timeout=max(0.0, self._sign_by - time.monotonic()))
            else:
                job = self._jobs.get(block=wait)
        except queue.Empty:
            return None, True
        return job, job is not None

    def _write(self, jobs: list[Job], *, sign_all: bool) -> None:
        """One transaction; leaves each job with its error or none."""
        database = self._connected() if self._is_ready() else None
        if database is None:
            self._put_off(jobs)
            return
        due = sign_all or any(job.sign for job in jobs)
        try:
            addition = self._transact(database, jobs, due=due)
        except sqlite.ERRORS as error:
            _log.warning("store_not_written", why=str(error), units=len(jobs))
            self._undo(database)
            self._put_off(jobs)
            return
        self._commit(database, jobs, addition)

    def _transact(self, database: Database, jobs: Iterable[Job], *, due: bool) -> Addition:
        database.say(sqlite.BEGIN_WRITE)
        revision = control_revision(database)
        addition = self.log.addition()
        for job in jobs:
            database.say("SAVEPOINT unit")
            try:
                revised = apply(database, job.unit.changes, revision=revision)
                linked = addition.link(job.unit.entries)
            except Exception as error:
                if isinstance(error, sqlite.ERRORS) and not sqlite.is_of_unit(error):
                    raise
                job.error = told(error)
                database.say("ROLLBACK TO SAVEPOINT unit")
            else:
                revision = revised
                addition.take(linked)
            database.say("RELEASE SAVEPOINT unit")
        addition.store(database)
        unsigned = bool(addition.unsigned.leaves) or self.log.is_ahead
        if unsigned and (due or self._is_due(addition)):
            addition.sign(database)
        return addition

    def _is_due(self, addition: Addition) -> bool:
        late = self._sign_by is not None and time.monotonic() >= self._sign_by
        return late or len(addition.unsigned.leaves) >= self.cadence.entries_max

    def _commit(self, database: Database, jobs: list[Job], addition: Addition) -> None:
        try:
            database.say("COMMIT")
        except sqlite.ERRORS as error:
            _log.exception("store_not_committed")
            if sqlite.is_certainly_not_committed(error) and self._undo(database):
                self._put_off(jobs)
            else:
                self._doubt()
                fail(jobs, OutcomeUnstored(_UNKNOWN))
            return
        self.commits += 1
        addition.accept()
        self._unsent = addition.note or self._unsent
        if not addition.unsigned.leaves:
            self._sign_by = None
        elif self._sign_by is None:
            self._sign_by = time.monotonic() + self.cadence.interval_s

    def _put_off(self, jobs: Iterable[Job]) -> None:
        """Nothing was written; a head that is due is tried again a little later."""
        fail(jobs, StoreUnavailable(_AWAY))
        if self._sign_by is not None:
            self._sign_by = time.monotonic() + RETRY_S

    def _undo(self, database: Database) -> bool:
        """Roll back; whether it is sure. SQLite may have done so by itself."""
        try:
            database.say("ROLLBACK")
        except sqlite.ERRORS as error:
            if not sqlite.is_no_transaction(error):
                self._doubt()
                return False
        return True

    def _doubt(self) -> None:
        """Open the database anew before the next group, and read where the log stands."""
        self._is_log_current = False
        if self._database is not None:
            database, self._database = self._database, None
            database.close()

    def _is_ready(self) -> bool:
        """Whether the head that is due is out; nothing is recorded beyond one that is not."""
        self._send_head()
        return not self._unsent

    def _send_wanted(self, jobs: Iterable[Job]) -> None:
        """Whoever asked for a head hears of it once it is outside; the others need not wait."""
        wanted = [job for job in jobs if job.sign]
        if wanted:
            self._send_head()
        if self._unsent:
            fail(wanted, StoreUnavailable("The signed head cannot be written."))

    def _send_head(self) -> None:
        if not self._unsent:
            return
        try:
            self.heads.append(self._unsent)
        except OSError as error:
            _log.error("signed_head_not_written", why=str(error), path=str(self.heads.path))
            self._sign_by = time.monotonic() + RETRY_S
            return
        self._unsent = ""

    def _connected(self) -> Database | None:
        """The connection, opened again where it was lost; the log read again where in doubt."""
        try:
            if self._database is None:
                self._database = self.connect()
            if not self._is_log_current:
                self._read_again(self._database)
        except (*sqlite.ERRORS, LogRefused, OSError, ValueError) as error:
            _log.error("store_not_readable", why=str(error))
            return None
        return self._database

    def _read_again(self, database: Database) -> None:
        log = Log(self.log.instance, self.log.keys, self.log.new_id, self.log.new_salt)
        database.say(sqlite.BEGIN_READ)
        try:
            log.load(database, newest=self.heads.newest())
        finally:
            database.say("ROLLBACK")
        self.log = log
        self._is_log_current = True
        self._sign_by = time.monotonic() if log.unsigned.leaves else None
