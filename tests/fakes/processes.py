"""What the kernel knows of a process, for tests that end some."""

import asyncio
from collections.abc import Callable
from pathlib import Path


async def until(condition: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
    """Return once `condition` holds; fail where it does not in time."""
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.02)


def is_running(process_id: int) -> bool:
    """Whether it exists and is no zombie."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def processor_ticks(process_id: int) -> int:
    """Ticks of processor time that it has used (proc(5), utime and stime)."""
    fields = Path(f"/proc/{process_id}/stat").read_text("utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
