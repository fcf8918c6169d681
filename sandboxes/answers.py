"""Reads the one answer of a container that may be hostile; sizes are checked before bytes are kept.

Nothing is believed that was not asked for: another nonce, a byte before or after, a part longer
than its cap, a name that is not plain end the reading with one code.
"""

import hmac
import json
import re
import struct
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from sandboxes import names
from sandboxes.entry.frames import (
    ANSWER,
    HEADER_BYTES_MAX,
    PREFIX_BYTES,
    Answer,
    Caps,
    File,
    FrameBroken,
)

FAILURE_CHARACTERS_MAX: Final = 2_000
TOOL_FAILED: Final = "TOOL_FAILED"
_LENGTH: Final = struct.Struct(">I")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
# Possessive, and an end of the text ends a string too: hostile text is gone through once.
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(code for code in range(256) if code not in b"[]{}")
_SIZE_MAX: Final = 1 << 53


class AnswerReader:
    """One answer, as its bytes come."""

    def __init__(self, *, nonce: str, caps: Caps) -> None:
        """Wait for the answer to a question.

        Args:
            nonce: of the question.
            caps: how much it may be.
        """
        self._nonce = nonce
        self._caps = caps
        self._held = bytearray()
        self._header: Mapping[str, Any] | None = None
        self._sizes: list[int] = []
        self._wanted = PREFIX_BYTES

    def feed(self, data: bytes) -> Answer | None:
        """Take the next bytes.

        Returns:
            The answer, once the last byte is there.

        Raises:
            FrameBroken: it is none, or not of this question, or too large.
        """
        self._held += data
        start = bytes(self._held[: len(ANSWER)])
        if not ANSWER.startswith(start):
            raise FrameBroken("OUTPUT_UNFRAMED", "It wrote something that is not an answer.")
        while len(self._held) >= self._wanted:
            if self._header is not None:
                return self._whole()
            self._measure()
        return None

    def _measure(self) -> None:
        """The prefix or the header is there: say how many bytes there must be in all."""
        (header_bytes,) = _LENGTH.unpack_from(self._held, len(ANSWER))
        if header_bytes > HEADER_BYTES_MAX:
            raise FrameBroken(
                "OUTPUT_TOO_LARGE", f"The head of its answer is over {HEADER_BYTES_MAX} bytes."
            )
        end = PREFIX_BYTES + header_bytes
        if len(self._held) < end:
            self._wanted = end
            return
        self._header = _header(bytes(self._held[PREFIX_BYTES:end]))
        if not hmac.compare_digest(_text(self._header, "nonce").encode(), self._nonce.encode()):
            raise FrameBroken("OUTPUT_UNFRAMED", "Its answer is to another question.")
        self._sizes = self._parts(self._header)
        self._wanted = end + sum(self._sizes)

    def _parts(self, header: Mapping[str, Any]) -> list[int]:
        caps = self._caps
        result_bytes = _size(header.get("result"))
        listed = header.get("files", [])
        if not isinstance(listed, list) or not all(isinstance(f, dict) for f in listed):
            _odd()
        if result_bytes > caps.output_bytes_max:
            raise FrameBroken(
                "OUTPUT_TOO_LARGE",
                f"Its result has {result_bytes} bytes; {caps.output_bytes_max} are allowed.",
            )
        if len(listed) > caps.files_max:
            raise FrameBroken(
                "OUTPUT_TOO_LARGE",
                f"It left {len(listed)} files; {caps.files_max} are allowed.",
            )
        sizes = [_size(f.get("size")) for f in listed]
        if sum(sizes) > caps.files_bytes_max:
            raise FrameBroken(
                "OUTPUT_TOO_LARGE",
                f"Its files have {sum(sizes)} bytes; {caps.files_bytes_max} are allowed.",
            )
        wrong = names.finding_of_all(_text(f, "name") for f in listed)
        if wrong:
            raise FrameBroken("OUTPUT_FILE_NAME", wrong)
        return [result_bytes, *sizes]

    def _whole(self) -> Answer:
        if len(self._held) > self._wanted or self._header is None:
            raise FrameBroken("OUTPUT_TRAILING", "It went on writing after its answer.")
        at = self._wanted - sum(self._sizes)
        parts: list[bytes] = []
        for size in self._sizes:
            parts.append(bytes(self._held[at : at + size]))
            at += size
        listed = self._header.get("files", [])
        return Answer(
            nonce=self._nonce,
            result_json=parts[0],
            files=tuple(
                File(name=f["name"], content=content)
                for f, content in zip(listed, parts[1:], strict=True)
            ),
            failure=_failure(self._header.get("failure")),
        )


def check_json(data: bytes, *, depth_max: int) -> None:
    """See that a result is one JSON value that is not too deep.

    Duplicate keys and large numbers are left to whoever reads it: the broker does so strictly.

    Args:
        data: at most the profile's cap.
        depth_max: arrays and objects within each other.

    Raises:
        FrameBroken: OUTPUT_NOT_JSON or OUTPUT_TOO_DEEP.
    """
    if _depth_exceeds(data, depth_max):
        raise FrameBroken("OUTPUT_TOO_DEEP", f"Its result is nested deeper than {depth_max}.")
    try:
        json.loads(data.decode(), parse_constant=_not_json)
    except (ValueError, RecursionError):
        raise FrameBroken("OUTPUT_NOT_JSON", "Its result is not one JSON value.") from None


def _depth_exceeds(data: bytes, depth_max: int) -> bool:
    # What has no more brackets than that cannot nest deeper; most results end here.
    if data.count(b"[") + data.count(b"{") <= depth_max:
        return False
    left = _STRING.sub(b"", data).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(depth_max):  # each time, what is innermost goes
        without = left.replace(b"[]", b"")
        if len(without) == len(left):
            return left.count(b"[") > depth_max
        left = without
    return b"[" in left


def _not_json(constant: str) -> NoReturn:
    raise ValueError(constant)


def _header(data: bytes) -> Mapping[str, Any]:
    try:
        header = json.loads(data.decode())
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        _odd()
    return header


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _SIZE_MAX:
        _odd()
    return value


def _text(header: Mapping[str, Any], key: str) -> str:
    value = header.get(key)
    if not isinstance(value, str):
        _odd()
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        _odd()
    return value


def _failure(value: object) -> tuple[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a pair
        _odd()
    code, message = value
    if not isinstance(code, str) or not isinstance(message, str):
        _odd()
    told = message.encode(errors="replace").decode()[:FAILURE_CHARACTERS_MAX]
    return (code if _CODE.fullmatch(code) else TOOL_FAILED, told)


def _odd() -> NoReturn:
    raise FrameBroken("OUTPUT_UNFRAMED", "The head of its answer is not as it must be.")
