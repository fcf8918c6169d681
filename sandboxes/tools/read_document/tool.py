"""Reads the text out of a document that a stranger sent, hidden text told apart from what is shown.

Everything about a document may be a trick: its name, its size once unpacked, its nesting, text that
people do not see and models read. It is parsed in a child with a bound on everything, and one clear
code says which bound it broke.
"""

import json
import os
import sys

from callbroker_tool import ToolFailed, run_child
from reading import kinds, pdf
from reading.found import Found, Refused

LOADED_BEFORE_A_CALL = (pdf,)
CHARACTERS_MAX = 150_000
RECORD_BYTES_MAX = 1_000_000
HIDDEN_MAX = 50
DEADLINE_S = 20.0
_XCPU = 24

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from callbroker_tool import Call, Ended

    JsonObject = dict[str, Any]


def run(call: "Call", *, document: str, start: int = 0) -> "JsonObject":
    """The text of one document.

    Args:
        call: has the document as its only file.
        document: the artefact's name; what lies behind it is in `call` already.
        start: the character of the text to begin at, for what did not fit the time before.

    Raises:
        ToolFailed: it cannot be read, with the reason as code.
    """
    del document
    if not call.files:
        raise ToolFailed("DOCUMENT_MISSING", "No document was handed in.")
    path = call.files[0]
    ended = run_child(
        lambda: _child(str(path), start),
        stdin=b"",
        deadline_s=DEADLINE_S,
        bytes_max=RECORD_BYTES_MAX,
    )
    sys.stderr.write(ended.stderr[:2_000].decode("utf-8", "replace"))
    line, whole, _ = ended.record.partition(b"\n")
    if not whole:
        raise ToolFailed(*_why_it_died(ended))
    said: JsonObject = json.loads(line)
    if "refused" in said:
        raise ToolFailed(*said["refused"])
    return said


def _why_it_died(ended: "Ended") -> "tuple[str, str]":
    if ended.timed_out or ended.signal == _XCPU:
        return "DOCUMENT_TOO_COSTLY", "Reading the document takes more time than is allowed."
    if ended.signal:
        return "DOCUMENT_TOO_COSTLY", "Reading the document takes more memory than is allowed."
    return "DOCUMENT_BROKEN", "The document could not be read."


def _child(path: str, start: int) -> None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - no more is needed of it
            content = file.read()
        said = _told(kinds.read(content, os.path.basename(path)), start)  # noqa: PTH119
    except Refused as refused:
        said = {"refused": [refused.code, str(refused)]}
    except RecursionError:
        said = {"refused": ["DOCUMENT_TOO_DEEP", "The document is nested too deeply."]}
    except MemoryError:
        said = {"refused": ["DOCUMENT_TOO_COSTLY", "Reading the document takes too much memory."]}
    except Exception:  # noqa: BLE001 - a parser met what it does not know
        sys.excepthook(*sys.exc_info())
        said = {"refused": ["DOCUMENT_BROKEN", "The document is damaged, or not what it says."]}
    line = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    while line:
        line = line[os.write(3, line) :]


def _told(found: Found, start: int) -> "JsonObject":
    text = found.text()
    shown = text[start : start + CHARACTERS_MAX]
    return {
        "media_type": found.media_type,
        "title": found.title,
        "text": shown,
        "start": min(start, len(text)),
        "characters": len(text),
        "truncated": found.is_cut or start + len(shown) < len(text),
        "pages": found.pages,
        "hidden": found.hidden[:HIDDEN_MAX],
        "notes": found.notes_told(hidden_max=HIDDEN_MAX),
    }
