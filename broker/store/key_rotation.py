"""The files of a rotation: what takes over lies beside until the log has told of it, then moves in.

    audit-keys.next/mac, signing, note        made first; while they are there no broker starts
    audit-keys/0001.mac, 0001.note, 0001.pub  of before: the key of keyed hashes, read-only, the
                                              note that both signing keys signed, the public key

Each step can be done again after a crash, and none is undone: before the log tells of it, what was
prepared is used all the same; afterwards what is left to move is moved. The old signing key ends
with the step that puts the new one in its place.
"""

import shutil
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.core.key_line import Rotation, read_rotation, sign_rotation
from broker.core.notes import MalformedNote, verifier_key
from broker.store.keys import (
    FORMER,
    MAC_FILE,
    MAC_SUFFIX,
    NEXT,
    NOTE_SUFFIX,
    PUBLIC_FILE,
    SIGNING_FILE,
    AuditKeys,
    KeysRefused,
    Successor,
    create,
    read_key,
    rotation_notes,
    signature_holds,
    sync_directory,
    write_secret,
)

_MAC: Final = "mac"
_SIGNING: Final = "signing"
_NOTE: Final = "note"
_PUBLIC_SUFFIX: Final = ".pub"
_READ_ONLY: Final = 0o400


def prepare(state: Path, keys: AuditKeys, *, size: int, epoch: int = 0) -> Successor:
    """Make what takes over; what an earlier try has made is thrown away.

    Args:
        state: the directory of the keys.
        keys: in force.
        size: entries in the log, all of them signed.
        epoch: how often it was restored.
    """
    directory = state / NEXT
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    create(directory / _MAC)
    create(directory / _SIGNING)
    fresh = Ed25519PrivateKey.from_private_bytes(read_key(directory / _SIGNING))
    rotation = Rotation(
        old=keys.public_key, new=fresh.public_key().public_bytes_raw(), size=size, epoch=epoch
    )
    note = sign_rotation(rotation, by_old=keys.signing_key.sign, by_new=fresh.sign)
    write_secret(directory / _NOTE, note.encode())
    sync_directory(state)
    return Successor(signing_key=fresh, note=note, size=size)


def prepared(state: Path) -> Successor | None:
    """What takes over, where that was begun; None where nothing whole was made.

    Raises:
        KeysRefused: it is damaged.
    """
    directory = state / NEXT
    if not (directory / _NOTE).exists():
        return None
    try:
        note = note_of(state)
        rotation = read_rotation(note, signature_holds)
        signing = state / SIGNING_FILE if _is_moved(state) else directory / _SIGNING
        key = Ed25519PrivateKey.from_private_bytes(read_key(signing))
    except (MalformedNote, UnicodeDecodeError) as error:
        raise KeysRefused(f"{directory} is damaged: {error}") from error
    if key.public_key().public_bytes_raw() != rotation.new:
        raise KeysRefused(f"{directory} is damaged: its key is not the one of its note.")
    return Successor(signing_key=key, note=note, size=rotation.size)


def is_told(state: Path) -> bool:
    """Whether the log has told of what was prepared, as far as the files say."""
    return (state / NEXT / _NOTE).exists() and _is_kept(state)


def move_in(state: Path) -> None:
    """Put what was prepared in force. Only once the log tells of it; again after a crash."""
    directory, former = state / NEXT, state / FORMER
    former.mkdir(mode=0o700, exist_ok=True)
    note = note_of(state)
    rotation = read_rotation(note, signature_holds)
    if not _is_kept(state):
        number = 1 + sum(1 for _ in former.glob(f"*{NOTE_SUFFIX}"))
        base = former / f"{number:04d}"
        old = read_key(state / MAC_FILE).hex().encode() + b"\n"
        write_secret(base.with_suffix(MAC_SUFFIX), old)
        base.with_suffix(MAC_SUFFIX).chmod(_READ_ONLY)
        public = verifier_key(rotation.old) + "\n"
        write_secret(base.with_suffix(_PUBLIC_SUFFIX), public.encode())
        # Last, because it is what says that the step was made.
        write_secret(base.with_suffix(NOTE_SUFFIX), note.encode())
    for name, place in ((_MAC, MAC_FILE), (_SIGNING, SIGNING_FILE)):
        if (directory / name).exists():
            (directory / name).replace(state / place)
    sync_directory(state)
    write_secret(state / PUBLIC_FILE, (verifier_key(rotation.new) + "\n").encode())
    (directory / _NOTE).unlink()
    shutil.rmtree(directory)
    sync_directory(state)


def note_of(state: Path) -> str:
    """The note of what was prepared."""
    return (state / NEXT / _NOTE).read_text(encoding="utf-8")


def discard(state: Path) -> None:
    """Throw away what was prepared, of which the log tells nothing."""
    shutil.rmtree(state / NEXT, ignore_errors=True)
    sync_directory(state)


def _is_kept(state: Path) -> bool:
    """Whether the note of what was prepared is among those of before."""
    return note_of(state) in rotation_notes(state)


def _is_moved(state: Path) -> bool:
    return not (state / NEXT / _SIGNING).exists()
