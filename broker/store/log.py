"""The audit log as the writer keeps it: linked and signed in the transaction that it tells of.

A `Log` is where the log stands after the last commit. What a transaction adds is worked out on the
side (`Addition`) and taken over only when the commit is known to have happened, so that a rolled
back unit, or a failed transaction, never moves a chain's head. Starting reads the whole log and
checks it: the keyed chain from its first entry on, and the newest head from outside.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.audit import (
    SALT_BYTES,
    ChainHead,
    EntryDraft,
    EntryKind,
    LinkedEntry,
    following,
    link,
)
from broker.core.merkle import Frontier, leaf_hash
from broker.core.notes import Checkpoint, MalformedNote, origin_of, read, sign
from broker.store import tables as t
from broker.store.keys import AuditKeys, signature_holds
from broker.store.sql import Database, Row, Statement, insert

CHUNK: Final = 2_000

# Only a first look, which spares reading what is surely something else.
_RESTORED: Final = b'"kind":"log.restored"'
_GO_ON: Final = "To go on from a backup, `callbroker restore`."


class LogRefused(Exception):
    """The audit log is not what was signed; the broker does not start on it."""


@dataclass(frozen=True, slots=True)
class Span:
    """Entries of one instance, by their numbers in its chain, both included."""

    instance: str
    first: int
    last: int


@dataclass(slots=True)
class Unsigned:
    """Entries that no signed head covers yet, in the order in which they will be leaves."""

    spans: list[Span] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)

    def add(self, instance: str, sequence: int, entry: bytes) -> None:
        """Add the entry that comes next in the order."""
        self.leaves.append(leaf_hash(entry))
        if self.spans and self.spans[-1].instance == instance:
            self.spans[-1] = Span(instance, self.spans[-1].first, sequence)
        else:
            self.spans.append(Span(instance, sequence, sequence))

    def copy(self) -> "Unsigned":
        """Another one that starts as this one."""
        return Unsigned(spans=list(self.spans), leaves=list(self.leaves))


@dataclass(slots=True)
class Log:
    """Where the log stands, and what continues it.

    Attributes:
        unsigned: what no head covers yet.
        is_ahead: the last start found a head that had not reached the outside.
        epoch: of the newest restore that it has been through; 0 for none.
    """

    instance: str
    keys: AuditKeys
    new_id: Callable[[], str]
    new_salt: Callable[[int], bytes]
    head: ChainHead = field(default_factory=ChainHead)
    tree: Frontier = field(default_factory=Frontier)
    unsigned: Unsigned = field(default_factory=Unsigned)
    is_ahead: bool = False
    epoch: int = 0

    def addition(self) -> "Addition":
        """Begin to add to it."""
        return Addition(
            log=self,
            head=self.head,
            tree=self.tree,
            unsigned=self.unsigned.copy(),
            epoch=self.epoch,
        )

    def load(self, database: Database, *, newest: str | None) -> None:
        """Read where the log stands, and check all of it.

        Args:
            database: in a transaction.
            newest: the newest head from outside, if there ever was one.

        Raises:
            LogRefused: it is not what was linked and signed.
        """
        head = self._outside(newest)
        checking = _Checking(key=self.keys.mac_key, outside=head)
        for row in _pages(database, _SIGNED):
            checking.signed(row)
        if checking.tree.size < head.size:
            raise LogRefused(
                f"The database has {checking.tree.size} signed audit entries, but a head outside "
                f"of it covers {head.size}: it is older than the log, or was cut short. " + _GO_ON,
            )
        if checking.tree.size and newest is None:
            raise LogRefused("The audit log was signed, but no head is left outside of it.")
        for row in _pages(database, _UNSIGNED):
            checking.follow(row)
            self.unsigned.add(row["instance"], row["sequence"], row["entry"])
        if checking.epoch != head.epoch:
            raise LogRefused(
                f"The database is of restore {checking.epoch} and the newest head outside of it of "
                f"restore {head.epoch}: it is older than the log, or restoring it did not end. "
                + _GO_ON,
            )
        self.epoch = checking.epoch
        self.tree = checking.tree
        self.is_ahead = self.tree.size > head.size
        self.head = checking.heads.get(self.instance, ChainHead())

    def _outside(self, newest: str | None) -> Checkpoint:
        public = self.keys.public_key
        if newest is None:
            return Checkpoint(origin=origin_of(public), size=0, root=Frontier().root())
        try:
            return read(newest, public, signature_holds)
        except MalformedNote as error:
            raise LogRefused(
                "The newest head outside of the database is not signed with this key: "
                "the keys, or the heads, are not those of this log.",
            ) from error


@dataclass(slots=True)
class Addition:
    """What one transaction adds to a log."""

    log: Log
    head: ChainHead
    tree: Frontier
    unsigned: Unsigned
    epoch: int = 0
    entries: list[LinkedEntry] = field(default_factory=list)
    note: str = ""

    def link(self, drafts: Sequence[EntryDraft]) -> list[LinkedEntry]:
        """Work out a unit's entries; they count once they are given to `take`.

        Raises:
            ValueError: one says what has no canonical form.
        """
        head, linked = self.head, []
        for draft in drafts:
            entry = link(
                draft,
                head,
                instance=self.log.instance,
                entry_id=self.log.new_id(),
                salt=self.log.new_salt(SALT_BYTES) if draft.contents is not None else b"",
                key=self.log.keys.mac_key,
            )
            linked.append(entry)
            head = entry.head
        return linked

    def take(self, linked: Iterable[LinkedEntry]) -> None:
        """Have a unit's entries, whose changes have been made."""
        for entry in linked:
            self.entries.append(entry)
            self.head = entry.head
            self.unsigned.add(self.log.instance, entry.head.sequence, entry.entry)

    def store(self, database: Database) -> None:
        """Write the entries."""
        if not self.entries:
            return
        database.run_many(_ADD_ENTRY, [self._row(entry) for entry in self.entries])
        kept = [
            {"entry": e.id, "salt": e.contents.salt, "body": e.contents.body}
            for e in self.entries
            if e.contents is not None
        ]
        if kept:
            database.run_many(_ADD_CONTENTS, kept)

    def sign(self, database: Database) -> None:
        """Give every entry that has none its place among the leaves, and sign the head."""
        tree, public = self.tree.copy(), self.log.keys.public_key
        offset = tree.size
        for span in self.unsigned.spans:
            values = {
                "offset": offset - span.first,
                "of": span.instance,
                "first": span.first,
                "last": span.last,
            }
            database.run(_SET_LEAVES, values)
            offset += span.last - span.first + 1
        for leaf in self.unsigned.leaves:
            tree.add(leaf)
        head = Checkpoint(
            origin=origin_of(public), size=tree.size, root=tree.root(), epoch=self.epoch
        )
        self.note = sign(head, public, self.log.keys.signing_key.sign)
        self.tree, self.unsigned = tree, Unsigned()
        if database.row(_HEAD_AT, {"size": head.size}) is None:
            database.run(_ADD_HEAD, {"size": head.size, "note": self.note})

    def accept(self) -> None:
        """It was committed: the log stands here now."""
        self.log.head, self.log.tree, self.log.unsigned = self.head, self.tree, self.unsigned
        self.log.is_ahead = self.log.is_ahead and not self.note
        self.log.epoch = self.epoch

    def _row(self, entry: LinkedEntry) -> Row:
        return {
            "instance": self.log.instance,
            "sequence": entry.head.sequence,
            "id": entry.id,
            "invocation": entry.invocation,
            "entry": entry.entry,
            "mac": entry.head.mac,
            "leaf_index": None,
        }


@dataclass(slots=True)
class _Checking:
    """Reads the log from its first entry on, with the key."""

    key: bytes
    outside: Checkpoint
    tree: Frontier = field(default_factory=Frontier)
    heads: dict[str, ChainHead] = field(default_factory=dict)
    epoch: int = 0

    def signed(self, row: Row) -> None:
        """The next leaf."""
        if row["leaf_index"] != self.tree.size:
            raise LogRefused(f"Audit entry {self.tree.size} is missing from the database.")
        self.follow(row)
        self.tree.add(leaf_hash(row["entry"]))
        if self.tree.size == self.outside.size and self.tree.root() != self.outside.root:
            raise LogRefused("The audit log is not the one whose head was signed outside of it.")

    def follow(self, row: Row) -> None:
        """The next entry of an instance's chain."""
        head = self.heads.get(row["instance"], ChainHead())
        after = following(head, row["entry"], key=self.key)
        if row["sequence"] != after.sequence or row["mac"] != after.mac:
            raise LogRefused(
                f"Audit entry {row['id']} (number {row['sequence']} of {row['instance']}) "
                "was not written by a broker with this key, or one before it is missing.",
            )
        self.heads[row["instance"]] = after
        if _RESTORED in row["entry"]:
            said = json.loads(row["entry"])
            if said["kind"] == EntryKind.LOG_RESTORED:
                self.epoch = said["body"]["epoch"]


def _pages(database: Database, statement: Statement) -> Iterable[Row]:
    """All rows of a statement, without having all at once."""
    after: Row = {"leaf": -1, "instance": "", "sequence": 0}
    while rows := database.rows(statement, {**after, "limit": CHUNK}):
        yield from rows
        last = rows[-1]
        after = {
            "leaf": last["leaf_index"],
            "instance": last["instance"],
            "sequence": last["sequence"],
        }


_E = t.audit_entries.c
_ADD_ENTRY: Final = insert(t.audit_entries)
_ADD_CONTENTS: Final = insert(t.audit_contents)
_ADD_HEAD: Final = insert(t.audit_checkpoints)
_HEAD_AT: Final = Statement(
    sa.select(t.audit_checkpoints.c.size).where(t.audit_checkpoints.c.size == bound("size")),
)
_SET_LEAVES: Final = Statement(
    sa.update(t.audit_entries)
    .where(_E.instance == bound("of"), _E.sequence.between(bound("first"), bound("last")))
    .values(leaf_index=_E.sequence + bound("offset", type_=sa.BigInteger)),
)
_SIGNED: Final = Statement(
    sa.select(t.audit_entries)
    .where(_E.leaf_index > bound("leaf"))
    .order_by(_E.leaf_index)
    .limit(bound("limit")),
)
_UNSIGNED: Final = Statement(
    sa.select(t.audit_entries)
    .where(
        sa.text(t.UNSIGNED),
        sa.or_(
            _E.instance > bound("instance"),
            sa.and_(_E.instance == bound("instance"), _E.sequence > bound("sequence")),
        ),
    )
    .order_by(_E.instance, _E.sequence)
    .limit(bound("limit")),
)
