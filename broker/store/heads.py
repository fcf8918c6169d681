"""Signed heads are kept outside of the database, so that the database alone cannot be set back.

One file, a line for each head and each restore, only ever added to. A line that was cut off by a
crash is no head: it is dropped before the next one is written.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from broker.core.audit_lines import (
    CheckpointLine,
    EpochLine,
    Line,
    MalformedLine,
    RotationLine,
    checkpoint_line,
    epoch_line,
    read_line,
    rotation_line,
)
from broker.store.dialects import DatabaseInUse
from broker.store.keys import sync_directory

HEADS_FILE: Final = "heads.jsonl"


class Heads:
    """The file of signed heads in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path: Final = directory / HEADS_FILE

    def own(self) -> Callable[[], None]:
        """Have the file for this process alone; returns what gives it up again.

        Raises:
            DatabaseInUse: another process has it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path.with_name(f"{HEADS_FILE}.lock"), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DatabaseInUse(
                f"Another broker keeps its heads in {self.path.parent}: stop it, or give this one "
                "a state directory of its own.",
            ) from None
        return lambda: os.close(descriptor)

    def newest(self) -> str | None:
        """The last note, or None where there never was one.

        Raises:
            ValueError: the file holds something else.
        """
        notes = notes_of(self.path.read_bytes()) if self.path.exists() else []
        return notes[-1] if notes else None

    def append(self, note: str) -> None:
        """Keep a head, durably.

        Raises:
            OSError: it could not be written; nothing is known of it.
        """
        self._append(checkpoint_line(note) + b"\n")

    def open_epoch(self, epoch: str, head: str) -> None:
        """Keep that a restored log goes on, and its first head, durably.

        Raises:
            OSError: they could not be written; nothing is known of them.
        """
        self._append(epoch_line(epoch) + b"\n" + checkpoint_line(head) + b"\n")

    def add_rotation(self, note: str) -> None:
        """Keep that the keys were rotated, durably and once.

        Raises:
            OSError: it could not be written; nothing is known of it.
            ValueError: the file holds something else.
        """
        if self.path.exists() and note in rotations_of(self.path.read_bytes()):
            return
        self._append(rotation_line(note) + b"\n")

    def _append(self, line: bytes) -> None:
        fresh = not self.path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            whole = _whole_lines(descriptor)
            if os.pwrite(descriptor, line, whole) != len(line):
                raise OSError("The head was written in part.")
            os.ftruncate(descriptor, whole + len(line))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            sync_directory(self.path.parent)


def notes_of(text: bytes) -> list[str]:
    """The heads of a file of them, or of one note by itself.

    Raises:
        ValueError: it is neither.
    """
    if not text.startswith(b"{"):
        return [text.decode()] if text else []
    return [line.note for line in _lines(text) if isinstance(line, CheckpointLine)]


def epochs_of(text: bytes) -> list[str]:
    """The notes of restores in a file of heads.

    Raises:
        ValueError: the file holds something else.
    """
    if not text.startswith(b"{"):
        return []
    return [line.note for line in _lines(text) if isinstance(line, EpochLine)]


def rotations_of(text: bytes) -> list[str]:
    """The notes of rotations of the keys in a file of heads.

    Raises:
        ValueError: the file holds something else.
    """
    if not text.startswith(b"{"):
        return []
    return [line.note for line in _lines(text) if isinstance(line, RotationLine)]


def _lines(text: bytes) -> list[Line]:
    lines = [read_line(line) for line in text.split(b"\n")[:-1]]
    if not all(isinstance(line, CheckpointLine | EpochLine | RotationLine) for line in lines):
        raise MalformedLine("The file holds something that is no signed head.")
    return lines


def _whole_lines(descriptor: int) -> int:
    """How many bytes of the file are whole lines."""
    size = os.fstat(descriptor).st_size
    step = 4_096
    end = size
    while end > 0:
        start = max(0, end - step)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
