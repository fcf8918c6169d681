"""What a container may say, and when: ready once, then nothing until it is asked, then one answer.

Pure: bytes go in, and what they mean comes out. Standard error is nobody's answer; its beginning is
kept for the log, and too much of it is an end like any other.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sandboxes.answers import AnswerReader
from sandboxes.entry.frames import READY, Answer, FrameBroken

STANDARD_OUTPUT: Final = 1
ERRORS_KEPT_BYTES: Final = 2_048
ERRORS_BYTES_MAX: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Waiting:
    """It has loaded its tool and waits for a question."""


@dataclass(frozen=True, slots=True)
class Answered:
    """It gave one whole answer."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Broke:
    """It said what it may not; `code` is UPPER_SNAKE, `message` one sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Its streams have ended."""


Heard = Waiting | Answered | Broke | Ended


class _Phase(Enum):
    LOADING = auto()
    WAITING = auto()
    ASKED = auto()
    OVER = auto()


class Hearing:
    """Listens to one container."""

    def __init__(self) -> None:
        """Expect it to say that it is ready."""
        self._phase = _Phase.LOADING
        self._said = b""
        self._reader: AnswerReader | None = None
        self._errors = bytearray()
        self._errors_bytes = 0

    @property
    def errors(self) -> bytes:
        """The beginning of its standard error."""
        return bytes(self._errors)

    def expect(self, reader: AnswerReader) -> None:
        """It is about to be asked: what it says from now on is the answer.

        Raises:
            RuntimeError: it does not wait.
        """
        if self._phase is not _Phase.WAITING:
            raise RuntimeError(f"asked while {self._phase.name}")
        self._phase = _Phase.ASKED
        self._reader = reader

    def hear(self, kind: int, data: bytes) -> Heard | None:
        """Take what came.

        Args:
            kind: 1 of standard output, 2 of standard error.
            data: as much as came.

        Returns:
            What it means, once it means something; None while more is to come.
        """
        if self._phase is _Phase.OVER:
            return None
        heard = self._output(data) if kind == STANDARD_OUTPUT else self._error(data)
        if isinstance(heard, (Answered, Broke)):
            self._phase = _Phase.OVER
        return heard

    def _output(self, data: bytes) -> Heard | None:
        if self._phase is _Phase.LOADING:
            return self._loading(data)
        if self._reader is None:
            return Broke("OUTPUT_EARLY", "It wrote to standard output before it was asked.")
        try:
            answer = self._reader.feed(data)
        except FrameBroken as broken:
            return Broke(broken.code, str(broken))
        return None if answer is None else Answered(answer)

    def _loading(self, data: bytes) -> Heard | None:
        self._said += data
        if self._said == READY:
            self._phase = _Phase.WAITING
            return Waiting()
        if READY.startswith(self._said):
            return None
        return Broke("OUTPUT_EARLY", "It wrote to standard output before it was asked.")

    def _error(self, data: bytes) -> Heard | None:
        self._errors += data[: ERRORS_KEPT_BYTES - len(self._errors)]
        self._errors_bytes += len(data)
        if self._errors_bytes <= ERRORS_BYTES_MAX:
            return None
        return Broke(
            "OUTPUT_TOO_LARGE", f"It wrote over {ERRORS_BYTES_MAX} bytes to standard error."
        )
