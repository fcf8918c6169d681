r"""The one question and the one answer that pass between a node and the container that it started.

    question   "CBRQ"  header length (u32, big endian)  header  input  files…
    ready      "CBRDY1\n", once the tool is loaded; before it is asked nothing else may be said
    answer     "CBRS"  header length (u32, big endian)  header  result  files…

A header is one JSON object that says how long each part after it is, so that whoever reads knows
what is coming before it comes. The answer repeats the question's nonce: one that was written before
the question was read does not have it. This file is copied into every image beside `entry.py` and
needs the standard library alone.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class File:
    """One file: a plain name, and what is in it."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Question:
    """What the tool gets."""

    nonce: str
    input_json: bytes
    files: Sequence[File] = ()


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        failure: None where there is a result; else code and sentence of the tool's own.
    """

    nonce: str
    result_json: bytes = b""
    files: Sequence[File] = ()
    failure: tuple[str, str] | None = None


@dataclass(frozen=True)
class Caps:
    """How much an answer may be. Sizes in bytes."""

    output_bytes_max: int
    files_max: int
    files_bytes_max: int


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


def _frame(kind: bytes, header: object, body: bytes, files: Sequence[File]) -> bytes:
    encoded = json.dumps(header, separators=(",", ":")).encode()
    return b"".join(
        (_PREFIX.pack(kind, len(encoded)), encoded, body, *(f.content for f in files)),
    )
