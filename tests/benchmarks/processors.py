"""Which processor does what, and how much of it a process has used.

A server that is measured has a processor to itself where there are two, as do those who call it;
what moves between processors meanwhile would else be most of what is measured.
"""

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

from broker.cli.loop import run_on_loop

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
SERVER = {0}
OTHERS = {(os.cpu_count() or 1) - 1}


def run(work: Coroutine[Any, Any, None]) -> None:
    """On the loop that the broker runs on."""
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        run_on_loop(work)


def pin(process_id: int, processors: Iterable[int]) -> None:
    """Keep a process, all its threads, and threads to come, on these."""
    for task in Path(f"/proc/{process_id}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(task.name), processors)


def children(process_id: int, name: str) -> list[int]:
    """Processes of this name that it has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            called, _, rest = status.read_text("utf-8").rpartition(") ")
            if int(rest.split()[1]) == process_id and called.partition("(")[2] == name:
                found.append(int(status.parent.name))
    return found


def used_s(process_id: int) -> float:
    """Seconds of processor time so far, of all its threads (schedstat has nanoseconds)."""
    total = 0
    for task in Path(f"/proc/{process_id}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_bytes(process_id: int) -> int:
    """Memory that is its own or shared, as the kernel counts it (VmRSS)."""
    for line in Path(f"/proc/{process_id}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
