"""The log as it is handed out: exact bytes, in the order of the leaves, each head in its place."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.arguments import JsonValue
from broker.core.audit import Contents, EntryKind
from broker.core.audit_lines import (
    HeaderLine,
    checkpoint_line,
    entry_line,
    header_line,
)
from broker.core.merkle import Frontier, leaf_hash
from broker.core.notes import verifier_key
from broker.store import tables as t
from broker.store.sql import Database, Row, Statement

CHUNK: Final = 500

_ID_TIME_SHIFT: Final = 80


def entries(database: Database, invocation: str) -> Sequence[Mapping[str, JsonValue]]:
    """The audit entries of one invocation in order.

    Returns:
        Each as it was written, but with its contents under `contents` (None: none, or erased), and
        the digest that it commits to them with under `contents_digest`.
    """
    return [_story(row) for row in database.rows(_STORY, {"invocation": invocation})]


def contents(database: Database, invocation: str) -> Mapping[str, JsonValue]:
    """What the latest decision on one invocation was taken on; {} where it is erased."""
    decided: Mapping[str, Any] = {}
    for entry in entries(database, invocation):
        if entry["kind"] == EntryKind.CALL_DECIDED:
            decided = entry
    found = decided.get("contents")
    return found if isinstance(found, dict) else {}


def first_leaf_at(database: Database, since: float, size: int) -> int:
    """The first leaf that may be of this time or later, of those below `size`.

    Ids of one instance only rise, and a head covers the instances one after the other; so it is
    looked for among the heads, and what is a little early comes along.
    """
    earliest = f"{int(since * 1000):012x}" if since > 0 else ""
    low, high = 0, len(heads := database.rows(_HEADS, {"after": -1, "until": size}))
    while low < high:
        middle = (low + high) // 2
        last = database.row(_NEWEST_ID, {"below": heads[middle]["size"]})
        if last is not None and last["id"].replace("-", "")[:12] < earliest:
            low = middle + 1
        else:
            high = middle
    return heads[low - 1]["size"] if low else 0


def tree_before(database: Database, start: int) -> Frontier:
    """The tree of the leaves before this one."""
    tree = Frontier()
    while tree.size < start:
        values = {"from": tree.size, "below": min(start, tree.size + CHUNK)}
        for row in database.rows(_LEAVES, values):
            tree.add(leaf_hash(row["entry"]))
    return tree


def header(before: Frontier, public_key: bytes, *, include_contents: bool) -> bytes:
    """The first line."""
    key = verifier_key(public_key)
    return header_line(HeaderLine(key=key, before=before, contents=include_contents)) + b"\n"


def lines(database: Database, start: int, below: int, *, include_contents: bool) -> bytes:
    """The lines of these leaves, each head right after the last leaf that it covers."""
    heads = {
        row["size"]: row["note"] for row in database.rows(_HEADS, {"after": start, "until": below})
    }
    statement = _LEAVES_WITH_CONTENTS if include_contents else _LEAVES
    rows = database.rows(statement, {"from": start, "below": below})
    return b"".join(_lines(rows, heads))


def _lines(rows: Sequence[Row], heads: Mapping[int, str]) -> Iterator[bytes]:
    for row in rows:
        kept = row.get("salt") is not None
        found = Contents(salt=row["salt"], body=row["body"]) if kept else None
        yield entry_line(row["leaf_index"], row["entry"], found) + b"\n"
        if row["leaf_index"] + 1 in heads:
            yield checkpoint_line(heads[row["leaf_index"] + 1]) + b"\n"


def _story(row: Row) -> Mapping[str, JsonValue]:
    said: dict[str, JsonValue] = json.loads(row["entry"])
    said["contents_digest"] = said["contents"]
    said["contents"] = None if row["body"] is None else json.loads(row["body"])
    return said


_E = t.audit_entries.c
_C = t.audit_contents.c
_STORED = t.audit_entries.outerjoin(t.audit_contents, _C.entry == _E.id)
_STORY: Final = Statement(
    sa.select(_E.entry, _C.body)
    .select_from(_STORED)
    .where(_E.invocation == bound("invocation"), sa.text(t.OF_INVOCATION))
    .order_by(_E.id),
)
_LEAVES: Final = Statement(
    sa.select(_E.leaf_index, _E.entry)
    .where(_E.leaf_index >= bound("from"), _E.leaf_index < bound("below"))
    .order_by(_E.leaf_index),
)
_LEAVES_WITH_CONTENTS: Final = Statement(
    sa.select(_E.leaf_index, _E.entry, _C.salt, _C.body)
    .select_from(_STORED)
    .where(_E.leaf_index >= bound("from"), _E.leaf_index < bound("below"))
    .order_by(_E.leaf_index),
)
_HEADS: Final = Statement(
    sa.select(t.audit_checkpoints)
    .where(
        t.audit_checkpoints.c.size > bound("after"),
        t.audit_checkpoints.c.size <= bound("until"),
    )
    .order_by(t.audit_checkpoints.c.size),
)
_NEWEST_ID: Final = Statement(
    sa.select(sa.func.max(sa.literal_column("recent.id")).label("id")).select_from(
        sa.select(_E.id)
        .where(_E.leaf_index < bound("below"))
        .order_by(_E.leaf_index.desc())
        .limit(1)
        .subquery("recent"),
    ),
)
