"""The conditional statements that `store.apply` makes a unit's changes with.

Each condition stands in the WHERE of the statement that acts on it. Names bound there differ from
the columns that the same statement sets.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.store import tables as t
from broker.store.sql import Statement, insert, insert_once, upsert

# What never changes of a call once it is recorded: who asked, for whom, and what.
_FROZEN: Final = frozenset(
    {
        "name",
        "session",
        "principal",
        "agent",
        "request_id",
        "tool",
        "digest",
        "canonical",
        "asked",
        "created_at",
        "erased",
    },
)


def _all_but(table: sa.Table, names: frozenset[str]) -> dict[str, sa.BindParameter[Any]]:
    return {c.name: bound(c.name) for c in table.columns if c.name not in names}


REVISION: Final = Statement(sa.select(t.control_revision.c.revision))
RAISE_REVISION: Final = Statement(
    sa.update(t.control_revision)
    .where(t.control_revision.c.revision == bound("seen"))
    .values(revision=t.control_revision.c.revision + 1),
)
TOUCH_SESSION: Final = Statement(
    sa.update(t.sessions)
    .where(
        t.sessions.c.name == bound("session"),
        t.sessions.c.state == "OPEN",
        t.sessions.c.expires_at > bound("now"),
        t.sessions.c.idle_expires_at > bound("now"),
    )
    .values(idle_expires_at=bound("idle_expires_at")),
)
# Locked until the commit, where there are several writers: nobody ends it in between.
SESSION_OPEN: Final = Statement(
    sa.select(t.sessions.c.name)
    .where(
        t.sessions.c.name == bound("session"),
        t.sessions.c.state == "OPEN",
        t.sessions.c.expires_at > bound("now"),
    )
    .with_for_update(read=True),
)
# What is counted of a session is counted by one writer at a time, or while nobody adds to it.
SESSION_FOR_ADDING: Final = Statement(
    sa.select(t.sessions.c.name)
    .where(t.sessions.c.name == bound("session"))
    .with_for_update(key_share=True),
)
SESSION_FOR_READING: Final = Statement(
    sa.select(t.sessions.c.name)
    .where(t.sessions.c.name == bound("session"))
    .with_for_update(read=True),
)
END_SESSION: Final = Statement(
    sa.update(t.sessions)
    .where(t.sessions.c.name == bound("session"), t.sessions.c.state == "OPEN")
    .values(state=bound("state")),
)
ADD_SESSION: Final = insert(t.sessions)
ADD_INVOCATION: Final = insert(t.invocations)
INVOCATION_AT: Final = Statement(
    sa.select(t.invocations.c.state, t.invocations.c.etag, t.invocations.c.owner).where(
        t.invocations.c.name == bound("name"),
    ),
)
MOVE_INVOCATION: Final = Statement(
    sa.update(t.invocations)
    .where(
        t.invocations.c.name == bound("at_name"),
        t.invocations.c.etag == bound("at_etag"),
        t.invocations.c.state == bound("at_state"),
        t.invocations.c.owner == bound("at_owner"),
    )
    .values(_all_but(t.invocations, _FROZEN)),
)
# What was asked first stays, however often a reviewer makes less of what waits.
NARROW_INVOCATION: Final = Statement(
    sa.update(t.invocations)
    .where(
        t.invocations.c.name == bound("at_name"),
        t.invocations.c.etag == bound("at_etag"),
        t.invocations.c.state == "HELD",
        t.invocations.c.tool == bound("at_tool"),
        sa.func.coalesce(t.invocations.c.asked, t.invocations.c.canonical) == bound("at_asked"),
    )
    .values(_all_but(t.invocations, _FROZEN - {"digest", "canonical", "asked"})),
)
ADD_HOLD: Final = insert(t.holds)
HOLD_AT: Final = Statement(
    sa.select(t.holds.c.state, t.holds.c.etag).where(t.holds.c.name == bound("name")),
)
MOVE_HOLD: Final = Statement(
    sa.update(t.holds)
    .where(
        t.holds.c.name == bound("at_name"),
        t.holds.c.etag == bound("at_etag"),
        t.holds.c.state == bound("at_state"),
    )
    .values(_all_but(t.holds, frozenset({"name", "invocation", "session", "created_at"}))),
)
ADD_REVIEW: Final = insert(t.reviews, without="id")
UNCOUNT_REVIEWS: Final = Statement(
    sa.update(t.reviews)
    .where(t.reviews.c.hold == bound("of_hold"), sa.text(t.COUNTED))
    .values(counted=0),
)
UNCOUNT_REVIEW: Final = Statement(
    sa.update(t.reviews)
    .where(
        t.reviews.c.hold == bound("of_hold"),
        t.reviews.c.issuer == bound("by_issuer"),
        t.reviews.c.subject == bound("by_subject"),
        sa.text(t.COUNTED),
    )
    .values(counted=0),
)
ADD_SIGN_IN: Final = insert(t.sign_ins)
TOUCH_SIGN_IN: Final = Statement(
    sa.update(t.sign_ins)
    .where(t.sign_ins.c.digest == bound("at"))
    .values(idle_expires_at=bound("idle_expires_at")),
)
END_SIGN_IN: Final = Statement(sa.delete(t.sign_ins).where(t.sign_ins.c.digest == bound("at")))
END_STEP_UPS: Final = Statement(sa.delete(t.step_ups).where(t.step_ups.c.sign_in == bound("at")))
DROP_SIGN_INS: Final = Statement(
    sa.delete(t.sign_ins).where(
        sa.or_(
            t.sign_ins.c.expires_at <= bound("now"), t.sign_ins.c.idle_expires_at <= bound("now")
        )
    ),
)
DROP_STEP_UPS: Final = Statement(
    sa.delete(t.step_ups).where(t.step_ups.c.expires_at <= bound("now"))
)
ADD_STEP_UP: Final = insert(t.step_ups)
DROP_STEP_UP: Final = Statement(
    sa.delete(t.step_ups).where(
        t.step_ups.c.sign_in == bound("of_sign_in"), t.step_ups.c.hold == bound("of_hold")
    ),
)
SPEND_STEP_UP: Final = Statement(
    sa.delete(t.step_ups).where(
        t.step_ups.c.sign_in == bound("of_sign_in"),
        t.step_ups.c.hold == bound("of_hold"),
        t.step_ups.c.etag == bound("of_etag"),
        t.step_ups.c.call_digest == bound("of_digest"),
        t.step_ups.c.expires_at > bound("now"),
    ),
)
KEY_AT: Final = Statement(sa.select(t.keys.c.version).where(t.keys.c.key == bound("key")))
ADD_KEY: Final = insert(t.keys)
TAKE_KEY: Final = Statement(
    sa.update(t.keys)
    .where(
        t.keys.c.key == bound("at_key"),
        t.keys.c.version == bound("at_version"),
        t.keys.c.invocation == "",
    )
    .values(invocation=bound("by")),
)
FREE_KEYS: Final = Statement(
    sa.update(t.keys)
    .where(t.keys.c.invocation == bound("by"), sa.text(t.OF_INVOCATION))
    .values(invocation="", version=t.keys.c.version + 1),
)
ADD_COUNTER: Final = insert(t.counters)
RAISE_COUNTER: Final = Statement(
    sa.update(t.counters)
    .where(t.counters.c.key == bound("at_key"), t.counters.c.version == bound("at_version"))
    .values(version=t.counters.c.version + 1),
)
RAISE_COUNTERS: Final = Statement(
    sa.update(t.counters)
    .where(
        t.counters.c.key.in_(
            sa.select(t.reservations.c.key).where(t.reservations.c.invocation == bound("by")),
        ),
    )
    .values(version=t.counters.c.version + 1),
)
ADD_RESERVATION: Final = insert(t.reservations, without="id")
DROP_RESERVATIONS: Final = Statement(
    sa.delete(t.reservations).where(t.reservations.c.invocation == bound("by")),
)
# One statement each, so that two that are first at once are no conflict.
COUNT_HISTORY: Final = upsert(t.history, count="history.count + 1", last_at="excluded.last_at")
COUNT_REACHED: Final = upsert(t.reached, count="reached.count + 1", last_at="excluded.last_at")
ADD_MANDATE: Final = insert(t.mandates)
ADD_WORDS: Final = insert(t.mandate_words)
REDEEM_MANDATE: Final = Statement(
    sa.update(t.mandates)
    .where(
        t.mandates.c.name == bound("mandate"),
        t.mandates.c.state == "ISSUED",
        t.mandates.c.redeem_by > bound("now"),
    )
    .values(state="REDEEMED"),
)
REVOKE_MANDATE: Final = Statement(
    sa.update(t.mandates)
    .where(t.mandates.c.name == bound("mandate"), t.mandates.c.state == "ISSUED")
    .values(state="REVOKED"),
)
MANDATE_FOR_ADDING: Final = Statement(
    sa.select(t.mandates.c.name)
    .where(t.mandates.c.name == bound("mandate"), t.mandates.c.state != "REVOKED")
    .with_for_update(key_share=True),
)
WORDS_AT: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(t.mandate_words)
    .where(t.mandate_words.c.mandate == bound("mandate")),
)
DROP_CONTROL: Final = Statement(
    sa.delete(t.control_rows).where(
        t.control_rows.c.kind == bound("of_kind"),
        t.control_rows.c.key == bound("of_key"),
    ),
)
ADD_CONTROL: Final = insert(t.control_rows)
ADD_DOCUMENT: Final = insert_once(t.documents)
ARTEFACTS_HAD: Final = Statement(
    sa.select(
        sa.func.count().label("count"),
        sa.func.coalesce(sa.func.sum(t.artefacts.c.size), 0).label("bytes"),
    ).where(t.artefacts.c.session == bound("session")),
)
ADD_ARTEFACT: Final = insert(t.artefacts)
ADD_CONTENT: Final = insert(t.artefact_contents)
SIGHTINGS_HAD: Final = Statement(
    sa.select(
        sa.func.coalesce(sa.func.max(t.sightings.c.position), 0).label("position"),
        sa.func.coalesce(sa.func.sum(t.sightings.c.size), 0).label("bytes"),
    ).where(t.sightings.c.session == bound("session")),
)
ADD_SIGHTING: Final = insert(t.sightings)
PUT_SHADOW_TALLY: Final = Statement(
    sa.update(t.shadow_tallies)
    .where(
        t.shadow_tallies.c.shadow == bound("of_shadow"),
        t.shadow_tallies.c.broker == bound("of_broker"),
    )
    .values(body=bound("seen")),
)
ADD_SHADOW_TALLY: Final = insert(t.shadow_tallies)
DROP_SHADOW_TALLIES: Final = Statement(sa.delete(t.shadow_tallies))
