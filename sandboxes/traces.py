"""What an engine lost sight of is ended all the same: a container leaves a trace until it is gone.

An engine that is killed in the very moment in which it starts a container may not know afterwards
that something runs in it: it removes the container, and what runs stays (seen with containerd 1.6,
killed together with dockerd). So the id of each container is written down before it starts. Where
contact was lost in between, whatever the kernel still counts to that id is killed.
"""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import structlog

_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME_BYTES_MAX: Final = 128
_log = structlog.get_logger()


class Traces:
    """Ids of containers that may run, one file each, named by the id."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        processes: Path = Path("/proc"),
        end: Callable[[int, int], None] = os.kill,
    ) -> None:
        """Keep them.

        Args:
            directory: the node's own, and there; None keeps none.
            processes: where the kernel tells of them (proc(5)).
            end: sends a signal to a process.
        """
        self._directory = directory
        self._processes = processes
        self._end = end

    def note(self, container: str, name: str) -> None:
        """It is about to be started, for the slot of this name."""
        if self._directory is not None and _ID.fullmatch(container):
            (self._directory / container).write_text(name, "utf-8")

    def drop(self, container: str) -> None:
        """It is gone, and nobody lost sight of it in between."""
        if self._directory is not None and _ID.fullmatch(container):
            (self._directory / container).unlink(missing_ok=True)

    def end_lost(self, owned: Collection[str]) -> int:
        """Kill what runs under ids that no slot owns; those under which nothing runs are forgotten.

        Args:
            owned: names of slots.

        Returns:
            How many processes there were.
        """
        kept = [] if self._directory is None else list(self._directory.iterdir())
        lost = {
            path.name: path
            for path in kept
            if path.read_text("utf-8")[:_NAME_BYTES_MAX] not in owned
        }
        if not lost:
            return 0
        running: set[str] = set()
        count = 0
        for pid, container in self._within(lost):
            running.add(container)
            count += 1
            self._kill(pid)
        for container, path in lost.items():
            if container not in running:
                path.unlink(missing_ok=True)
        return count

    def _within(self, containers: Collection[str]) -> Iterator[tuple[int, str]]:
        """Processes in cgroups of these, which the engine names by a container's id."""
        for entry in self._processes.iterdir():
            if not entry.name.isdecimal():
                continue
            with contextlib.suppress(OSError):  # it has ended meanwhile
                groups = (entry / "cgroup").read_text("utf-8")
                for container in set(_ID.findall(groups)) & set(containers):
                    yield int(entry.name), container

    def _kill(self, pid: int) -> None:
        try:
            self._end(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            _log.error("lost_process_not_ended", pid=pid, what_to_do="end it as root")
