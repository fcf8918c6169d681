"""The keys of the log are files beside the database, never in it: who edits one lacks the other.

Two files, readable by their owner alone: the key of the keyed hashes, and the Ed25519 key that
signs heads. The third, `audit.pub`, is what an auditor needs and is no secret. Of keys that were
rotated (`store.key_rotation`) the keyed hashes' stays, read-only, since what it has linked is still
to be checked, with the signed note of the rotation; the old signing key is gone.
"""

import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from broker.core.key_line import KeyLine, line_of, read_rotation
from broker.core.notes import Checkpoint, MalformedNote, sign, verifier_key

MAC_FILE: Final = "audit-mac.key"
SIGNING_FILE: Final = "audit-signing.key"
PUBLIC_FILE: Final = "audit.pub"
NEXT: Final = "audit-keys.next"
FORMER: Final = "audit-keys"
NOTE_SUFFIX: Final = ".note"
MAC_SUFFIX: Final = ".mac"
KEY_BYTES: Final = 32

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeysRefused(Exception):
    """The keys cannot be used as they are; the sentence says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerKey:
    """A key of the keyed hashes that was rotated.

    Attributes:
        note: of the rotation, by the signing keys of both sides.
        last: the leaf that tells of it, which is linked with this key; none after it is.
    """

    mac_key: bytes = field(repr=False)
    note: str
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """The signing key that is about to take over.

    Attributes:
        note: of the rotation, signed by both.
        size: entries before the one that tells of it.
    """

    signing_key: Ed25519PrivateKey = field(repr=False)
    note: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditKeys:
    """What links and signs the log.

    Attributes:
        former: those of before, oldest first.
        successor: only while they are rotated.
        line: of all signing keys.
    """

    mac_key: bytes = field(repr=False)
    signing_key: Ed25519PrivateKey = field(repr=False)
    former: tuple[FormerKey, ...] = ()
    successor: Successor | None = None
    line: KeyLine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the notes once."""
        line = line_of(self.public_key, [f.note for f in self.former], signature_holds)
        object.__setattr__(self, "line", line)

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self.signing_key.public_key().public_bytes_raw()

    def key_for(self, purpose: str) -> bytes:
        """A key of the brokers that have these, 32 bytes, from which none of them is found out."""
        return hmac.digest(self.mac_key, f"callbroker key for {purpose}".encode(), "sha256")

    def mac_key_after(self, rotations: int) -> bytes:
        """The key that entries are linked with after so many of the rotations."""
        return self.former[rotations].mac_key if rotations < len(self.former) else self.mac_key

    def is_rotated_at(self, leaf: int | None, *, after: int) -> bool:
        """Whether the rotation that comes after so many is told of by the leaf of this number.

        Of the one that is under way the entry may have no leaf yet: None.
        """
        if after < len(self.former):
            return leaf == self.former[after].last
        return self.successor is not None and leaf in (self.successor.size, None)

    def signed(self, head: Checkpoint) -> str:
        """The signed note of a head; by both keys where one takes over."""
        note = sign(head, self.public_key, self.signing_key.sign)
        successor = self.successor
        if successor is None or head.size <= successor.size:
            return note
        key = successor.signing_key
        second = sign(head, key.public_key().public_bytes_raw(), key.sign)
        return note + second.rpartition("\n\n")[2]


def load_or_create(directory: Path) -> AuditKeys:
    """The keys of a state directory; made where there are none yet.

    Raises:
        KeysRefused: one is missing, damaged, or readable by others.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_others(directory)
    if (directory / NEXT).exists():
        raise KeysRefused(
            "A rotation of the audit keys was begun and did not end: "
            "`callbroker audit rotate-keys` ends it, while no broker runs."
        )
    keys = load(directory)
    public = directory / PUBLIC_FILE
    if not public.exists():
        write_secret(public, (verifier_key(keys.public_key) + "\n").encode())
    return keys


def load(directory: Path, *, successor: Successor | None = None) -> AuditKeys:
    """As `load_or_create`, also while they are rotated.

    Raises:
        KeysRefused: one is missing, damaged, or readable by others.
    """
    mac, signing = directory / MAC_FILE, directory / SIGNING_FILE
    if not mac.exists() and not signing.exists():
        create(mac)
        create(signing)
    try:
        return AuditKeys(
            mac_key=read_key(mac),
            signing_key=Ed25519PrivateKey.from_private_bytes(read_key(signing)),
            former=tuple(_former(directory / FORMER)),
            successor=successor,
        )
    except MalformedNote as error:
        raise KeysRefused(f"{directory / FORMER}: {error}") from error


def rotation_notes(directory: Path) -> list[str]:
    """The notes of all rotations that the keys of a state directory have been through."""
    return [path.read_text(encoding="utf-8") for path in _notes(directory / FORMER)]


def _notes(former: Path) -> list[Path]:
    return sorted(former.glob(f"*{NOTE_SUFFIX}")) if former.is_dir() else []


def _former(directory: Path) -> Iterator[FormerKey]:
    for path in _notes(directory):
        note = path.read_text(encoding="utf-8")
        rotation = read_rotation(note, signature_holds)
        mac_key = read_key(path.with_suffix(MAC_SUFFIX))
        yield FormerKey(mac_key=mac_key, note=note, last=rotation.size)


def signature_holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether, by this Ed25519 key, this signature is one of this message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def create(path: Path) -> None:
    """Make a key."""
    write_secret(path, secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")


def write_secret(path: Path, data: bytes) -> None:
    """Write a file for its owner's eyes alone, durably and whole."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make a name in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_key(path: Path) -> bytes:
    """A key of a file.

    Raises:
        KeysRefused: it is missing, damaged, or readable by others.
    """
    try:
        _refuse_others(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise KeysRefused(
            f"{path} is missing or damaged: put it back from where it was kept safe.",
        ) from error
    if len(key) != KEY_BYTES:
        raise KeysRefused(f"{path} does not hold a key of {KEY_BYTES} bytes.")
    return key


def _refuse_others(path: Path) -> None:
    if path.stat().st_mode & _OTHERS:
        raise KeysRefused(f"{path} is open to others: chmod go= {path}")
