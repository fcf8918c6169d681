"""Waiting for what another process does, with a deadline."""

import time
from collections.abc import Callable

DEADLINE_S = 20.0


def until(
    holds: Callable[[], object], otherwise: Callable[[], str] | str, *, within_s: float = DEADLINE_S
) -> None:
    """Wait for a condition."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, otherwise if isinstance(otherwise, str) else otherwise()
        time.sleep(0.05)
