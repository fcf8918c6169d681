r"""The one question and the one answer that pass between a node and the container that it started.

    question   "CBRQ"  header length (u32, big endian)  header  input  files…
    ready      "CBRDY1\n", once the tool is loaded; before it is asked nothing else may be said
    answer     "CBRS"  header length (u32, big endian)  header  result  files…

A header is one JSON object that says how long each part after it is, so that whoever reads knows
what is coming before it comes. The answer repeats the question's nonce: one that was written before
the question was read does not have it. This file is copied into every image beside `entry.py` and
needs the standard library alone, and little of that: what is loaded here, each waiting container
holds in memory (dataclasses would cost 1.7 MB).
"""

import struct

from sandboxes.entry import plain_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTION = b"CBRQ"
ANSWER = b"CBRS"
READY = b"CBRDY1\n"
HEADER_BYTES_MAX = 65_536
NAME_CHARACTERS_MAX = 128
_PREFIX = struct.Struct(">4sI")
PREFIX_BYTES = _PREFIX.size


class FrameBroken(ValueError):
    """What was read is not one frame; `code` is UPPER_SNAKE, `str` one sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Value:
    """Equal where its parts are."""

    __slots__: "tuple[str, ...]" = ()

    def _parts(self) -> "tuple[object, ...]":
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._parts() == self._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self._parts()!r}"


class File(_Value):
    """One file: a plain name, and what is in it."""

    __slots__ = ("content", "name")

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content


class Question(_Value):
    """What the tool gets."""

    __slots__ = ("files", "input_json", "nonce")

    def __init__(self, nonce: str, input_json: bytes, files: "Sequence[File]" = ()) -> None:
        self.nonce = nonce
        self.input_json = input_json
        self.files = tuple(files)


class Answer(_Value):
    """What came back.

    Attributes:
        failure: None where there is a result; else code and sentence of the tool's own.
    """

    __slots__ = ("failure", "files", "nonce", "result_json")

    def __init__(
        self,
        nonce: str,
        result_json: bytes = b"",
        files: "Sequence[File]" = (),
        failure: "tuple[str, str] | None" = None,
    ) -> None:
        self.nonce = nonce
        self.result_json = result_json
        self.files = tuple(files)
        self.failure = failure


class Caps(_Value):
    """How much an answer may be. Sizes in bytes."""

    __slots__ = ("files_bytes_max", "files_max", "output_bytes_max")

    def __init__(self, *, output_bytes_max: int, files_max: int, files_bytes_max: int) -> None:
        self.output_bytes_max = output_bytes_max
        self.files_max = files_max
        self.files_bytes_max = files_bytes_max


def encode_question(question: Question) -> bytes:
    """The whole frame."""
    header = {
        "nonce": question.nonce,
        "input": len(question.input_json),
        "files": [{"name": f.name, "size": len(f.content)} for f in question.files],
    }
    return _frame(QUESTION, header, question.input_json, question.files)


def encode_answer(answer: Answer) -> bytes:
    """The whole frame."""
    header: dict[str, object] = {
        "nonce": answer.nonce,
        "result": len(answer.result_json),
        "files": [{"name": f.name, "size": len(f.content)} for f in answer.files],
    }
    if answer.failure is not None:
        header["failure"] = list(answer.failure)
    return _frame(ANSWER, header, answer.result_json, answer.files)


def unpack_prefix(prefix: bytes) -> "tuple[bytes, int]":
    """What kind of frame begins here, and how long its header is: neither is checked."""
    kind, length = _PREFIX.unpack(prefix)
    return kind, length


def _frame(kind: bytes, header: object, body: bytes, files: "Sequence[File]") -> bytes:
    encoded = plain_json.dumps(header)
    return b"".join(
        (_PREFIX.pack(kind, len(encoded)), encoded, body, *(f.content for f in files)),
    )
