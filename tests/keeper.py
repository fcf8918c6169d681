"""Runs one command, and ends with nothing left of it: neither it nor a process that it started.

Whoever wants it stopped closes this process's standard input, and dying does that too. The command
is told as Ctrl-C would tell it, so that it can tidy up, and is killed where it does not end. What
it leaves behind becomes a child of this process (prctl(2), PR_SET_CHILD_SUBREAPER), is named on
standard output, and killed. Needs nothing but Python and Linux.

    python keeper.py LIMIT_S QUIET_S TIDY_S COMMAND...

Exits as the command did, with `HUNG` where it took longer than its limit and says no more, with
`STOPPED` where it was told to end.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HUNG: Final = 124
STOPPED: Final = 130
KILLED: Final = 128
"""Added to the number of the signal that ended the command."""

QUIET_S: Final = 300.0
"""How long whoever is over its limit may say nothing, where what it says goes to a file."""

WORKED: Final = "seconds of processors: "
"""Begins the line that says what the command and all that it started have used up."""

LEFT: Final = "left behind, and killed: "
"""Begins each line that names a process which outlived the command."""

TIDY_S: Final = 30.0
"""How long it may take to end once it was told to."""

LEFT_S: Final = 5.0
"""How long a process may take to notice that the command ended."""

_KILLED_S: Final = 20.0
_POLL_S: Final = 0.05
_REAP_S: Final = 0.5
# A shell's background jobs are deaf to Ctrl-C, and Python to a pipe that nobody reads.
_AS_AT_A_TERMINAL: Final = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_libc = ctypes.CDLL(None, use_errno=True)


def main(limit_s: float, quiet_s: float, tidy_s: float, command: Sequence[str]) -> int:
    """Runs it; returns the exit code."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    pid = _started(command)
    ended = _await(pid, limit_s, quiet_s)
    code, told = ended if ended is not None else _stopped(pid, limit_s, tidy_s)
    for left in _outlived(told=told):
        _tell(f"{LEFT}{left}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    _tell(f"{WORKED}{used.ru_utime + used.ru_stime:.0f}")
    return code


def _started(command: Sequence[str]) -> int:
    keeper, pid = os.getpid(), os.fork()
    if pid == 0:
        try:
            os.setsid()  # Ctrl-C at a terminal is for whoever started this
            _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
            if os.getppid() != keeper:
                os._exit(STOPPED)
            for number in _AS_AT_A_TERMINAL:
                signal.signal(number, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.execvp(command[0], list(command))
        except OSError as problem:
            os.write(2, f"{command[0]}: {problem}\n".encode())
        os._exit(127)
    return pid


def _await(pid: int, limit_s: float, quiet_s: float) -> tuple[int, bool] | None:
    """The code of a command that ended by itself; None where it is to be stopped."""
    until = time.monotonic() + limit_s
    heard = -1
    handle = os.pidfd_open(pid)
    try:
        while True:
            left_s = until - time.monotonic()
            if left_s <= 0:
                if heard == (heard := _heard()):
                    return None
                left_s = quiet_s  # slow, and alive
                until = time.monotonic() + quiet_s
            ready, _, _ = select.select([handle, 0], [], [], min(left_s, _REAP_S))
            if handle in ready:
                return _reaped(pid), False
            if ready and not os.read(0, 4096):
                return None
            _reap_orphans(pid)
    finally:
        os.close(handle)


def _reap_orphans(pid: int) -> None:
    """Take in those who ended and have nobody else: until then they seem to be there yet."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid == pid:
                return
            os.waitpid(ended.si_pid, 0)


def _heard() -> int:
    """How much was said so far, in bytes; of what is no file, nothing."""
    return os.fstat(1).st_size


def _stopped(pid: int, limit_s: float, tidy_s: float) -> tuple[int, bool]:
    """Ends it, politely first."""
    asked = bool(select.select([0], [], [], 0)[0])
    if not asked:
        _tell(f"took more than {limit_s:.0f} s, and is taken to hang")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGINT)
    handle = os.pidfd_open(pid)
    try:
        if not select.select([handle], [], [], tidy_s)[0]:
            os.killpg(pid, signal.SIGKILL)
    finally:
        os.close(handle)
    _reaped(pid)
    return (STOPPED if asked else HUNG), True


def _reaped(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else KILLED - code


def _outlived(*, told: bool) -> list[str]:
    """What the command has left, as it was called, once all of it is gone.

    Args:
        told: it was interrupted, and nobody wonders what it leaves.
    """
    until = time.monotonic() + (0.0 if told else LEFT_S)
    while _below() and time.monotonic() < until:
        time.sleep(_POLL_S)
    killed: dict[int, str] = {}
    until = time.monotonic() + _KILLED_S
    while (living := _below()) and time.monotonic() < until:
        for pid in living:
            killed.setdefault(pid, _called(pid))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)
    return [] if told else sorted(killed.values())


def _below() -> list[int]:
    """All processes under this one that live; what has ended is reaped here."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    found, new = [], _children(os.getpid())
    while new:
        found += new
        new = [child for pid in new for child in _children(pid)]
    return found


def _children(pid: int) -> list[int]:
    """What each of its threads has started (proc(5), children)."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has just ended
        for each in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (each / "children").read_text("ascii").split())
    return found


def _called(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return f"{pid} {b' '.join(words).decode('utf-8', 'replace')[:200]}"
    return str(pid)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:4]), sys.argv[4:]))
