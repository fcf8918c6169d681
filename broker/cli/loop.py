"""The loop that the broker runs on: uvloop where there is one, and calmer wake-ups.

gRPC wakes the loop several times for each call. SCHED_BATCH, which every process may choose for
itself, tells the kernel that a thread which is woken need not interrupt the one that woke it: fewer
switches for the same work, and nobody gets more of a processor by it.
"""

import asyncio
import contextlib
import ctypes
import gc
import importlib
import os
from collections.abc import Callable, Coroutine
from typing import Any


def run_on_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, as `asyncio.run` does."""
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with asyncio.Runner(loop_factory=_factory()) as runner:
        runner.run(work)


def settle() -> None:
    """After start: what is there by now stays, so neither the collector nor the heap keeps on it.

    Everything that was imported and opened is taken out of what the collector looks through, and
    what starting needed and nothing uses any more goes back to the system (glibc's malloc_trim).
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
            "uvloop"
        ).new_event_loop
    except ModuleNotFoundError:  # not there on Windows
        return asyncio.new_event_loop
    return factory
