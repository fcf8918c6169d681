"""Each change of a unit is a conditional statement; one that touches no row is a Conflict by name.

Where several brokers write the same statements hold. What is read first and written later on the
strength of it is named again by the UPDATE, as the state that a life cycle's step leaves; or it is
a count, and then the row that it is of is locked before. Whoever calls undoes the unit when one of
its changes raises, and has the control rows stand still (`Dialect.begin_write`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from broker.core.errors import Defect
from broker.core.lifecycle import HOLD, INVOCATION, HoldState, InvocationState, step, step_hold
from broker.core.unit import (
    AddArtefact,
    AddDocument,
    AddHold,
    AddInvocation,
    AddMandate,
    AddReview,
    AddSighting,
    AppendWords,
    Change,
    Conflict,
    ConflictOn,
    CountHistory,
    CountReached,
    DropControl,
    DropShadowTallies,
    EndSession,
    FreeKeys,
    MoveHold,
    MoveInvocation,
    NarrowInvocation,
    NoteUses,
    PutControl,
    PutShadowTally,
    RedeemMandate,
    ReleaseReservations,
    RequireControl,
    RequireMemory,
    RequireSession,
    Reserve,
    RevokeMandate,
    TakeKey,
    TouchSession,
    UncountReviews,
)
from broker.store import statements as s
from broker.store.brokers import BROKERS
from broker.store.credential_uses import note_uses
from broker.store.erasing import ERASING
from broker.store.leasing import LEASING
from broker.store.notices import NOTICES
from broker.store.remembering import add_sighting, have_for_adding, require_memory
from broker.store.reports import REPORTS
from broker.store.rows import (
    artefact_row,
    content_row,
    hold_row,
    invocation_row,
    mandate_row,
    review_row,
    session_row,
    words_rows,
)
from broker.store.signing_in import SIGNING_IN
from broker.store.sql import Database, NotUnique, Statement, Values
from broker.store.standing import STANDING


def control_revision(database: Database) -> int:
    """The control revision inside of the present transaction."""
    row = database.row(s.REVISION, {})
    if row is None:
        raise Defect("The database has no control revision.")
    return int(row["revision"])


def apply(database: Database, changes: Sequence[Change], *, revision: int) -> int:
    """Make a unit's changes, in their order.

    Args:
        database: in a transaction.
        changes: of one unit.
        revision: the control revision in this transaction before them.

    Returns:
        The control revision after them: one more, if they changed control rows.

    Raises:
        Conflict: a condition no longer holds.
        IllegalTransition: a life cycle has no such step.
    """
    raised = False
    for change in changes:
        if isinstance(change, RequireControl):
            if change.revision != revision:
                raise Conflict(ConflictOn.CONTROL)
            continue
        _APPLY[type(change)](database, change)
        raised = raised or isinstance(change, PutControl | DropControl)
    if not raised:
        return revision
    _must_touch(database, s.RAISE_REVISION, {"seen": revision}, ConflictOn.CONTROL)
    return revision + 1


def _must_touch(database: Database, statement: Statement, values: Values, on: ConflictOn) -> None:
    if database.run(statement, values) != 1:
        raise Conflict(on)


def _must_be_new(database: Database, statement: Statement, values: Values, on: ConflictOn) -> None:
    try:
        database.run(statement, values)
    except NotUnique as taken:
        raise Conflict(on) from taken


def _touch_session(database: Database, change: TouchSession) -> None:
    values = {
        "session": change.name,
        "now": change.at,
        "idle_expires_at": change.idle_expires_at,
    }
    _must_touch(database, s.TOUCH_SESSION, values, ConflictOn.SESSION)


def _require_session(database: Database, change: RequireSession) -> None:
    row = database.row(s.SESSION_OPEN, {"session": change.name, "now": change.at})
    if row is None:
        raise Conflict(ConflictOn.SESSION)


def _end_session(database: Database, change: EndSession) -> None:
    values = {"session": change.name, "state": change.state}
    _must_touch(database, s.END_SESSION, values, ConflictOn.SESSION)


def _add_invocation(database: Database, change: AddInvocation) -> None:
    row = invocation_row(change.invocation)
    _must_be_new(database, s.ADD_INVOCATION, row, ConflictOn.REQUEST_ID)


def _move_invocation(database: Database, change: MoveInvocation) -> None:
    after = change.invocation
    row = database.row(s.INVOCATION_AT, {"name": after.name})
    stale = row is None or row["etag"] != change.from_etag or after.etag <= change.from_etag
    if row is None or stale or (change.owner and row["owner"] != change.owner):
        raise Conflict(ConflictOn.INVOCATION)
    before = InvocationState(row["state"])
    # A lease or a hold's name may move while the state stays; what has ended never moves.
    if before is not after.state or not INVOCATION[before]:
        step(before, after.state)
    moved = {
        **invocation_row(after),
        "at_name": after.name,
        "at_etag": change.from_etag,
        "at_state": before.value,
        "at_owner": row["owner"],
    }
    _must_touch(database, s.MOVE_INVOCATION, moved, ConflictOn.INVOCATION)


def _narrow_invocation(database: Database, change: NarrowInvocation) -> None:
    after = change.invocation
    if after.state is not InvocationState.HELD or after.asked is None:
        raise Defect("Only what is held is narrowed, and what was asked is kept.")
    narrowed = {
        **invocation_row(after),
        "at_name": after.name,
        "at_etag": change.from_etag,
        "at_tool": after.call.tool,
        "at_asked": after.asked.canonical,
    }
    _must_touch(database, s.NARROW_INVOCATION, narrowed, ConflictOn.INVOCATION)


def _add_hold(database: Database, change: AddHold) -> None:
    _must_be_new(database, s.ADD_HOLD, hold_row(change.hold), ConflictOn.HOLD)


def _move_hold(database: Database, change: MoveHold) -> None:
    after = change.hold
    row = database.row(s.HOLD_AT, {"name": after.name})
    if row is None or row["etag"] != change.from_etag or after.etag <= change.from_etag:
        raise Conflict(ConflictOn.HOLD)
    before = HoldState(row["state"])
    # A review that is not the last one raises the etag and leaves the state.
    if before is not after.state or not HOLD[before]:
        step_hold(before, after.state)
    moved = {
        **hold_row(after),
        "at_name": after.name,
        "at_etag": change.from_etag,
        "at_state": before.value,
    }
    _must_touch(database, s.MOVE_HOLD, moved, ConflictOn.HOLD)


def _add_review(database: Database, change: AddReview) -> None:
    _must_be_new(database, s.ADD_REVIEW, review_row(change.review), ConflictOn.REVIEW)


def _uncount_reviews(database: Database, change: UncountReviews) -> None:
    if change.person is None:
        database.run(s.UNCOUNT_REVIEWS, {"of_hold": change.hold})
        return
    by = {"by_issuer": change.person.issuer, "by_subject": change.person.subject}
    counted = {"of_hold": change.hold, **by}
    _must_touch(database, s.UNCOUNT_REVIEW, counted, ConflictOn.REVIEW)


def _take_key(database: Database, change: TakeKey) -> None:
    values = {"key": change.key, "version": change.version, "invocation": change.invocation}
    if change.version == 0 and database.row(s.KEY_AT, {"key": change.key}) is None:
        _must_be_new(database, s.ADD_KEY, values, ConflictOn.KEY)
        return
    taken = {"at_key": change.key, "at_version": change.version, "by": change.invocation}
    _must_touch(database, s.TAKE_KEY, taken, ConflictOn.KEY)


def _free_keys(database: Database, change: FreeKeys) -> None:
    database.run(s.FREE_KEYS, {"by": change.invocation})


def _reserve(database: Database, change: Reserve) -> None:
    if change.version == 0:
        values = {"key": change.key, "version": 1}
        _must_be_new(database, s.ADD_COUNTER, values, ConflictOn.COUNTER)
    else:
        seen = {"at_key": change.key, "at_version": change.version}
        _must_touch(database, s.RAISE_COUNTER, seen, ConflictOn.COUNTER)
    reserved = {
        "key": change.key,
        "invocation": change.invocation,
        "amount": change.amount,
        "at": change.at,
    }
    database.run(s.ADD_RESERVATION, reserved)


def _release(database: Database, change: ReleaseReservations) -> None:
    values = {"by": change.invocation}
    if database.run(s.RAISE_COUNTERS, values):
        database.run(s.DROP_RESERVATIONS, values)


def _count_history(database: Database, change: CountHistory) -> None:
    row = {
        "session": change.session,
        "tool": change.tool,
        "effect": change.effect,
        "count": 1,
        "first_at": change.at,
        "last_at": change.at,
    }
    database.run(s.COUNT_HISTORY, row)


def _count_reached(database: Database, change: CountReached) -> None:
    row = {
        "principal": change.principal,
        "target": change.target,
        "tool": change.tool,
        "count": 1,
        "first_at": change.at,
        "last_at": change.at,
    }
    database.run(s.COUNT_REACHED, row)


def _add_mandate(database: Database, change: AddMandate) -> None:
    mandate = change.mandate
    _must_be_new(database, s.ADD_MANDATE, mandate_row(mandate), ConflictOn.MANDATE)
    database.run_many(s.ADD_WORDS, words_rows(mandate.name, mandate.session.words, first=0))


def _redeem_mandate(database: Database, change: RedeemMandate) -> None:
    values = {"mandate": change.name, "now": change.at}
    _must_touch(database, s.REDEEM_MANDATE, values, ConflictOn.MANDATE)
    row = {**session_row(change.session), "mandate": change.name}
    _must_be_new(database, s.ADD_SESSION, row, ConflictOn.SESSION)


def _revoke_mandate(database: Database, change: RevokeMandate) -> None:
    _must_touch(database, s.REVOKE_MANDATE, {"mandate": change.name}, ConflictOn.MANDATE)


def _append_words(database: Database, change: AppendWords) -> None:
    if database.row(s.MANDATE_FOR_ADDING, {"mandate": change.mandate}) is None:
        raise Conflict(ConflictOn.MANDATE)
    row = database.row(s.WORDS_AT, {"mandate": change.mandate})
    if row is None or change.after not in {None, row["count"]}:
        raise Conflict(ConflictOn.MANDATE)
    database.run_many(s.ADD_WORDS, words_rows(change.mandate, change.words, first=row["count"]))


def _put_control(database: Database, change: PutControl) -> None:
    row = {
        "kind": change.kind,
        "key": change.key,
        "digest": change.digest,
        "body": change.body,
    }
    database.run(s.DROP_CONTROL, {"of_kind": change.kind, "of_key": change.key})
    _must_be_new(database, s.ADD_CONTROL, row, ConflictOn.CONTROL)


def _drop_control(database: Database, change: DropControl) -> None:
    values = {"of_kind": change.kind, "of_key": change.key}
    _must_touch(database, s.DROP_CONTROL, values, ConflictOn.CONTROL)


def _add_document(database: Database, change: AddDocument) -> None:
    row = {"digest": change.digest, "kind": change.kind, "at": change.at, "body": change.body}
    database.run(s.ADD_DOCUMENT, row)


def _add_artefact(database: Database, change: AddArtefact) -> None:
    artefact = change.stored.artefact
    have_for_adding(database, artefact.session)
    row = database.row(s.ARTEFACTS_HAD, {"session": artefact.session})
    if row is None or row["count"] >= change.count_max:
        raise Conflict(ConflictOn.ARTEFACT)
    if row["bytes"] + artefact.size > change.bytes_max:
        raise Conflict(ConflictOn.ARTEFACT)
    _must_be_new(database, s.ADD_ARTEFACT, artefact_row(artefact), ConflictOn.ARTEFACT)
    database.run(s.ADD_CONTENT, content_row(change.stored))


def _put_shadow_tally(database: Database, change: PutShadowTally) -> None:
    at = {"of_shadow": change.shadow, "of_broker": change.broker}
    if database.run(s.PUT_SHADOW_TALLY, {**at, "seen": change.body}):
        return
    row = {"shadow": change.shadow, "broker": change.broker, "body": change.body}
    _must_be_new(database, s.ADD_SHADOW_TALLY, row, ConflictOn.CONTROL)


def _drop_shadow_tallies(database: Database, change: DropShadowTallies) -> None:
    del change
    database.run(s.DROP_SHADOW_TALLIES, {})


# A change of another class raises KeyError, and its unit is undone.
_APPLY: Final[Mapping[type, Callable[[Database, Any], None]]] = {
    TouchSession: _touch_session,
    RequireSession: _require_session,
    EndSession: _end_session,
    AddInvocation: _add_invocation,
    MoveInvocation: _move_invocation,
    NarrowInvocation: _narrow_invocation,
    AddHold: _add_hold,
    MoveHold: _move_hold,
    AddReview: _add_review,
    UncountReviews: _uncount_reviews,
    TakeKey: _take_key,
    FreeKeys: _free_keys,
    Reserve: _reserve,
    ReleaseReservations: _release,
    CountHistory: _count_history,
    CountReached: _count_reached,
    AddMandate: _add_mandate,
    RedeemMandate: _redeem_mandate,
    RevokeMandate: _revoke_mandate,
    AppendWords: _append_words,
    PutControl: _put_control,
    DropControl: _drop_control,
    AddDocument: _add_document,
    AddArtefact: _add_artefact,
    PutShadowTally: _put_shadow_tally,
    DropShadowTallies: _drop_shadow_tallies,
    AddSighting: add_sighting,
    RequireMemory: require_memory,
    **SIGNING_IN,
    **NOTICES,
    **ERASING,
    NoteUses: note_uses,
    **STANDING,
    **LEASING,
    **REPORTS,
    **BROKERS,
}
