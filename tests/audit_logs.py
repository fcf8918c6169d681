"""A log made by the pure core alone: chains, heads and export lines, for tests to tamper with."""

import hashlib
import random
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.core.audit import (
    ChainHead,
    Contents,
    EntryDraft,
    EntryKind,
    LinkedEntry,
    link,
)
from broker.core.audit_lines import (
    EntryLine,
    HeaderLine,
    Line,
    checkpoint_line,
    entry_line,
    header_line,
    read_line,
)
from broker.core.audit_verification import Report, verify
from broker.core.canonical import canonical_bytes
from broker.core.merkle import Frontier, leaf_hash
from broker.core.notes import Checkpoint, origin_of, sign, verifier_key
from broker.store import signature_holds

SIGNING = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"signing").digest())
PUBLIC = SIGNING.public_key().public_bytes_raw()
MAC = hashlib.sha256(b"mac").digest()
OTHER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"other").digest())


@dataclass
class MadeLog:
    """A log of entries by one or more instances, with a head after every so many."""

    every: int = 5
    instances: tuple[str, ...] = ("brokers/1",)
    heads: dict[str, ChainHead] = field(default_factory=dict)
    entries: list[LinkedEntry] = field(default_factory=list)
    tree: Frontier = field(default_factory=Frontier)
    notes: dict[int, str] = field(default_factory=dict)

    def add(self, count: int) -> "MadeLog":
        for _ in range(count):
            number = len(self.entries)
            instance = self.instances[number // 2 % len(self.instances)]
            made = link(
                draft(number),
                self.heads.get(instance, ChainHead()),
                instance=instance,
                entry_id=f"id-{number}",
                salt=hashlib.sha256(b"salt%d" % number).digest(),
                key=MAC,
            )
            self.heads[instance] = made.head
            self.entries.append(made)
            self.tree.add(leaf_hash(made.entry))
            if self.tree.size % self.every == 0:
                self.sign()
        return self

    def sign(self, key: Ed25519PrivateKey = SIGNING) -> "MadeLog":
        public = key.public_key().public_bytes_raw()
        head = Checkpoint(origin=origin_of(public), size=self.tree.size, root=self.tree.root())
        self.notes[head.size] = sign(head, public, key.sign)
        return self

    def lines(self, *, start: int = 0) -> list[bytes]:
        before = Frontier()
        for made in self.entries[:start]:
            before.add(leaf_hash(made.entry))
        told = [header_line(HeaderLine(key=verifier_key(PUBLIC), before=before, contents=True))]
        for leaf, made in enumerate(self.entries[start:], start=start):
            told.append(entry_line(leaf, made.entry, made.contents))
            if leaf + 1 in self.notes:
                told.append(checkpoint_line(self.notes[leaf + 1]))
        return told


def draft(number: int) -> EntryDraft:
    return EntryDraft(
        kind=EntryKind.CALL_DECIDED,
        at=1_800_000_000 + number / 8,
        actor="agents/a",
        invocation=f"invocations/{number}",
        body={"number": number, "codes": ["A"]},
        contents={"arguments": {"n": number}} if number % 3 else None,
    )


def made_log(count: int, **options: Any) -> MadeLog:
    """A log that is signed to its end."""
    return MadeLog(**options).add(count).sign()


def check(lines: list[bytes], *checkpoints: str) -> Report:
    return verify(lines, PUBLIC, signature_holds=signature_holds, checkpoints=checkpoints)


def entry_lines(lines: list[bytes]) -> list[int]:
    """Where in an export the entries are."""
    return [at for at, line in enumerate(lines) if isinstance(read_line(line), EntryLine)]


def with_entry(line: bytes, *, leaf: int | None = None, **changes: Any) -> bytes:
    """The same line with some members of its entry changed."""
    read = entry_of(line)
    said = {**read.said, **changes}
    return _line(read.leaf if leaf is None else leaf, said, read.contents)


def entry_of(line: bytes) -> EntryLine:
    read: Line = read_line(line)
    assert isinstance(read, EntryLine)
    return read


def renumbered(lines: list[bytes]) -> list[bytes]:
    """The lines with the leaves counted anew."""
    told, leaf = [], 0
    for line in lines:
        read = read_line(line)
        if isinstance(read, EntryLine):
            told.append(entry_line(leaf, read.entry, read.contents))
            leaf += 1
        else:
            told.append(line)
    return told


def relinked(lines: list[bytes], start: int) -> list[bytes]:
    """The lines with all links from the entry at this line on made anew to fit."""
    told: list[bytes] = []
    previous: dict[str, str] = {}
    for at, line in enumerate(lines):
        read = read_line(line)
        if not isinstance(read, EntryLine):
            told.append(line)
            continue
        said = dict(read.said)
        instance = str(said["instance"])
        if at >= start and instance in previous:
            said["previous"] = previous[instance]
        written = _line(read.leaf, said, read.contents)
        previous[instance] = hashlib.sha256(entry_of(written).entry).hexdigest()
        told.append(written)
    return told


def places(lines: list[bytes], count: int, seed: int = 1) -> list[int]:
    """Random entries of an export, each between two others of its chain."""
    chains: dict[object, list[int]] = {}
    for at in entry_lines(lines):
        chains.setdefault(entry_of(lines[at]).said["instance"], []).append(at)
    inner = [at for chain in chains.values() for at in chain[1:-1]]
    return random.Random(seed).sample(inner, count)


def _line(leaf: int, said: dict[str, Any], contents: Contents | None) -> bytes:
    return entry_line(leaf, canonical_bytes(said), contents)
