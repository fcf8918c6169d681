"""Whoever has the public key can check an export of the log, and is told where it first goes wrong.

What holds an entry: the signed head after it (its bytes are a leaf of the tree), its successor in
its instance's chain (which names its hash), its number in the chain, and, for its contents, the
digest that it gives. A head that does not fit says only that something since the last good head is
not as it was; the chain then mostly says what: exactly, for any one change to an entry between two
others of its chain. Where the links were made anew to fit, or the end of a chain was changed, the
public key alone names the first entry after the last good head. What lies beyond the newest head is
held by nobody and counts as broken; an export is signed to its end.

Cutting off a whole tail together with its heads leaves a shorter log that is consistent: give the
newest head from outside of the database to notice that (RFC 9162 §2.1.4 is about the same).

A log that was restored from a backup contradicts heads that were signed before. That is accepted
only at an entry with a signed note of it (`core.epochs`), for the heads that the note gives up, and
it is always told.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind, contents_digest, entry_hash
from broker.core.audit_lines import (
    CheckpointLine,
    EntryLine,
    EpochLine,
    HeaderLine,
    Line,
    MalformedLine,
    RotationLine,
    read_line,
)
from broker.core.audit_report import Broken, Report
from broker.core.audit_said import Said, well_formed
from broker.core.epochs import Epoch, is_abandoned
from broker.core.key_line import (
    KeyLine,
    Rotation,
    is_given_up,
    line_of,
    read_rotation,
    retold_in,
    told_at,
)
from broker.core.merkle import Frontier, leaf_hash
from broker.core.notes import (
    Checkpoint,
    MalformedNote,
    SignatureHolds,
    origin_of,
    verifier_key,
)

__all__ = ["Broken", "Report", "verify"]


def verify(
    lines: Iterable[bytes],
    public_key: bytes,
    *,
    signature_holds: SignatureHolds,
    checkpoints: Iterable[str] = (),
    epochs: Iterable[str] = (),
    rotations: Iterable[str] = (),
) -> Report:
    """Check an export.

    Args:
        lines: of the export, first to last.
        public_key: 32 bytes of Ed25519; taken from a trusted place, not from the export.
        signature_holds: checks one signature.
        checkpoints: signed heads that were kept elsewhere, in any order.
        epochs: notes of restores that were kept with them, in any order.
        rotations: notes of rotations of the log's keys, in any order, from anywhere: those kept
            with the heads, and `key_line.rotations_in` of the export.

    Raises:
        MalformedNote: one of `checkpoints` or `epochs` is not signed by this key, or one that it
            leads to; or notes of rotations contradict each other.
    """
    keys = line_of(public_key, rotations, signature_holds)
    outside: dict[int, list[Checkpoint]] = {}
    for note in checkpoints:
        head = keys.read(note)
        outside.setdefault(head.size, []).append(head)
    known = [keys.read_epoch(note) for note in epochs]
    reading = _Reading(keys, outside, known)
    numbered = enumerate(lines, start=1)
    reading.begin(numbered)
    for number, line in numbered:
        reading.take(number, line)
    return reading.end()


@dataclass(slots=True)
class _Place:
    leaf: int
    id: str


@dataclass(slots=True)
class _Chain:
    """The last entry of an instance; a pair of which one is wrong, while it is open which."""

    sequence: int
    hash: str
    last: _Place
    doubt: tuple[_Place, _Place] | None = None


@dataclass(slots=True)
class _Reading:
    keys: KeyLine
    outside: Mapping[int, list[Checkpoint]]
    known: list[Epoch] = field(default_factory=list)
    line: list[Epoch] = field(default_factory=list)
    epoch: int = 0
    is_epoch_known: bool = True
    kept: Checkpoint | None = None
    header_key: str = ""
    rotated: set[Rotation] = field(default_factory=set)
    began: int | None = 0
    unfits: list[tuple[Checkpoint, tuple[int, int, str]]] = field(default_factory=list)
    tree: Frontier = field(default_factory=Frontier)
    start: int = 0
    good: int = 0
    after_good: str = ""
    unfit: tuple[int, int, str] | None = None
    asked_for_contents: bool = False
    erased: int = 0
    chains: dict[str, _Chain] = field(default_factory=dict)
    suspects: list[Broken] = field(default_factory=list)
    doubts: list[tuple[_Place, _Place]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def begin(self, lines: Iterator[tuple[int, bytes]]) -> None:
        """Read the header."""
        header = self._line(*next(lines, (1, b"")))
        if not isinstance(header, HeaderLine):
            self._suspect(0, "", "The export has no header.")
            return
        self.header_key = header.key
        self.tree, self.asked_for_contents = header.before, header.contents
        self.start = self.good = header.before.size
        if self.start:
            # What came before is not told here: the notes from outside say what it has been through
            self.line = sorted(self.known, key=lambda epoch: epoch.number)
            self.line = [e for e in self.line if e.kept.size < self.start]
            self.epoch = self.line[-1].number if self.line else 0
            self.is_epoch_known = bool(self.known)
            self.began = self.epoch if self.known else None
        self._compare_outside()

    def take(self, number: int, text: bytes) -> None:
        """Read one of the other lines."""
        match self._line(number, text):
            case EntryLine() as line:
                self._entry(line)
            case CheckpointLine(note=note):
                self._head(number, note)
            case HeaderLine() | EpochLine() | RotationLine():
                self._suspect(self.tree.size, "", f"Line {number} is not one between entries.")
            case None:
                pass

    def end(self) -> Report:
        """What it came to."""
        if self.header_key and self.header_key != verifier_key(self.keys.keys[-1]):
            self._suspect(0, "", "The export says that it is signed by another key.")
        self._judge_rotations()
        self.doubts += [c.doubt for c in self.chains.values() if c.doubt]
        for earlier, later in self.doubts:
            # An entry that a good head covers is as it was signed: then it is the other one.
            place = earlier if earlier.leaf >= self.good else later
            self._suspect(place.leaf, place.id, "It is not what its neighbour in the chain names.")
        self._judge_outside()
        lasting = (h for heads in self.outside.values() for h in heads if not self._is_lost(h))
        missing = max((head.size for head in lasting), default=0)
        if missing > self.tree.size:
            why = f"A head from outside covers {missing} entries; the rest is missing."
            self._suspect(self.tree.size, "", why)
        self._suspect_unheld()
        if self.erased and self.asked_for_contents:
            self.warnings.append(f"The contents of {self.erased} entries have been erased.")
        first = min(self.suspects, key=lambda s: (s.leaf_index, not s.entry), default=None)
        return Report(
            ok=first is None,
            origin=origin_of(self.keys.pinned),
            entries=self.tree.size - self.start,
            signed=self.good,
            erased=self.erased,
            first_broken=first,
            warnings=(*self.warnings, *map(_told, self.line)),
            restores=tuple(self.line),
        )

    def _is_lost(self, head: Checkpoint) -> bool:
        return is_abandoned(head, self.line)

    def _judge_outside(self) -> None:
        """Heads from outside that do not fit are a fault, but for those that a restore gave up."""
        for head, unfit in self.unfits:
            if self._is_lost(head):
                continue
            if head.size == self.start:
                why = "What came before this export is not what was signed."
                self._suspect(self.start, "", why)
            elif self.unfit is None or unfit[1] < self.unfit[1]:
                self.unfit = unfit
        heads = (head for heads in self.outside.values() for head in heads)
        newest = max(
            [head.epoch for head in heads] + [epoch.number for epoch in self.known], default=0
        )
        if newest > self.epoch:
            why = f"It knows nothing of restore {newest}, which was signed outside."
            self._suspect(self.tree.size, "", why)

    def _suspect_unheld(self) -> None:
        """Where no head holds and nothing says more, name the first entry that none holds."""
        start, end, name = self.unfit or (self.good, self.tree.size, self.after_good)
        if start < end and not any(start <= s.leaf_index < end for s in self.suspects):
            why = f"No signed head holds for entries {start} to {end - 1}: "
            self._suspect(start, name, why + "they, or their links, were made or changed later.")

    def _line(self, number: int, text: bytes) -> Line | None:
        try:
            return read_line(text)
        except MalformedLine:
            self._suspect(self.tree.size, "", f"Line {number} is not as an export writes it.")
            return None

    def _suspect(self, leaf: int, entry: str, why: str) -> None:
        self.suspects.append(Broken(leaf_index=leaf, entry=entry, why=why))

    def _entry(self, line: EntryLine) -> None:
        leaf = self.tree.size
        said = well_formed(line.said)
        name = str(line.said.get("id", ""))
        if line.leaf != leaf:
            self._suspect(
                leaf, name, f"Entry {leaf} is missing: entry {line.leaf} is in its place."
            )
        if said is None:
            self._suspect(leaf, name, "It does not have an entry's members.")
        else:
            self._follow(said, line, _Place(leaf, name))
            self._contents(said, line, _Place(leaf, name))
        if leaf == self.good:
            self.after_good = name
        if line.said.get("kind") == EntryKind.LOG_RESTORED:
            self._restored(line.said, _Place(leaf, name))
        if line.said.get("kind") == EntryKind.AUDIT_KEYS_ROTATED:
            self._rotated(line.said, _Place(leaf, name))
        self.tree.add(leaf_hash(line.entry))
        self._compare_outside()

    def _restored(self, said: Mapping[str, JsonValue], place: _Place) -> None:
        """A new epoch begins, if the log's key has signed that it does, just here."""
        body = said.get("body")
        note = body.get("note") if isinstance(body, dict) else None
        try:
            retold = [read_rotation(n, self.keys.signature_holds) for n in retold_in(body)]
            for rotation in retold:
                self.keys = self.keys.extended(rotation)
            epoch = self.keys.read_epoch(str(note))
        except MalformedNote:
            self._suspect(place.leaf, place.id, "It tells of a restore that this key never signed.")
            return
        held = _are_same(self.kept, epoch.kept) if self.kept else epoch.kept.size == self.start
        if epoch.number <= self.epoch or not held:
            why = "It tells of a restore, but not from what comes before it."
            self._suspect(place.leaf, place.id, why)
            return
        self.line.append(epoch)
        if self.began is None:
            self.began = epoch.kept.epoch
        self.epoch, self.is_epoch_known = epoch.number, True
        self.rotated.update(retold)
        if not all(is_given_up(rotation, self.line) for rotation in retold):
            why = "It tells again of a rotation of the keys that its restore does not give up."
            self._suspect(place.leaf, place.id, why)

    def _rotated(self, said: Mapping[str, JsonValue], place: _Place) -> None:
        """Another key signs from here on, if the one before has signed that it does, just here."""
        body = said.get("body")
        note = body.get("note") if isinstance(body, dict) else None
        try:
            rotation = read_rotation(str(note), self.keys.signature_holds)
            self.keys = self.keys.extended(rotation)
        except MalformedNote:
            why = "It tells of a rotation of the keys that the key in force never signed."
            self._suspect(place.leaf, place.id, why)
            return
        self.rotated.add(rotation)
        if rotation.size != place.leaf:
            why = f"It tells of a rotation of the keys at entry {rotation.size}, not here."
            self._suspect(place.leaf, place.id, why)

    def _judge_rotations(self) -> None:
        """Each rotation that is known of has its entry."""
        missing = [r for r in self.keys.rotations if r not in self.rotated and self._is_due(r)]
        if missing:
            why = "The keys were rotated where no entry tells of it."
            self._suspect(min(told_at(r, self.line) for r in missing), "", why)

    def _is_due(self, rotation: Rotation) -> bool:
        """Whether it came to be between the first entry here and the last one."""
        is_later = rotation.last >= (self.epoch, self.tree.size)
        is_earlier = rotation.epoch < (self.began or 0)
        return not is_later and not is_earlier and told_at(rotation, self.line) >= self.start

    def _follow(self, said: Said, line: EntryLine, place: _Place) -> None:
        """Whether it comes after the entry before it, in its instance's chain."""
        chain = self.chains.get(said.instance)
        hashed = entry_hash(line.entry)
        known = _Chain(sequence=said.sequence, hash=hashed, last=place)
        self.chains[said.instance] = known
        if chain is None:
            fresh = said.sequence == 1 and not said.previous
            if not fresh and (self.start == 0 or said.sequence <= 1):
                self._suspect(place.leaf, place.id, "Its chain does not start with it.")
            return
        follows = said.sequence == chain.sequence + 1 and said.previous == chain.hash
        if chain.doubt:
            # The later one of the pair is vouched for by its successor, or it is not.
            earlier, later = chain.doubt
            self.doubts.append((earlier if follows else later, later))
        elif said.sequence not in (chain.sequence, chain.sequence + 1):
            why = f"It is number {said.sequence} of its chain, after number {chain.sequence}."
            self._suspect(place.leaf, place.id, why)
        elif not follows:
            known.doubt = (chain.last, place)

    def _contents(self, said: Said, line: EntryLine, place: _Place) -> None:
        if line.contents is None:
            self.erased += bool(said.contents) and self.asked_for_contents
        elif contents_digest(line.contents) != said.contents:
            why = "Its contents are not those that it commits to."
            self._suspect(place.leaf, place.id, why)

    def _head(self, number: int, note: str) -> None:
        try:
            head = self.keys.read(note)
        except MalformedNote:
            self._suspect(
                self.tree.size, "", f"The head on line {number} is not signed by this key."
            )
            return
        if not self.is_epoch_known:
            self.began = self.epoch = head.epoch
            self.is_epoch_known = True
        if head.size != self.tree.size:
            why = f"The head on line {number} covers {head.size} entries, not {self.tree.size}."
            self._suspect(min(head.size, self.tree.size), "", why)
        elif head.epoch != self.epoch:
            why = f"The head on line {number} is of another restore than what it covers."
            self._suspect(self.tree.size, "", why)
        elif self._fits(head):
            self.kept = head
        elif self.unfit is None:
            # Kept even where a later head holds: then two signed heads contradict each other.
            self.unfit = (self.good, head.size, self.after_good)

    def _compare_outside(self) -> None:
        for head in self.outside.get(self.tree.size, ()):
            if not self._fits(head):
                self.unfits.append((head, (self.good, head.size, self.after_good)))

    def _fits(self, head: Checkpoint) -> bool:
        """Whether this head, of what was read so far, is of this; then it holds all of it."""
        if head.root != self.tree.root():
            return False
        self.good = head.size
        self.after_good = ""
        return True


def _told(epoch: Epoch) -> str:
    kept, lost = epoch.kept.size, epoch.abandoned.size
    return (
        f"Restore {epoch.number}: the log was put back to {kept} signed entries; "
        f"what a head over {lost} had covered beyond them is abandoned."
    )


def _are_same(head: Checkpoint, other: Checkpoint) -> bool:
    """Whether two are one head, by whichever key of the log."""
    return (head.epoch, head.size, head.root) == (other.epoch, other.size, other.root)
