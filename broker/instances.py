"""A state directory is one broker's at a time: whoever had it before does surely nothing any more.

So a broker that was killed and is started again need not wait until others would take its former
self for gone. The lock is the system's, and is over with the process however that ends. A copy of
the directory is another one: what it says of who had it is of no account.
"""

import fcntl
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE_NAME: Final = "instances.json"
FORMER_MAX: Final = 1_000


class StateInUse(OSError):
    """Another broker runs from this state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A state directory that is had.

    Attributes:
        former: names of the brokers that had it before.
        release: gives it up again.
    """

    former: frozenset[str]
    release: Callable[[], None]


def take(state: Path, name: str) -> Taken:
    """Have a state directory for the broker of this name.

    Raises:
        StateInUse: another process has it.
        OSError: it cannot be written.
    """
    descriptor = os.open(state / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        here: list[str | int] = [
            socket.gethostname(),
            str(state.resolve()),
            os.fstat(descriptor).st_ino,
        ]
        former = _names(descriptor, here)
        names = [*former, name][-FORMER_MAX:]
        written = json.dumps({"here": here, "names": names}).encode()
        os.pwrite(descriptor, written, 0)
        os.ftruncate(descriptor, len(written))
        os.fsync(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise StateInUse(
            f"Another broker runs from {state}: stop it, or give this one a `state` of its own."
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return Taken(former=frozenset(former), release=lambda: os.close(descriptor))


def _names(descriptor: int, here: list[str | int]) -> list[str]:
    """What is written; nothing where it is not whole: then those count as gone a little later."""
    try:
        found = json.loads(os.pread(descriptor, 1 << 20, 0))
    except ValueError:
        return []
    match found:
        case {"here": at, "names": list(names)} if at == here:
            return [name for name in names if isinstance(name, str)]
        case _:
            return []
