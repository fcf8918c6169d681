"""Code that must not take the answer down with it runs in a child, and is listened to for a while.

Whatever the child does (dies, floods, leaves processes behind, closes everything), there is an end
with as much of its output as fits. It is a fork: nothing is loaded anew, and the child's memory is
the tool's own. The standard library alone, Python 3.9 and on.
"""

import errno
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

RECORD = 3  # the descriptor that the child may write one record to
_LAST_DESCRIPTOR = 1_024
_PIECE_BYTES = 65_536
_LOOK_MS = 50  # how often it is asked whether a silent child is still there


class Ended:
    """How a child ended.

    Attributes:
        exit_code: as it ended by itself; None where a signal ended it.
        signal: that ended it, else 0.
        stdout, stderr, record: as much as was kept.
        stdout_lost, stderr_lost, record_lost: bytes beyond that.
        timed_out: it was killed at the deadline.
    """

    def __init__(self, status: int, heard: "list[_Heard]", *, timed_out: bool) -> None:
        self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self.exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        self.stdout, self.stderr, self.record = (bytes(one.kept) for one in heard)
        self.stdout_lost, self.stderr_lost, self.record_lost = (one.lost for one in heard)
        self.timed_out = timed_out


class _Heard:
    def __init__(self, descriptor: int, bytes_max: int) -> None:
        self.descriptor = descriptor
        self.kept = bytearray()
        self.lost = 0
        self.is_open = True
        self._bytes_max = bytes_max
        os.set_blocking(descriptor, False)

    def read(self) -> bool:
        """Take what is there; False where there is nothing now."""
        try:
            piece = os.read(self.descriptor, _PIECE_BYTES)
        except BlockingIOError:
            return False
        self.is_open = bool(piece)
        room = max(0, self._bytes_max - len(self.kept))
        self.kept += piece[:room]
        self.lost += len(piece[room:])
        return self.is_open


class _Said:
    """Standard input, as far as it is taken."""

    def __init__(self, descriptor: int, data: bytes) -> None:
        self.descriptor = descriptor
        self.is_open = True
        self._left = memoryview(data)
        os.set_blocking(descriptor, False)

    def write(self) -> None:
        """Give what fits; close after the last byte, or when nobody reads."""
        try:
            self._left = self._left[os.write(self.descriptor, self._left[:_PIECE_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._left = self._left[:0]
        if not self._left:
            self.close()

    def close(self) -> None:
        if self.is_open:
            os.close(self.descriptor)
        self.is_open = False


def run_child(
    work: "Callable[[], None]", *, stdin: bytes, deadline_s: float, bytes_max: int
) -> Ended:
    """Fork, and hear what the child says until it ends.

    Args:
        work: what the child does; it may write one record, a line, to descriptor `RECORD`, and is
            over when it has. Standard input, output and error are pipes; nothing else is open.
        stdin: what it may read.
        deadline_s: it is killed then, with its process group.
        bytes_max: of each of output, error and record that is kept; the rest is read and counted.
    """
    pipes = [os.pipe() for _ in range(4)]
    child = os.fork()
    if child == 0:
        _become_child(work, pipes)
    (read_end, write_end), *outputs = pipes
    os.close(read_end)
    for _, theirs in outputs:
        os.close(theirs)
    heard = [_Heard(ours, bytes_max) for ours, _ in outputs]
    said = _Said(write_end, stdin)
    until = time.monotonic() + deadline_s
    try:
        status = _hear(child, heard, said, until)
        timed_out = status is None and time.monotonic() > until
        status = _end(child, status, heard)
    finally:
        said.close()
        for one in heard:
            os.close(one.descriptor)
    return Ended(status, heard, timed_out=timed_out)


def _become_child(work: "Callable[[], None]", pipes: "list[tuple[int, int]]") -> "NoReturn":
    code = 1
    try:
        os.setsid()
        ends = [pipes[0][0], *(theirs for _, theirs in pipes[1:])]
        high = [os.dup2(end, 100 + place) for place, end in enumerate(ends)]
        for place, end in enumerate(high):
            os.dup2(end, place)
        os.closerange(RECORD + 1, _LAST_DESCRIPTOR)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever happens, this process is not the tool's
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _hear(child: int, heard: "list[_Heard]", said: _Said, until: float) -> "int | None":
    """Until it ends, has given its record, or is out of time; how it ended, if it has."""
    status: int | None = None
    while status is None and not _has_record(heard) and time.monotonic() <= until:
        _wait(heard, said)
        for one in heard:
            if one.is_open:
                one.read()
        if said.is_open:
            said.write()
        status = _ended(child)
    return status


def _end(child: int, status: "int | None", heard: "list[_Heard]") -> int:
    """Kill it and what is left of its group, and read what is left in the pipes."""
    _kill_group(child)
    if status is None:
        status = os.waitpid(child, 0)[1]
    left_by_others = time.monotonic() + 1  # who made a group of their own may flood on
    for one in heard:
        while one.is_open and one.read() and time.monotonic() < left_by_others:
            pass
    return 0 if _has_record(heard) else status


def _has_record(heard: "list[_Heard]") -> bool:
    return heard[-1].kept.endswith(b"\n")


def _wait(heard: "list[_Heard]", said: _Said) -> None:
    poll = select.poll()
    for one in heard:
        if one.is_open:
            poll.register(one.descriptor, select.POLLIN)
    if said.is_open:
        poll.register(said.descriptor, select.POLLOUT)
    poll.poll(_LOOK_MS)


def _ended(child: int) -> "int | None":
    found, status = os.waitpid(child, os.WNOHANG)
    return status if found else None


def _kill_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.EPERM):
            raise
