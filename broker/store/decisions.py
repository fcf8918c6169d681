"""Decisions as the log has them, newest first: a page is bounded in rows and in bytes.

A page ends before a decision that would make it too large, but has one at least. What entries
commit to is read for decisions alone: results can be large, and nobody asked for them here.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.arguments import JsonValue
from broker.core.limits import PAGE_SIZE_MAX
from broker.core.recorded import RecordedDecision, is_decision, recorded_decision
from broker.ports import DecisionQuery
from broker.store import export
from broker.store import tables as t
from broker.store.names import name_at
from broker.store.sql import Database, Row, Statement

CHUNK: Final = 200

_NEWEST: Final = "~"  # sorts behind every name
_CURSOR_PARTS: Final = 2
# Only a first look, which spares reading what is surely no decision.
_MARK: Final = b'"kind":"call.decided"'


def list_decisions(database: Database, query: DecisionQuery) -> tuple[RecordedDecision, ...]:
    """A page of decisions, newest call first."""
    found: list[RecordedDecision] = []
    bytes_left = query.bytes_max
    for row, said in _decided(database, query):
        contents = database.row(_CONTENTS, {"entry": row["id"]})
        bytes_left -= len(row["entry"]) + (len(contents["body"]) if contents else 0)
        if found and bytes_left < 0:
            break
        body = None if contents is None else json.loads(contents["body"])
        found.append(recorded_decision(said, body))
        if len(found) >= min(query.page_size, PAGE_SIZE_MAX):
            break
    return tuple(found)


def decisions_of(database: Database, invocation: str) -> tuple[RecordedDecision, ...]:
    """All decisions on one call in order."""
    decided = [entry for entry in export.entries(database, invocation) if is_decision(entry)]
    return tuple(recorded_decision(entry, _contents_of(entry)) for entry in decided)


def _contents_of(entry: Mapping[str, JsonValue]) -> Mapping[str, JsonValue] | None:
    contents = entry["contents"]
    return contents if isinstance(contents, dict) else None


def _decided(
    database: Database, query: DecisionQuery
) -> Iterator[tuple[Row, Mapping[str, JsonValue]]]:
    """Entries of decisions, newest call first, chunk by chunk."""
    parts = query.before.split(" ")
    before, entry = parts if len(parts) == _CURSOR_PARTS else (_before(query.until), "")
    values: Row = {"since": name_at("invocations", query.since), "limit": CHUNK}
    if query.tool:
        values["tool"] = query.tool
    while rows := database.rows(
        _entries(is_filtered=bool(query.tool)), {**values, "before": before, "entry": entry}
    ):
        for row in rows:
            said = json.loads(row["entry"]) if _MARK in row["entry"] else {}
            if is_decision(said):
                yield row, said
        before, entry = rows[-1]["invocation"], rows[-1]["id"]


def _before(until: float) -> str:
    return name_at("invocations", until) if until > 0 else _NEWEST


_E = t.audit_entries.c
_CONTENTS: Final = Statement(
    sa.select(t.audit_contents.c.body).where(t.audit_contents.c.entry == bound("entry")),
)


@functools.cache
def _entries(*, is_filtered: bool) -> Statement:
    tables = t.audit_entries
    select = (
        sa.select(_E.invocation, _E.id, _E.entry)
        .where(
            sa.text("audit_entries." + t.OF_INVOCATION),
            sa.tuple_(_E.invocation, _E.id) < sa.tuple_(bound("before"), bound("entry")),
            _E.invocation >= bound("since"),
        )
        .order_by(_E.invocation.desc(), _E.id.desc())
        .limit(bound("limit"))
    )
    if is_filtered:
        calls = t.invocations
        select = select.select_from(
            tables.join(calls, calls.c.name == _E.invocation),
        ).where(calls.c.tool == bound("tool"))
    return Statement(select)
