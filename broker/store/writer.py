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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from broker.core import limits
from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.unit import Unit
from broker.store import sqlite
from broker.store.checking import LogRefused
from broker.store.dialects import Dialect
from broker.store.groups import begin, transact
from broker.store.heads import Heads
from broker.store.jobs import Job, fail, forget_conflicts, wake
from broker.store.log import Addition, Log
from broker.store.reserve import Reserve
from broker.store.schema import SchemaRefused, reason
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
        reserve: room for how calls end; None where another machine's disk is not ours to keep.
        refuse: raises `SchemaRefused` where the tables are no longer this release's; asked of each
            connection once it has the broker's name.
        commits: how many transactions there were.
    """

    connect: Callable[[], Database]
    log: Log
    heads: Heads
    cadence: Cadence
    dialect: Dialect = sqlite.DIALECT
    reserve: Reserve | None = None
    refuse: Callable[[], None] = lambda: None
    commits: int = 0
    _jobs: queue.SimpleQueue[Job | None] = field(default_factory=queue.SimpleQueue)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _database: Database | None = None
    _is_log_current: bool = True
    _is_away: bool = False
    _unsent: str = ""
    _sign_by: float | None = None
    _left_over: Job | None = None
    _backend: int = 0
    _pause: threading.Event = field(default_factory=threading.Event)

    @property
    def _refusals(self) -> tuple[type[BaseException], ...]:
        """All that says that the database cannot be used now; never what is a defect of ours."""
        return (*self.dialect.opening_errors, LogRefused, SchemaRefused, OSError)

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
        if self.reserve is not None:
            self.reserve.drop()

    def _take(self) -> tuple[list[Job], bool]:
        """The next group: all that waits, within bounds; and whether to go on after it."""
        room = self.cadence.entries_max - self.log.waiting
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
        """Leaves each job with its error or none."""
        if not self._is_ready() or self._connected() is None:
            self._put_off(jobs)
            return
        if self.reserve is not None:
            jobs, refused = self.reserve.admitted(jobs)
            _refuse(refused)
        due = sign_all or any(job.sign for job in jobs)
        if self._attempt(jobs, due=due):
            return
        # Another broker's transaction was in the way of one of these: let the rest not wait for it.
        if not jobs:
            self._put_off(jobs)
        for job in jobs:
            if not any(self._attempt([job], due=due) for _ in range(limits.RECORD_ATTEMPTS_MAX)):
                self._put_off([job])

    def _attempt(self, jobs: list[Job], *, due: bool) -> bool:
        """One transaction; False where it was in the way of another's, and may be tried again."""
        try:
            database = self._begun(jobs)
            addition = transact(database, self.log, jobs, is_due=lambda a: due or self._is_due(a))
        except self._refusals as error:
            if self.dialect.is_lost(error):
                self._give_up()  # before any commit was asked for: there is nothing to look up
            elif self._database is not None:
                self._undo(self._database)
            if self._database is not None and self.dialect.is_contended(error):
                _log.info("store_contended", why=str(error), units=len(jobs))
                return False
            _log.warning("store_not_written", why=str(error), units=len(jobs))
            self._spend(error)
            self._put_off(jobs)
            return True
        self._commit(database, jobs, addition)
        return True

    def _begun(self, jobs: Iterable[Job]) -> Database:
        """A transaction, on another connection where the one at hand turns out to be gone."""
        database = self._connected()
        if database is not None:
            try:
                begin(database, jobs)
            except self.dialect.errors as error:
                if not self.dialect.is_lost(error):
                    raise
                self._give_up()
                database = self._connected()
                if database is not None:
                    begin(database, jobs)
        if database is None:
            raise LogRefused("The database cannot be opened.")
        return database

    def _is_due(self, addition: Addition) -> bool:
        late = self._sign_by is not None and time.monotonic() >= self._sign_by
        return late or addition.waiting >= self.cadence.entries_max

    def _commit(self, database: Database, jobs: list[Job], addition: Addition) -> None:
        try:
            database.say("COMMIT")
        except self.dialect.errors as error:
            _log.exception("store_not_committed")
            self._spend(error)
            if self.dialect.is_certainly_not_committed(error) and self._undo(database):
                self._put_off(jobs)
                return
            if not self._is_found(addition):
                if self._is_log_current:
                    self._put_off(jobs)
                else:
                    forget_conflicts(jobs, StoreUnavailable(_AWAY))
                    fail(jobs, OutcomeUnstored(_UNKNOWN))
                return
        self.commits += 1
        if self._is_away:
            self._is_away = False
            _log.warning("store_written_again")
        addition.accept()
        self._unsent = addition.note or self._unsent
        if self.dialect.is_shared:
            # What others leave unsigned is this one's too, should they be gone.
            now = time.monotonic()
            if addition.note or self._sign_by is None or self._sign_by <= now:
                self._sign_by = now + self.cadence.interval_s
        elif not addition.waiting:
            self._sign_by = None
        elif self._sign_by is None:
            self._sign_by = time.monotonic() + self.cadence.interval_s

    def _is_found(self, addition: Addition) -> bool:
        """Whether a commit that nobody acknowledged happened; the log is current if that is sure.

        A connection that has this broker's name tells that the one before is over, so what it does
        not see then never comes.
        """
        self._give_up()
        if not self.dialect.is_shared or not addition.entries:
            # What a disk that failed once shows of a write is no proof that it will be kept.
            self._doubt()
            return False
        until = time.monotonic() + limits.STORE_READ_BACK_S
        while True:
            database = self._connected()
            try:
                if database is not None:
                    found = addition.is_stored(database)
                    _log.warning("store_read_back", committed=found)
                    return found
            except self.dialect.errors as error:
                _log.warning("store_not_read_back", why=str(error))
                self._give_up()
            if time.monotonic() >= until:
                self._doubt()
                return False
            self._pause.wait(RETRY_S / 4)

    def _spend(self, error: BaseException) -> None:
        if self.reserve is not None:
            self.reserve.spend(error)

    def _put_off(self, jobs: Sequence[Job]) -> None:
        """Nothing was written; a head that is due is tried again a little later."""
        self._is_away = True
        _refuse(jobs)
        if self._sign_by is not None:
            self._sign_by = time.monotonic() + RETRY_S

    def _undo(self, database: Database) -> bool:
        """Roll back; whether it is sure. SQLite may have done so by itself."""
        try:
            database.say("ROLLBACK")
        except self.dialect.errors as error:
            if not self.dialect.is_no_transaction(error):
                self._doubt()
                return False
        return True

    def _doubt(self) -> None:
        """Open the database anew before the next group, and read where the log stands."""
        self._is_log_current = False
        self._give_up()

    def _give_up(self) -> None:
        """The connection; what was not committed on it never will be."""
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
                self._backend = self._database.claim(self.log.instance, former=self._backend)
                self.refuse()
            if not self._is_log_current:
                self._read_again(self._database)
        except self._refusals as error:
            _log.error("store_not_readable", why=reason(error))
            self._give_up()
            return None
        return self._database

    def _read_again(self, database: Database) -> None:
        log = self.log.anew()
        database.say(self.dialect.begin_read)
        try:
            log.load(database, newest=self.heads.newest())
        except ValueError as error:
            raise LogRefused("The file of signed heads holds something else.") from error
        finally:
            database.say("ROLLBACK")
        self.log = log
        self._is_log_current = True
        self._sign_by = time.monotonic() if log.waiting else None


def _refuse(jobs: Sequence[Job]) -> None:
    """Nothing of these was written."""
    forget_conflicts(jobs, StoreUnavailable(_AWAY))
    fail(jobs, StoreUnavailable(_AWAY))
