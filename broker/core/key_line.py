"""The keys of a log follow each other: each names the next one, and signs no head after it.

A rotation is a signed note of its own, by both keys: the old one says who comes after it, the new
one that it knows of whom it comes.

    <old key> rotated                           each as a verifier key (c2sp.org/signed-note)
    <epoch> <size>                              the last head that the old key signs alone
    <new key>

It is in the entry that the log goes on with, the leaf of that number, and outside among the heads.
The head of that one entry more is signed by both keys; every later one by the new key alone. Later
is a higher epoch (`core.epochs`), or more entries in the same one. So whoever has any one of the
keys from a trusted place can follow the line both ways, a note without the old key leads nowhere,
and a head by an old key, or its note of a restore, is worth nothing beyond its end. Two notes that
disagree are told, never chosen from.

What is restored from a backup of before a rotation has no entry of that: the entry of the restore
tells the notes again (`RETOLD`), and from it on the log is linked and signed with the keys that
they lead to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from broker.core.audit import EntryKind
from broker.core.audit_lines import EntryLine, MalformedLine, read_line
from broker.core.epochs import Epoch, read_epoch
from broker.core.notes import (
    Checkpoint,
    MalformedNote,
    Sign,
    SignatureHolds,
    origin_of,
    parse_verifier_key,
    read,
    read_text,
    sign_text,
    verifier_key,
)

_ROTATED: Final = " rotated"
_LINES: Final = 3
_DIGITS_MAX: Final = 18
RETOLD: Final = "rotations"
# Only a first look, which spares reading what is surely something else.
_MARKS: Final = (b'"kind":"audit.keys_rotated"', b'"kind":"log.restored"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One key in place of another.

    Attributes:
        old, new: public keys, 32 bytes each.
        size: of the last head that is the old key's alone; the leaf of this number tells of it.
        epoch: of that head.
    """

    old: bytes
    new: bytes
    size: int
    epoch: int = 0

    @property
    def last(self) -> tuple[int, int]:
        """The last head that is the old key's alone, as heads are ordered."""
        return self.epoch, self.size


def sign_rotation(rotation: Rotation, *, by_old: Sign, by_new: Sign) -> str:
    """The note, signed by both."""
    name, text = origin_of(rotation.old), _text(rotation)
    note = sign_text(text, name, rotation.old, by_old)
    _, _, second = sign_text(text, origin_of(rotation.new), rotation.new, by_new).rpartition("\n\n")
    return note + second


def read_rotation(note: str, signature_holds: SignatureHolds) -> Rotation:
    """The rotation of a note that both of its keys have signed; whose they are is not said.

    Raises:
        MalformedNote: it is not one, or one has not signed it.
    """
    lines = note.split("\n\n", maxsplit=1)[0].split("\n")
    if len(lines) != _LINES or not lines[0].endswith(_ROTATED):
        raise MalformedNote("The note of a rotation is three lines.")
    last = lines[1].split(" ")
    if len(last) != len(("epoch", "size")) or not all(map(_is_number, last)):
        raise MalformedNote("The last head of the old key is no epoch and size.")
    old, new = parse_verifier_key(lines[0].removesuffix(_ROTATED)), parse_verifier_key(lines[2])
    rotation = Rotation(old=old, new=new, epoch=int(last[0]), size=int(last[1]))
    for key in (old, new):
        if read_text(note, origin_of(key), key, signature_holds) != _text(rotation):
            raise MalformedNote("The note of a rotation does not say what one says.")
    if old == new:
        raise MalformedNote("A key that comes after itself is no rotation.")
    return rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """The keys that a trusted one leads to, in their order.

    Attributes:
        rotations: from the first known key to the last.
        pinned: the trusted one.
    """

    pinned: bytes
    signature_holds: SignatureHolds
    rotations: tuple[Rotation, ...] = ()

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All of them, the oldest first."""
        if not self.rotations:
            return (self.pinned,)
        return (self.rotations[0].old, *(rotation.new for rotation in self.rotations))

    def read(self, note: str) -> Checkpoint:
        """The checkpoint of a note that the key in force for heads of its size has signed.

        Raises:
            MalformedNote: it is none, or not signed by that key.
        """
        for number, key in enumerate(self.keys):
            try:
                head = read(note, key, self.signature_holds)
            except MalformedNote:
                continue
            begins = self.rotations[number - 1].last if number else (-1, -1)
            ends = self.rotations[number].last if number < len(self.rotations) else None
            if begins < (head.epoch, head.size) and (
                ends is None or (head.epoch, head.size) <= ends
            ):
                return head
        if len(self.keys) == 1:
            return read(note, self.pinned, self.signature_holds)  # for its own words
        raise MalformedNote("The checkpoint is not signed by the key that was in force.")

    def read_epoch(self, note: str) -> Epoch:
        """The restore of a note that the key in force at that restore has signed.

        Raises:
            MalformedNote: it is none, or not signed by that key.
        """
        for number, key in enumerate(self.keys[:-1]):
            try:
                epoch = read_epoch(note, key, self.signature_holds)
            except MalformedNote:
                continue
            begins = self.rotations[number - 1].epoch if number else -1
            if begins < epoch.number <= self.rotations[number].epoch:
                return epoch
            raise MalformedNote("The restore is not signed by the key that was in force.")
        epoch = read_epoch(note, self.keys[-1], self.signature_holds)
        if self.rotations and epoch.number <= self.rotations[-1].epoch:
            raise MalformedNote("The restore is not signed by the key that was in force.")
        return epoch

    def extended(self, rotation: Rotation) -> "KeyLine":
        """The line with one more at its end.

        Raises:
            MalformedNote: it does not follow.
        """
        if rotation in self.rotations:
            return self
        last = self.rotations[-1].last if self.rotations else (-1, -1)
        if rotation.old != self.keys[-1] or rotation.last <= last or rotation.new in self.keys:
            raise MalformedNote("It tells of a rotation that the key in force knows nothing of.")
        return KeyLine(
            pinned=self.pinned,
            signature_holds=self.signature_holds,
            rotations=(*self.rotations, rotation),
        )


def line_of(pinned: bytes, notes: Iterable[str], signature_holds: SignatureHolds) -> KeyLine:
    """The line that a trusted key is in.

    Args:
        pinned: the trusted key, 32 bytes.
        notes: of rotations, in any order; those that lead nowhere from it are passed over.
        signature_holds: checks one signature.

    Raises:
        MalformedNote: one is no note of a rotation, or two contradict each other.
    """
    known = {read_rotation(note, signature_holds) for note in notes}
    rotations = [*_before(pinned, known), *_after(pinned, known)]
    order = [rotation.last for rotation in rotations]
    if sorted(set(order)) != order:
        raise MalformedNote("The rotations of the keys are not in one order.")
    return KeyLine(pinned=pinned, signature_holds=signature_holds, rotations=tuple(rotations))


def rotations_in(lines: Iterable[bytes]) -> list[str]:
    """The notes of rotations in an export, whoever signed them; to be read before it is checked."""
    found: list[str] = []
    for text in lines:
        if not any(mark in text for mark in _MARKS):
            continue
        try:
            line = read_line(text)
        except MalformedLine:
            continue
        if not isinstance(line, EntryLine):
            continue
        body = line.said.get("body")
        if line.said.get("kind") == EntryKind.LOG_RESTORED:
            found += retold_in(body)
        elif line.said.get("kind") == EntryKind.AUDIT_KEYS_ROTATED:
            note = body.get("note") if isinstance(body, dict) else None
            found += [note] if isinstance(note, str) else []
    return found


def retold_in(body: object) -> list[str]:
    """The notes of rotations that the entry of a restore tells again."""
    notes = body.get(RETOLD) if isinstance(body, dict) else None
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def told_at(rotation: Rotation, restores: Sequence[Epoch]) -> int:
    """The leaf that tells of it; where a restore has given that one up, the first that may.

    Args:
        rotation: of the keys of a log.
        restores: that the log has been through, in their order.
    """
    lost_by = (one for one in restores if _gives_up(one, rotation, restores))
    return next((one.kept.size for one in lost_by), rotation.size)


def is_given_up(rotation: Rotation, restores: Sequence[Epoch]) -> bool:
    """Whether its entry lies beyond what a restore has kept."""
    return any(_gives_up(one, rotation, restores) for one in restores)


def _gives_up(restore: Epoch, rotation: Rotation, restores: Sequence[Epoch]) -> bool:
    """Its epoch may be one that this log knows nothing of: of another one that was given up."""
    known = {0, *(one.number for one in restores)}
    is_beyond = rotation.epoch not in known or rotation.size >= restore.kept.size
    return restore.number > rotation.epoch and is_beyond


def _before(key: bytes, known: set[Rotation]) -> list[Rotation]:
    found: list[Rotation] = []
    while step := _only([r for r in known if r.new == key]):
        if step in found:
            raise MalformedNote("The rotations of the keys go round in a ring.")
        found.append(step)
        key = step.old
    return found[::-1]


def _after(key: bytes, known: set[Rotation]) -> list[Rotation]:
    found: list[Rotation] = []
    while step := _only([r for r in known if r.old == key]):
        if step in found:
            raise MalformedNote("The rotations of the keys go round in a ring.")
        found.append(step)
        key = step.new
    return found


def _only(steps: Sequence[Rotation]) -> Rotation | None:
    if len(steps) > 1:
        raise MalformedNote("Two notes of rotations of one key contradict each other.")
    return steps[0] if steps else None


def _text(rotation: Rotation) -> str:
    old, new = verifier_key(rotation.old), verifier_key(rotation.new)
    return f"{old}{_ROTATED}\n{rotation.epoch} {rotation.size}\n{new}\n"


def _is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX
