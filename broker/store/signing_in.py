"""Changes of who is signed in at the review page; an approval spends the step-up that it uses."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from broker.core.sign_ins import (
    AddSignIn,
    AddStepUp,
    DropSignIns,
    EndSignIn,
    SpendStepUp,
    TouchSignIn,
)
from broker.core.unit import Conflict, ConflictOn
from broker.store import statements as s
from broker.store.rows import sign_in_row, step_up_row
from broker.store.sql import Database, NotUnique


def _add_sign_in(database: Database, change: AddSignIn) -> None:
    try:
        database.run(s.ADD_SIGN_IN, sign_in_row(change.sign_in))
    except NotUnique as taken:
        raise Conflict(ConflictOn.SIGN_IN) from taken


def _touch_sign_in(database: Database, change: TouchSignIn) -> None:
    values = {"at": change.digest, "idle_expires_at": change.idle_expires_at}
    if database.run(s.TOUCH_SIGN_IN, values) != 1:
        raise Conflict(ConflictOn.SIGN_IN)


def _end_sign_in(database: Database, change: EndSignIn) -> None:
    database.run(s.END_STEP_UPS, {"at": change.digest})
    database.run(s.END_SIGN_IN, {"at": change.digest})


def _drop_sign_ins(database: Database, change: DropSignIns) -> None:
    database.run(s.DROP_STEP_UPS, {"now": change.expired_at})
    database.run(s.DROP_SIGN_INS, {"now": change.expired_at})


def _add_step_up(database: Database, change: AddStepUp) -> None:
    made = change.step_up
    database.run(s.DROP_STEP_UP, {"of_sign_in": made.sign_in, "of_hold": made.hold})
    try:
        database.run(s.ADD_STEP_UP, step_up_row(made))
    except NotUnique as taken:
        raise Conflict(ConflictOn.STEP_UP) from taken


def _spend_step_up(database: Database, change: SpendStepUp) -> None:
    spent = {
        "of_sign_in": change.sign_in,
        "of_hold": change.hold,
        "of_etag": change.etag,
        "of_digest": change.call_digest,
        "now": change.at,
    }
    if database.run(s.SPEND_STEP_UP, spent) != 1:
        raise Conflict(ConflictOn.STEP_UP)


SIGNING_IN: Final[Mapping[type, Callable[[Database, Any], None]]] = {
    AddSignIn: _add_sign_in,
    TouchSignIn: _touch_sign_in,
    EndSignIn: _end_sign_in,
    DropSignIns: _drop_sign_ins,
    AddStepUp: _add_step_up,
    SpendStepUp: _spend_step_up,
}
