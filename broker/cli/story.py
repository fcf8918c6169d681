"""The log's entries of one call, in order, for an investigator.

Everything that an entry says is told; what is long (the policy input) only where it is asked for.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from broker.cli.names import short
from broker.cli.run_picture import request_picture, run_line, run_picture
from broker.cli.screen import Around, columns, labelled, ours, state, theirs
from broker.core.text import visible_value

_INDENT: Final = 2
_VALUE_INDENT: Final = 20
_QUESTION: Final = "question"
_RUN: Final = "run"
_REQUESTS: Final = "requests"


def story_picture(entries: Iterable[bytes], shown: Around) -> list[Text]:
    """One line an entry, with what it mainly says."""
    lines: list[Text] = [ours("")]
    for entry in map(_parsed, entries):
        told = _main_points(entry.get("body") or {}, entry.get("contents") or {})
        kind = theirs(str(entry.get("kind", "")).ljust(20) + " ")
        value = kind + theirs(str(entry.get("actor", ""))) + told
        # What is folded stays beside the time, so that no text can look like an entry.
        lines += columns([[ours(f"  {_clock(entry, shown)}"), value]], width=shown.width)
    return lines


def full_story(entries: Iterable[bytes], shown: Around) -> list[Text]:
    """Each entry with all that it says, contents included."""
    lines: list[Text] = []
    for entry in map(_parsed, entries):
        kind = theirs(str(entry.get("kind", "")), "bold")
        actor = theirs(str(entry.get("actor", "")))
        lines += [ours(""), ours(f"{_clock(entry, shown)}  ") + kind + ours("  ") + actor]
        members = dict(entry.get("body") or {}) | dict(entry.get("contents") or {})
        for name, value in members.items():
            if value not in ("", [], {}, None):
                lines += _member(name, value, shown)
        lines += _labelled("entry", _place(entry), shown)
    return lines


def _place(entry: Mapping[str, Any]) -> Text:
    """Where it stands in the log, and what it commits to."""
    told = theirs(f"{entry.get('id', '')}, {entry.get('sequence', '?')} of ")
    told += ours(short(str(entry.get("instance", ""))))
    if entry.get("contents_digest"):
        erased = "" if entry.get("contents") else " (erased)"
        told += theirs(f", contents {entry['contents_digest']}{erased}")
    return told


def _member(name: str, value: Any, shown: Around) -> list[Text]:
    if name == _RUN and isinstance(value, dict):
        return _labelled(name, run_picture(value), shown)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        lines: list[Text] = []
        for number, item in enumerate(value):
            told = request_picture(item) if name == _REQUESTS else _pairs(item)
            lines += _labelled("" if number else name, told, shown)
        return lines
    if isinstance(value, dict) and name == _QUESTION:
        lines = []
        for inner, one in value.items():
            if one not in ("", [], {}, None):
                lines += _member(f"input.{inner}", one, shown)
        return lines
    text = theirs(value) if isinstance(value, str) else ours(visible_value(value))
    return _labelled(name, text, shown)


def _labelled(name: str, value: Text, shown: Around) -> list[Text]:
    label = f"{' ' * _INDENT}{theirs(name).plain}"
    return labelled(label, value, indent=max(_VALUE_INDENT, len(label) + 1), width=shown.width)


def _pairs(item: Mapping[str, Any]) -> Text:
    """`ALLOW policy refunds REFUND_COVERED …`: an entry's verdicts, member by member."""
    texts = {name: value for name, value in item.items() if isinstance(value, str) and value}
    parts = [state(texts.pop("effect"))] if "effect" in texts else []
    parts += [theirs(value) for value in texts.values()]
    if item.get("enforced") is False:
        parts.append(ours("(observed only)"))
    return ours("  ").join(parts)


def _main_points(body: Mapping[str, Any], contents: Mapping[str, Any]) -> Text:
    told = Text()
    for name in ("effect", "state"):
        if isinstance(body.get(name), str) and body[name]:
            told += ours("  ") + state(body[name])
    codes = body.get("codes") or [
        verdict.get("code")
        for verdict in body.get("verdicts") or ()
        if isinstance(verdict, dict)
        and verdict.get("effect") == body.get("effect")
        and verdict.get("enforced") is not False
    ]
    observed = [
        str(verdict.get("code"))
        for verdict in body.get("verdicts") or ()
        if isinstance(verdict, dict) and verdict.get("enforced") is False
    ]
    if isinstance(codes, list) and codes:
        told += ours("  ") + theirs(" ".join(str(code) for code in codes))
    if observed:
        told += ours("  observed only: ", "yellow") + theirs(" ".join(observed))
    for name in ("outcome", "code", "why", "attempt", "hold"):
        value = body.get(name)
        if value:
            said = ours(short(value)) if isinstance(value, str) else theirs(f"{name} {value}")
            told += ours("  ") + said
    if isinstance(body.get(_RUN), dict):
        told += ours("  ") + run_line(body[_RUN])
    for name in ("message", "reason", "evidence"):
        value = contents.get(name)
        if isinstance(value, str) and value:
            told += ours("  ") + ours(visible_value(value))
    return told


def _clock(entry: Mapping[str, Any], shown: Around) -> str:
    at_us = entry.get("at_us")
    at = at_us / 1e6 if isinstance(at_us, int | float) else 0.0
    return f"{datetime.fromtimestamp(at, shown.zone):%H:%M:%S}"


def _parsed(entry: bytes) -> dict[str, Any]:
    try:
        read = json.loads(entry)
    except ValueError:
        return {"kind": "(unreadable)"}
    return read if isinstance(read, dict) else {"kind": "(unreadable)"}
