"""The log is read with the key, entry after entry: what is missing or foreign is told by its place.

A start reads all of it so, and a broker beside others what they have added since it last looked.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.audit import ChainHead, EntryKind, following
from broker.core.key_line import retold_in
from broker.core.merkle import Frontier, leaf_hash
from broker.core.notes import Checkpoint
from broker.store import tables as t
from broker.store.keys import AuditKeys
from broker.store.sql import Database, Row, Statement

CHUNK: Final = 2_000

# Only a first look, which spares reading what is surely something else.
_RESTORED: Final = b'"kind":"log.restored"'
_ROTATED: Final = b'"kind":"audit.keys_rotated"'

_KEYS_OF_BEFORE: Final = (
    "The audit keys were rotated, and these are those of before: stop this broker, and "
    "give its state directory the keys of the one where they were."
)


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
class Checking:
    """Reads the log with the key, from where `tree` and `heads` stand; else from its first entry.

    Attributes:
        outside: a signed head, which the tree must come to.
        heads: where the chain of each instance stands.
        epoch: of the newest restore that was read of.
        rotations: how many of those that the keys have been through were read of.
    """

    keys: AuditKeys
    outside: Checkpoint
    tree: Frontier = field(default_factory=Frontier)
    heads: dict[str, ChainHead] = field(default_factory=dict)
    epoch: int = 0
    rotations: int = 0

    def signed(self, row: Row) -> None:
        """The next leaf."""
        if row["leaf_index"] != self.tree.size:
            raise LogRefused(f"Audit entry {self.tree.size} is missing from the database.")
        self.follow(row)
        self.tree.add(leaf_hash(row["entry"]))
        if self.tree.size == self.outside.size and self.tree.root() != self.outside.root:
            raise LogRefused(
                "The audit log is not the one whose head was signed outside of it. Where a restore "
                "was interrupted, restore again; else it was changed or exchanged."
            )

    def follow(self, row: Row) -> None:
        """The next entry of an instance's chain."""
        head = self.heads.get(row["instance"], ChainHead())
        kind, body = _turn(row["entry"])
        if kind == EntryKind.LOG_RESTORED:
            self._follow_again(retold_in(body))
        key = self.keys.mac_key_after(self.rotations)
        after = following(head, row["entry"], key=key)
        # The hash of a chain's first entry is over no other: only the entry tells whose it is.
        is_strange = not head.sequence and _instance_of(row["entry"]) != row["instance"]
        if is_strange or row["sequence"] != after.sequence or row["mac"] != after.mac:
            raise LogRefused(
                f"Audit entry {row['id']} (number {row['sequence']} of {row['instance']}) "
                "was not written by a broker with this key, or one before it is missing.",
            )
        self.heads[row["instance"]] = after
        if kind == EntryKind.LOG_RESTORED:
            self.epoch = body["epoch"]
        if kind == EntryKind.AUDIT_KEYS_ROTATED:
            self._rotated(row["leaf_index"])

    def _follow_again(self, notes: list[str]) -> None:
        """From a restore on the keys are those of rotations that are not in what was put back."""
        for note in notes:
            former = self.keys.former[self.rotations :]
            if not former or note != former[0].note:
                raise LogRefused(_KEYS_OF_BEFORE)
            self.rotations += 1

    def _rotated(self, leaf: int | None) -> None:
        """Whoever has only the keys of before adds nothing."""
        if not self.keys.is_rotated_at(leaf, after=self.rotations):
            raise LogRefused(_KEYS_OF_BEFORE)
        self.rotations = min(self.rotations + 1, len(self.keys.former))


def _turn(entry: bytes) -> tuple[str, Row]:
    """What an entry says that goes on in another epoch or with other keys; of others nothing.

    It is not checked yet: what follows from it is worth nothing where the entry is not linked.
    """
    if _RESTORED not in entry and _ROTATED not in entry:
        return "", {}
    try:
        said = json.loads(entry)
        return str(said["kind"]), dict(said["body"])
    except (ValueError, KeyError, TypeError):
        return "", {}


def _instance_of(entry: bytes) -> str:
    try:
        return str(json.loads(entry)["instance"])
    except (ValueError, KeyError, TypeError):
        return ""


def pages(database: Database, statement: Statement, *, leaf: int = -1) -> Iterable[Row]:
    """All rows of a statement, of leaves after this one, without having all at once."""
    after: Row = {"leaf": leaf, "instance": "", "sequence": 0}
    while rows := database.rows(statement, {**after, "limit": CHUNK}):
        yield from rows
        last = rows[-1]
        after = {
            "leaf": last["leaf_index"],
            "instance": last["instance"],
            "sequence": last["sequence"],
        }


_E = t.audit_entries.c
SIGNED: Final = Statement(
    sa.select(t.audit_entries)
    .where(_E.leaf_index > bound("leaf"))
    .order_by(_E.leaf_index)
    .limit(bound("limit")),
)
UNSIGNED: Final = Statement(
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
