"""A lease is moved by its owner alone, and only while it is not over."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.leases import KeepLease
from broker.core.lifecycle import InvocationState
from broker.core.unit import Conflict, ConflictOn
from broker.store import tables as t
from broker.store.sql import Database, Statement

KEEP_LEASE: Final = Statement(
    sa.update(t.invocations)
    .where(
        t.invocations.c.name == bound("at_name"),
        t.invocations.c.owner == bound("at_owner"),
        t.invocations.c.attempt == bound("at_attempt"),
        t.invocations.c.state == InvocationState.RUNNING.value,
        t.invocations.c.lease_expires_at > bound("now"),
    )
    .values(lease_expires_at=bound("until")),
)


def keep_lease(database: Database, change: KeepLease) -> None:
    """Move its end; the etag stays, so that nothing which the owner is about to write is stale."""
    kept = {
        "at_name": change.invocation,
        "at_owner": change.owner,
        "at_attempt": change.attempt,
        "now": change.at,
        "until": change.until,
    }
    if database.run(KEEP_LEASE, kept) != 1:
        raise Conflict(ConflictOn.INVOCATION)


LEASING: Final[Mapping[type, Callable[[Database, Any], None]]] = {KeepLease: keep_lease}
