"""Contents are overwritten where they lie, a few calls at a time; all else of a row stays.

Every statement asks again what makes erasing right: the session is over, and its call has ended.
Whether a legal hold keeps it is a control row, which the unit requires not to have moved. An
erased call is not erased twice, so what was interrupted is simply begun again.

SQLite overwrites what it frees (`secure_delete`), and `scrub` empties its journal; a server needs a
VACUUM of its own. Backups keep what they had.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.canonical import call_digest
from broker.core.erased import Erased
from broker.core.reports import DropReports
from broker.core.retention import EraseCalls, EraseFiles, EraseSession, RequireUnerased
from broker.core.unit import Conflict, ConflictOn
from broker.store import tables as t
from broker.store.marks import mark as marked
from broker.store.parts import erased_part
from broker.store.reports import drop_reports
from broker.store.sql import Database, Row, Statement

_OPEN_STATES: Final = frozenset({"HELD", "RUNNING", "UNKNOWN"})
_EVER: Final = float(2**53)
_NO_TEXT: Final = '""'
BLANK_ORDER: Final = '{"erased":'
"""How the order of a mandate begins whose contents are erased, and no other one."""
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_decode: Final = json.JSONDecoder().decode


def erase_files(database: Database, change: EraseFiles) -> None:
    """Drop files of a session whose own time is over, and what is in them. None there: Conflict."""
    if not _drop_files(database, change.session, until=change.at):
        raise Conflict(ConflictOn.ARTEFACT)


def erase_calls(database: Database, change: EraseCalls) -> None:
    """Blank what was said in calls of a session that is over."""
    _require_over(database, change.session, change.at)
    mark = Erased(at=change.at, by=change.by)
    for name in change.invocations:
        row = database.row(_CALL, {"name": name, "session": change.session})
        if row is None or row["state"] in _OPEN_STATES:
            raise Conflict(ConflictOn.INVOCATION)
        if row["erased"] is not None:
            continue
        database.run(_BLANK_CALL, {"at_name": name, **_blank_call(row, mark)})
        for hold in database.rows(_HOLDS, {"of_invocation": name}):
            body = _encode(_blank_hold(_decode(hold["body"]), mark))
            database.run(_BLANK_HOLD, {"at_name": hold["name"], "blank": body})
        database.run(_BLANK_REVIEWS, {"of_invocation": name, "blank": _NO_TEXT})
        database.run(_DROP_CALL_CONTENTS, {"of_invocation": name})
        drop_reports(database, DropReports(invocations=(name,)))


def erase_session(database: Database, change: EraseSession) -> None:
    """Blank the words, files and memory of a session whose calls are erased."""
    mark = Erased(at=change.at, by=change.by)
    if change.session:
        row = _require_over(database, change.session, change.at)
        if database.row(_UNERASED_CALL, {"session": change.session}) is not None:
            raise Conflict(ConflictOn.INVOCATION)
        body = _encode(_blank_session(_decode(row["body"])))
        blank = {"blank": body, "mark": marked(mark)}
        database.run(_BLANK_SESSION, {"at_name": change.session, **blank})
        database.run(_BLANK_SIGHTINGS, {"of_session": change.session, "nothing": b""})
        _drop_files(database, change.session, until=_EVER)
    order = database.row(_MANDATE, {"name": change.mandate})
    if order is None or not (change.session or _is_dead(order, change.at)):
        raise Conflict(ConflictOn.MANDATE)
    told = _decode(order["session"])
    told["body"] = _blank_session(told["body"])
    blank_order = _encode({"erased": erased_part(mark), **told})
    database.run(_BLANK_MANDATE, {"at_name": change.mandate, "blank": blank_order})
    database.run(_BLANK_WORDS, {"of_mandate": change.mandate, "blank": _NO_TEXT})
    about = {"session": change.session or change.mandate, "mandate": change.mandate}
    database.run(_DROP_CONTENTS, about)


def require_unerased(database: Database, change: RequireUnerased) -> None:
    """Check that nothing of it is erased, and have nothing of it erased until the commit."""
    if change.invocation:
        row = database.row(_CALL_FOR_KEEPING, {"name": change.invocation})
        if row is None or row["erased"] is not None:
            raise Conflict(ConflictOn.INVOCATION)
    if change.mandate:
        row = database.row(_SESSION_FOR_KEEPING, {"mandate": change.mandate})
        if row is not None and row["erased"] is not None:
            raise Conflict(ConflictOn.MANDATE)


def scrub(database: Database) -> bool:
    """Have no old page left in the journal; False where a reader needs some of it just now."""
    if database.dialect.is_shared:
        return True
    database.say("PRAGMA busy_timeout = 250")
    is_busy, *_ = database.ask("PRAGMA wal_checkpoint(TRUNCATE)")
    return not is_busy


def _drop_files(database: Database, session: str, *, until: float) -> int:
    values = {"of_session": session, "until": until}
    database.run(_DROP_FILES, values)
    return database.run(_DROP_ARTEFACTS, values)


def _require_over(database: Database, session: str, at: float) -> Row:
    row = database.row(_SESSION, {"name": session})
    if row is None or (row["state"] == "OPEN" and row["expires_at"] > at):
        raise Conflict(ConflictOn.SESSION)
    return row


def _is_dead(order: Row, at: float) -> bool:
    """Whether nobody has redeemed a mandate, nor can."""
    late = order["state"] == "ISSUED" and float(order["redeem_by"]) <= at
    return bool(order["state"] == "REVOKED" or late)


def _blank_call(row: Row, mark: Erased) -> Row:
    asked = row["asked"]
    decision = None if row["decision"] is None else _decode(row["decision"])
    for verdict in decision["verdicts"] if decision else ():
        verdict["message"] = ""
    return {
        "no_arguments": b"{}",
        # What the request id means goes on to be known by its digest.
        "asked_digest": None if asked is None else _digest(row["tool"], asked).encode(),
        "blank_decision": None if decision is None else _encode(decision),
        "no_message": "",
        "mark": marked(mark),
    }


def _digest(tool: str, asked: bytes) -> str:
    return call_digest(tool, _decode(asked.decode()))


def _blank_hold(body: Row, mark: Erased) -> Row:
    """Codes, terms, digests and who: never a text, an amount, or what a tool showed."""
    for requirement in body["requirements"]:
        requirement["message"] = ""
    body["summary"] = ""
    for name in ("preview", "amount_minor", "currency"):
        body.pop(name, None)
    return {**_blank_session(body), "erased": erased_part(mark)}


def _blank_session(body: Row) -> Row:
    """Who, without what a host said of them or narrowed scopes to: such a scope allows nothing."""
    for name in ("principal", "agent"):
        body[name]["attributes"] = {}
    for scope in body.get("scopes", ()):
        scope["where"] = {at: [] for at in scope["where"]}
    return body


_I, _H, _S, _M = t.invocations.c, t.holds.c, t.sessions.c, t.mandates.c
_SESSION: Final = Statement(
    sa.select(_S.state, _S.expires_at, _S.body).where(_S.name == bound("name")),
)
_CALL: Final = Statement(
    sa.select(_I.state, _I.tool, _I.asked, _I.decision, _I.erased).where(
        _I.name == bound("name"), _I.session == bound("session")
    ),
)
_CALL_FOR_KEEPING: Final = Statement(
    sa.select(_I.erased).where(_I.name == bound("name")).with_for_update(read=True),
)
_SESSION_FOR_KEEPING: Final = Statement(
    sa.select(_S.erased).where(_S.mandate == bound("mandate")).with_for_update(read=True),
)
_UNERASED_CALL: Final = Statement(
    sa.select(_I.name).where(_I.session == bound("session"), _I.erased.is_(None)).limit(1),
)
_BLANK_CALL: Final = Statement(
    sa.update(t.invocations)
    .where(_I.name == bound("at_name"), _I.erased.is_(None))
    .values(
        canonical=bound("no_arguments"),
        asked=bound("asked_digest"),
        decision=bound("blank_decision"),
        message=bound("no_message"),
        result=None,
        artefacts=None,
        erased=bound("mark"),
    ),
)
_HOLDS: Final = Statement(
    sa.select(_H.name, _H.body).where(_H.invocation == bound("of_invocation")),
)
_BLANK_HOLD: Final = Statement(
    sa.update(t.holds).where(_H.name == bound("at_name")).values(body=bound("blank")),
)
_BLANK_REVIEWS: Final = Statement(
    sa.update(t.reviews)
    .where(
        t.reviews.c.hold.in_(sa.select(_H.name).where(_H.invocation == bound("of_invocation"))),
    )
    .values(reason=bound("blank")),
)
_DROP_CALL_CONTENTS: Final = Statement(
    sa.delete(t.audit_contents).where(
        t.audit_contents.c.entry.in_(
            sa.select(t.audit_entries.c.id).where(
                sa.text(t.OF_INVOCATION), t.audit_entries.c.invocation == bound("of_invocation")
            ),
        ),
    ),
)
_BLANK_SESSION: Final = Statement(
    sa.update(t.sessions)
    .where(_S.name == bound("at_name"), _S.erased.is_(None))
    .values(body=bound("blank"), erased=bound("mark")),
)
_BLANK_SIGHTINGS: Final = Statement(
    sa.update(t.sightings)
    .where(t.sightings.c.session == bound("of_session"))
    .values(content=bound("nothing"), size=0),
)
_FILES: Final = sa.and_(
    t.artefacts.c.session == bound("of_session"), t.artefacts.c.expires_at <= bound("until")
)
_DROP_FILES: Final = Statement(
    sa.delete(t.artefact_contents).where(
        t.artefact_contents.c.artefact.in_(sa.select(t.artefacts.c.name).where(_FILES)),
    ),
)
_DROP_ARTEFACTS: Final = Statement(sa.delete(t.artefacts).where(_FILES))
_MANDATE: Final = Statement(
    sa.select(_M.state, _M.redeem_by, _M.session).where(_M.name == bound("name")),
)
_BLANK_MANDATE: Final = Statement(
    sa.update(t.mandates).where(_M.name == bound("at_name")).values(session=bound("blank")),
)
_BLANK_WORDS: Final = Statement(
    sa.update(t.mandate_words)
    .where(t.mandate_words.c.mandate == bound("of_mandate"))
    .values(words=bound("blank")),
)
_DROP_CONTENTS: Final = Statement(
    sa.delete(t.audit_contents).where(
        sa.text(t.OF_SESSION), t.audit_contents.c.about.in_([bound("session"), bound("mandate")])
    ),
)
ERASING: Final[Mapping[type, Callable[[Database, Any], None]]] = {
    EraseFiles: erase_files,
    EraseCalls: erase_calls,
    EraseSession: erase_session,
    RequireUnerased: require_unerased,
}
