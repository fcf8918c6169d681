"""The keys of the log are files beside the database, never in it: who edits one lacks the other.

Two files, each made once and readable by their owner alone: the key of the keyed hashes, and the
Ed25519 key that signs heads. The third, `audit.pub`, is what an auditor needs and is no secret.
"""

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from broker.core.notes import verifier_key

MAC_FILE: Final = "audit-mac.key"
SIGNING_FILE: Final = "audit-signing.key"
PUBLIC_FILE: Final = "audit.pub"
KEY_BYTES: Final = 32

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeysRefused(Exception):
    """The keys cannot be used as they are; the sentence says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditKeys:
    """What links and signs the log."""

    mac_key: bytes = field(repr=False)
    signing_key: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self.signing_key.public_key().public_bytes_raw()


def load_or_create(directory: Path) -> AuditKeys:
    """The keys of a state directory; made where there are none yet.

    Raises:
        KeysRefused: one is missing, damaged, or readable by others.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_others(directory)
    mac, signing = directory / MAC_FILE, directory / SIGNING_FILE
    if not mac.exists() and not signing.exists():
        _create(mac)
        _create(signing)
    keys = AuditKeys(
        mac_key=_load(mac),
        signing_key=Ed25519PrivateKey.from_private_bytes(_load(signing)),
    )
    public = directory / PUBLIC_FILE
    if not public.exists():
        public.write_text(verifier_key(keys.public_key) + "\n", encoding="ascii")
    return keys


def signature_holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether, by this Ed25519 key, this signature is one of this message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _create(path: Path) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
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


def _load(path: Path) -> bytes:
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
