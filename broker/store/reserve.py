"""Room on the disk is kept back for how calls end, so that none begins whose end has no place.

A file beside the database holds the room. Once a write finds the disk full the file is given up,
and from then on only ends of calls are written, until there is room for it and as much again.
"""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from broker.core.leases import KeepLease
from broker.core.lifecycle import InvocationState
from broker.core.limits import STORE_RESERVE_BYTES
from broker.core.unit import MoveInvocation, Unit
from broker.store.jobs import Job

_log = structlog.get_logger(__name__)

_ENDS: Final = frozenset(
    {
        InvocationState.SUCCEEDED,
        InvocationState.FAILED,
        InvocationState.UNKNOWN,
        InvocationState.CANCELLED,
    }
)
_PRIMARY: Final = 0xFF


@dataclass(slots=True, kw_only=True)
class Reserve:
    """The room of one SQLite database; for its writer's thread alone.

    Attributes:
        path: of the file that holds it.
        is_kept: whether there is room.
    """

    path: Path
    size_bytes: int = STORE_RESERVE_BYTES
    is_kept: bool = False

    def admitted(self, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Those that may be written now, and those that may not."""
        if self.is_kept or self._keep():
            return list(jobs), []
        ends = [job for job in jobs if _is_end(job.unit)]
        return ends, [job for job in jobs if job not in ends]

    def spend(self, error: BaseException) -> None:
        """Give the room up, if what went wrong is that there is none left."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is None or code & _PRIMARY != sqlite3.SQLITE_FULL:
            return
        if self.is_kept:
            _log.error("disk_full", kept_back_bytes=self.size_bytes, path=str(self.path))
        self.drop()

    def drop(self) -> None:
        """The file goes; also once the broker stops, for then nothing ends any more."""
        self.is_kept = False
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _keep(self) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            disk = os.statvfs(self.path.parent)
            if disk.f_bavail * disk.f_frsize < 2 * self.size_bytes:
                return False  # it would take away what it was given up for
            descriptor = os.open(self.path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.size_bytes)
            finally:
                os.close(descriptor)
        except OSError:
            # In part it would only take room from what may still be written.
            self.drop()
            return False
        self.is_kept = True
        return True


def _is_end(unit: Unit) -> bool:
    return any(
        isinstance(change, KeepLease)
        or (isinstance(change, MoveInvocation) and change.invocation.state in _ENDS)
        for change in unit.changes
    )
