"""A log that was restored from a backup goes on in a new epoch, and says so for ever.

What was written after the backup is abandoned: signed heads outside of the database name it, and
the database does not have it. So a note of its own, signed with the log's key, names both: the head
that the restored log goes on from (`kept`) and the newest one that there was (`abandoned`).

    <origin> restored
    <number of the epoch>
    <epoch, size and root of what is kept>
    <epoch, size and root of what is abandoned>

It lies outside, among the heads, and in the entry that the restored log goes on with; every later
head carries the number. Heads of earlier epochs beyond what was kept are abandoned, and no others.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from broker.core.merkle import HASH_BYTES
from broker.core.notes import (
    Checkpoint,
    MalformedNote,
    Sign,
    SignatureHolds,
    origin_of,
    read_text,
    sign_text,
)

_RESTORED: Final = " restored"
_LINES: Final = 4
_PARTS: Final = 3
_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One restore.

    Attributes:
        number: higher than of every epoch before; the first restore's is 1.
        kept: the newest signed head of what was put back.
        abandoned: the newest head that there was outside.
    """

    number: int
    kept: Checkpoint
    abandoned: Checkpoint


def sign_epoch(epoch: Epoch, public_key: bytes, signing: Sign) -> str:
    """The signed note."""
    origin = origin_of(public_key)
    return sign_text(_text(epoch, origin), origin, public_key, signing)


def read_epoch(note: str, public_key: bytes, signature_holds: SignatureHolds) -> Epoch:
    """The epoch of a note that this key has signed.

    Raises:
        MalformedNote: it is not one, or not signed by this key.
    """
    origin = origin_of(public_key)
    text = read_text(note, origin, public_key, signature_holds)
    lines = text[:-1].split("\n")
    if len(lines) != _LINES:
        raise MalformedNote("The note of a restore is four lines.")
    _, number, kept, abandoned = lines
    epoch = Epoch(
        number=_number(number), kept=_head(kept, origin), abandoned=_head(abandoned, origin)
    )
    if _text(epoch, origin) != text or epoch.number <= max(kept_and_lost(epoch)):
        raise MalformedNote("The note of a restore does not say what one says.")
    return epoch


def kept_and_lost(epoch: Epoch) -> tuple[int, int]:
    """The epochs of what was kept and of what was abandoned."""
    return epoch.kept.epoch, epoch.abandoned.epoch


def is_abandoned(head: Checkpoint, line: Iterable[Epoch]) -> bool:
    """Whether a head lies beyond what a later restore kept.

    Args:
        head: any that the key has signed.
        line: the restores that this log has been through.
    """
    epochs = list(line)
    known = head.epoch == 0 or any(epoch.number == head.epoch for epoch in epochs)
    return any(
        epoch.number > head.epoch and (not known or head.size > epoch.kept.size) for epoch in epochs
    )


def _text(epoch: Epoch, origin: str) -> str:
    heads = (epoch.kept, epoch.abandoned)
    told = [f"{h.epoch} {h.size} {base64.b64encode(h.root).decode()}" for h in heads]
    return "\n".join((origin + _RESTORED, str(epoch.number), *told)) + "\n"


def _head(line: str, origin: str) -> Checkpoint:
    parts = line.split(" ")
    if len(parts) != _PARTS:
        raise MalformedNote("A head in the note of a restore has three parts.")
    epoch, size, root = parts
    try:
        decoded = base64.b64decode(root, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != HASH_BYTES:
        raise MalformedNote("This is no root.")
    return Checkpoint(origin=origin, size=_number(size), root=decoded, epoch=_number(epoch))


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX:
        raise MalformedNote("This is no number.")
    return int(digits)
