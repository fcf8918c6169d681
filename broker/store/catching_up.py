"""A broker beside others signs only what it has checked: their chains, their heads, their order.

One that signs has the log's lock, so whatever it reads is all that was committed; it reads on from
where it stood, with the key, and goes on from there. What somebody without the key has put into the
database is never signed.
"""

from dataclasses import dataclass

from broker.core.audit import ChainHead
from broker.core.merkle import Frontier
from broker.core.notes import Checkpoint, MalformedNote, origin_of
from broker.store import queries as q
from broker.store.checking import SIGNED, UNSIGNED, Checking, LogRefused, Unsigned, pages
from broker.store.keys import AuditKeys
from broker.store.sql import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a shared log stands.

    Attributes:
        tree: of what is signed.
        heads: where each instance's chain stands in it.
        ends: where each stands with what is not signed yet.
        unsigned: that.
        note: the newest head, where it is newer than what was known; else empty.
    """

    tree: Frontier
    heads: dict[str, ChainHead]
    ends: dict[str, ChainHead]
    unsigned: Unsigned
    epoch: int
    note: str


def count_unsigned(database: Database) -> int:
    """How many committed entries no head covers."""
    row = database.row(q.UNSIGNED_COUNT, {})
    return 0 if row is None else int(row["count"])


def read_on(
    database: Database,
    keys: AuditKeys,
    *,
    tree: Frontier,
    heads: dict[str, ChainHead],
    epoch: int,
) -> Standing:
    """Read on from where a log stood.

    Args:
        database: in a transaction that has the log's lock.
        keys: all brokers' of one database.
        tree: of the leaves that are known; it is not changed.
        heads: where the chains stand in it; not changed either.
        epoch: of the newest restore known.

    Raises:
        LogRefused: it is not what brokers with this key have linked and signed.
    """
    newest = database.row(q.NEWEST_HEAD, {})
    note = newest["note"] if newest is not None and newest["size"] > tree.size else ""
    head = (
        _head(note, keys)
        if note
        else Checkpoint(
            origin=origin_of(keys.public_key), size=tree.size, root=tree.root(), epoch=epoch
        )
    )
    checking = Checking(
        keys=keys,
        outside=head,
        tree=tree.copy(),
        heads=dict(heads),
        epoch=epoch,
        rotations=len(keys.former),
    )
    for row in pages(database, SIGNED, leaf=tree.size - 1):
        checking.signed(row)
    if checking.tree.size != head.size:
        raise LogRefused("The signed audit entries and their newest head are not of one log.")
    signed = dict(checking.heads)
    unsigned = Unsigned()
    for row in pages(database, UNSIGNED):
        checking.follow(row)
        unsigned.add(row["instance"], row["sequence"], row["entry"])
    return Standing(
        tree=checking.tree,
        heads=signed,
        ends=checking.heads,
        unsigned=unsigned,
        epoch=checking.epoch,
        note=note,
    )


def _head(note: str, keys: AuditKeys) -> Checkpoint:
    try:
        return keys.line.read(note)
    except MalformedNote as error:
        raise LogRefused("The newest head in the database is not signed with this key.") from error
