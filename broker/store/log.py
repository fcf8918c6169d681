"""The audit log as the writer keeps it: linked and signed in the transaction that it tells of.

A `Log` is where the log stands after the last commit. What a transaction adds is worked out on the
side (`Addition`) and taken over only when the commit is known to have happened, so that a rolled
back unit, or a failed transaction, never moves a chain's head. Starting reads the whole log and
checks it: the keyed chain from its first entry on, and the newest head from outside.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.audit import (
    SALT_BYTES,
    ChainHead,
    EntryDraft,
    LinkedEntry,
    link,
)
from broker.core.merkle import Frontier
from broker.core.notes import Checkpoint, MalformedNote, origin_of, sign
from broker.store import tables as t
from broker.store.catching_up import count_unsigned, read_on
from broker.store.checking import SIGNED, UNSIGNED, Checking, LogRefused, Unsigned, pages
from broker.store.keys import AuditKeys
from broker.store.sql import Database, Row, Statement, insert

_GO_ON: Final = "To go on from a backup, `callbroker restore`."


@dataclass(slots=True)
class Log:
    """Where the log stands, and what continues it.

    Attributes:
        is_shared: others add to it too; see `store.catching_up`.
        unsigned: what no head covers yet; of a shared log only what the start found.
        waiting: how many entries no head covers, as far as is known.
        heads: where each instance's chain stands in `tree`; of a shared log alone.
        is_ahead: the last start found a head that had not reached the outside.
        epoch: of the newest restore that it has been through; 0 for none.
        untold: notes of rotations of the keys that it does not tell of: what is to be restored.
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
    is_shared: bool = False
    waiting: int = 0
    heads: dict[str, ChainHead] = field(default_factory=dict)
    untold: tuple[str, ...] = ()

    def anew(self) -> "Log":
        """The same log, of which nothing has been read."""
        return Log(self.instance, self.keys, self.new_id, self.new_salt, is_shared=self.is_shared)

    def addition(self) -> "Addition":
        """Begin to add to it."""
        return Addition(
            log=self,
            head=self.head,
            tree=self.tree,
            unsigned=self.unsigned.copy(),
            epoch=self.epoch,
            waiting=self.waiting,
            heads=self.heads,
        )

    def load(
        self, database: Database, *, newest: str | None, is_to_be_restored: bool = False
    ) -> None:
        """Read where the log stands, and check all of it.

        Args:
            database: in a transaction.
            newest: the newest head from outside, if there ever was one.
            is_to_be_restored: it may be of before a rotation of the keys.

        Raises:
            LogRefused: it is not what was linked and signed.
        """
        head = self._outside(newest)
        checking = Checking(keys=self.keys, outside=head)
        for row in pages(database, SIGNED):
            checking.signed(row)
        if checking.tree.size < head.size:
            raise LogRefused(
                f"The database has {checking.tree.size} signed audit entries, but a head outside "
                f"of it covers {head.size}: it is older than the log, or was cut short. " + _GO_ON,
            )
        if checking.tree.size and newest is None:
            raise LogRefused(
                "The audit log was signed, but no head is left outside of it: a broker that joins "
                "others starts with the audit keys and the heads of one of them.",
            )
        self.heads = dict(checking.heads) if self.is_shared else {}
        for row in pages(database, UNSIGNED):
            checking.follow(row)
            self.unsigned.add(row["instance"], row["sequence"], row["entry"])
        if checking.epoch != head.epoch:
            raise LogRefused(
                f"The database is of restore {checking.epoch} and the newest head outside of it of "
                f"restore {head.epoch}: it is older than the log, or restoring it did not end. "
                + _GO_ON,
            )
        self.untold = tuple(one.note for one in self.keys.former[checking.rotations :])
        if self.untold and not is_to_be_restored:
            raise LogRefused(
                "The audit log knows nothing of the last rotation of its keys: it is older than "
                "that, or was cut short. " + _GO_ON,
            )
        self.epoch = checking.epoch
        self.tree, self.waiting = checking.tree, len(self.unsigned.leaves)
        self.is_ahead = self.tree.size > head.size
        self.head = checking.heads.get(self.instance, ChainHead())

    def beginning(self) -> str:
        """The signed head of a log in which nothing is said yet."""
        public, tree = self.keys.public_key, Frontier()
        head = Checkpoint(origin=origin_of(public), size=tree.size, root=tree.root())
        return sign(head, public, self.keys.signing_key.sign)

    def _outside(self, newest: str | None) -> Checkpoint:
        public = self.keys.public_key
        if newest is None:
            return Checkpoint(origin=origin_of(public), size=0, root=Frontier().root())
        try:
            return self.keys.line.read(newest)
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
    waiting: int = 0
    heads: dict[str, ChainHead] = field(default_factory=dict)
    entries: list[LinkedEntry] = field(default_factory=list)
    note: str = ""

    def look(self, database: Database) -> None:
        """See how much waits for a head, where others add to the log too."""
        if self.log.is_shared:
            self.waiting = count_unsigned(database)

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
            self.waiting += 1
            if not self.log.is_shared:
                self.unsigned.add(self.log.instance, entry.head.sequence, entry.entry)

    def store(self, database: Database) -> None:
        """Write the entries."""
        if not self.entries:
            return
        database.run_many(_ADD_ENTRY, [self._row(entry) for entry in self.entries])
        kept = [
            {
                "entry": e.id,
                "salt": e.contents.salt,
                "body": e.contents.body,
                "about": e.about or None,
            }
            for e in self.entries
            if e.contents is not None
        ]
        if kept:
            database.run_many(_ADD_CONTENTS, kept)

    def sign(self, database: Database) -> None:
        """Give every entry that has none its place among the leaves, and sign the head.

        Raises:
            LogRefused: what others have added is not theirs, or something is missing.
        """
        ends = self.catch_up(database)
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
        self._require_next(head.size)
        self.note = self.log.keys.signed(head)
        self.tree, self.unsigned, self.waiting, self.heads = tree, Unsigned(), 0, ends
        if database.row(_HEAD_AT, {"size": head.size}) is None:
            database.run(_ADD_HEAD, {"size": head.size, "note": self.note})

    def _require_next(self, size: int) -> None:
        """While keys are rotated, only the entry that tells of it comes next."""
        successor = self.log.keys.successor
        if successor is not None and not successor.size <= size <= successor.size + 1:
            raise LogRefused("Somebody else writes to the log while its keys are rotated.")

    def catch_up(self, database: Database) -> dict[str, ChainHead]:
        """Have the log alone until the commit, and read what others have signed and added.

        Returns:
            Where each instance's chain stands with what no head covers yet.

        Raises:
            LogRefused: as `sign`.
        """
        if not self.log.is_shared:
            return {}
        database.say(database.dialect.lock_log)
        found = read_on(database, self.log.keys, tree=self.tree, heads=self.heads, epoch=self.epoch)
        if found.ends.get(self.log.instance, ChainHead()) != self.head:
            raise LogRefused("The end of this broker's own chain is not what it wrote.")
        self.tree, self.heads, self.epoch = found.tree, found.heads, found.epoch
        self.unsigned, self.waiting = found.unsigned, len(found.unsigned.leaves)
        self.note = found.note or self.note
        return found.ends

    def is_stored(self, database: Database) -> bool:
        """Whether the last of its entries is in the database."""
        last = self.entries[-1]
        at = {"of": self.log.instance, "at": last.head.sequence}
        row = database.row(_ENTRY_AT, at)
        return row is not None and row["mac"] == last.head.mac

    def accept(self) -> None:
        """It was committed: the log stands here now."""
        self.log.head, self.log.tree, self.log.unsigned = self.head, self.tree, self.unsigned
        self.log.waiting, self.log.heads = self.waiting, self.heads
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


_E = t.audit_entries.c
_ADD_ENTRY: Final = insert(t.audit_entries)
_ADD_CONTENTS: Final = insert(t.audit_contents)
_ADD_HEAD: Final = insert(t.audit_checkpoints)
_ENTRY_AT: Final = Statement(
    sa.select(_E.mac).where(_E.instance == bound("of"), _E.sequence == bound("at")),
)
_HEAD_AT: Final = Statement(
    sa.select(t.audit_checkpoints.c.size).where(t.audit_checkpoints.c.size == bound("size")),
)
_SET_LEAVES: Final = Statement(
    sa.update(t.audit_entries)
    .where(_E.instance == bound("of"), _E.sequence.between(bound("first"), bound("last")))
    .values(leaf_index=_E.sequence + bound("offset", type_=sa.BigInteger)),
)
