r"""An export of the log is JSON lines, each in RFC 8785 form, in the order of the leaves.

    {"header":{"before":[…],"contents":true,"format":1,"key":"callbroker/…+…+…","start":0}}
    {"contents":{…},"entry":{…},"leaf":0,"salt":"…"}
    {"entry":{…},"leaf":1}                              nothing to tell, or erased
    {"checkpoint":"callbroker/…\n2\n…\n\n— callbroker/… …\n"}
    {"epoch":"callbroker/… restored\n1\n…"}               among heads outside alone: a restore

A checkpoint stands right after the last leaf that it covers. An export that starts late carries
the roots of the full subtrees before it (`before`), so that its heads can be checked all the same.
A line that is not in RFC 8785 form is refused, so there is one way to write any export.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from broker.core.arguments import JsonValue
from broker.core.audit import Contents
from broker.core.canonical import canonical_bytes
from broker.core.merkle import Frontier

FORMAT: Final = 1
_HEADER: Final = {"before", "contents", "format", "key", "start"}


class MalformedLine(ValueError):
    """This is no line of an export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderLine:
    """The first line.

    Attributes:
        key: the public key in text form (`notes.verifier_key`).
        before: the tree of what came before the first leaf of this export.
        contents: whether contents were asked for.
    """

    key: str
    before: Frontier
    contents: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLine:
    """One entry: `entry` are its exact bytes, `said` is what they say."""

    leaf: int
    entry: bytes
    said: Mapping[str, JsonValue]
    contents: Contents | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointLine:
    """A signed head, as `notes.sign` made it."""

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochLine:
    """A restore, as `epochs.sign_epoch` made its note. No line of an export: of heads outside."""

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationLine:
    """A rotation of the keys, as `key_line` made its note. Of heads outside, as `EpochLine`."""

    note: str


Line = HeaderLine | EntryLine | CheckpointLine | EpochLine | RotationLine


def header_line(header: HeaderLine) -> bytes:
    """The first line of an export."""
    return canonical_bytes(
        {
            "header": {
                "before": [base64.b64encode(root).decode() for root in header.before.roots],
                "contents": header.contents,
                "format": FORMAT,
                "key": header.key,
                "start": header.before.size,
            },
        },
    )


def entry_line(leaf: int, entry: bytes, contents: Contents | None) -> bytes:
    """An entry's line. `entry` and the contents are RFC 8785 already, so the line is too."""
    if contents is None:
        return b'{"entry":%b,"leaf":%d}' % (entry, leaf)
    salt = contents.salt.hex().encode()
    return b'{"contents":%b,"entry":%b,"leaf":%d,"salt":"%b"}' % (contents.body, entry, leaf, salt)


def checkpoint_line(note: str) -> bytes:
    """A signed head's line; the file outside of the database has the same lines."""
    return canonical_bytes({"checkpoint": note})


def epoch_line(note: str) -> bytes:
    """The line of a restore in the file outside of the database."""
    return canonical_bytes({"epoch": note})


def rotation_line(note: str) -> bytes:
    """The line of a rotation in the file outside of the database."""
    return canonical_bytes({"rotation": note})


def read_line(line: bytes) -> Line:
    """What a line says.

    Args:
        line: with or without the line feed at its end.

    Raises:
        MalformedLine: it is none, or another spelling of one.
    """
    text = line.removesuffix(b"\n")
    try:
        value = json.loads(text)
        read = _read(value) if isinstance(value, dict) else None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise MalformedLine("The line is no line of an export.") from None
    if read is None or _written(read) != text:
        raise MalformedLine("The line is not as an export writes it.")
    return read


_NOTES: Final[Mapping[str, type[CheckpointLine | EpochLine | RotationLine]]] = {
    "checkpoint": CheckpointLine,
    "epoch": EpochLine,
    "rotation": RotationLine,
}


def _read(value: dict[str, JsonValue]) -> Line | None:
    for member, kind in _NOTES.items():
        if value.keys() == {member}:
            note = value[member]
            return kind(note=note) if isinstance(note, str) else None
    if value.keys() == {"header"}:
        return _read_header(cast("dict[str, JsonValue]", value["header"]))
    if not {"entry", "leaf"} <= value.keys():
        return None
    said, leaf = value["entry"], value["leaf"]
    if not isinstance(said, dict) or type(leaf) is not int:
        return None
    contents = None
    if "contents" in value:
        salt = bytes.fromhex(cast("str", value["salt"]))
        contents = Contents(salt=salt, body=canonical_bytes(value["contents"]))
    return EntryLine(leaf=leaf, entry=canonical_bytes(said), said=said, contents=contents)


def _read_header(header: dict[str, JsonValue]) -> HeaderLine | None:
    key, start, contents = header["key"], header["start"], header["contents"]
    known = header.keys() == _HEADER and header["format"] == FORMAT
    if not known or not isinstance(key, str) or type(start) is not int:
        return None
    roots = [base64.b64decode(r, validate=True) for r in cast("list[str]", header["before"])]
    before = Frontier(size=start, roots=roots)
    return HeaderLine(key=key, before=before, contents=contents is True)


def _written(line: Line) -> bytes:
    match line:
        case HeaderLine():
            return header_line(line)
        case EntryLine():
            return entry_line(line.leaf, line.entry, line.contents)
        case CheckpointLine():
            return checkpoint_line(line.note)
        case EpochLine():
            return epoch_line(line.note)
        case RotationLine():
            return rotation_line(line.note)
