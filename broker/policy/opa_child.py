"""Becomes OPA, with an empty environment, such that OPA ends when the broker does, however it does.

Run as a script, isolated, with the standard library alone: `opa_child.py <how> <parent's pid>
<command…>`. On Linux the kernel is asked to kill this process with its parent (prctl(2),
PR_SET_PDEATHSIG, which survives execve), and then it becomes OPA. Elsewhere it stays, and kills OPA
when its standard input, a pipe that the broker holds, comes to an end.
"""

import ctypes
import os
import signal
import subprocess
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def main(how: str, parent: int, command: list[str]) -> int:
    """Start `command`; returns only where it cannot become it."""
    if how == "become":
        _become(parent, command)
    return _watch(command)


def _become(parent: int, command: list[str]) -> NoReturn:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(os.EX_OSERR)
    if os.getppid() != parent:  # it died before it could be watched
        sys.exit(os.EX_UNAVAILABLE)
    os.execve(command[0], command, {})  # noqa: S606 - no shell is the point


def _watch(command: list[str]) -> int:
    child = subprocess.Popen(command, env={}, stdin=subprocess.DEVNULL)  # noqa: S603
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(
        signal.SIGCHLD, lambda *_: os._exit(os.EX_OK) if child.poll() is not None else None
    )
    while os.read(0, 1):
        pass
    child.kill()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
