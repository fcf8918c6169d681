"""A signed head of the log is a C2SP checkpoint in a C2SP signed note, one Ed25519 signature.

    <origin>                                    whose log
    <size>                                      how many leaves
    <root>                                      base64 of the tree's root
    epoch <number>                              only after a restore (`core.epochs`): of which one
                                                a blank line
    — <key name> <base64 of key id, signature>  over all above the blank line

(c2sp.org/tlog-checkpoint, c2sp.org/signed-note). The key's name is the origin. Whoever signs and
whoever checks a signature is handed in: this module knows the form alone.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from broker.core.merkle import HASH_BYTES

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
NOTE_CHARACTERS_MAX: Final = 4_096

_ED25519: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_DASH: Final = "\N{EM DASH} "
_SIZE_DIGITS_MAX: Final = 18
_TEXT_LINES: Final = 3
_EPOCH: Final = "epoch "

Sign = Callable[[bytes], bytes]
SignatureHolds = Callable[[bytes, bytes, bytes], bool]
"""Whether, by this public key, this signature is one of this message."""


class MalformedNote(ValueError):
    """This is no signed checkpoint of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A head of the log: `root` is the Merkle root of the first `size` entries.

    Attributes:
        epoch: how often the log had been restored from a backup before it was signed.
    """

    origin: str
    size: int
    root: bytes
    epoch: int = 0


def origin_of(public_key: bytes) -> str:
    """The name of a log by the key that signs it; also the key's name."""
    return "callbroker/" + hashlib.sha256(public_key).hexdigest()[:16]


def sign(checkpoint: Checkpoint, public_key: bytes, signing: Sign) -> str:
    """The signed note."""
    return sign_text(_text(checkpoint), checkpoint.origin, public_key, signing)


def read(note: str, public_key: bytes, signature_holds: SignatureHolds) -> Checkpoint:
    """The checkpoint of a note that this key has signed.

    A line by any other key is passed over, as the specification asks.

    Raises:
        MalformedNote: it is not one, or not signed by this key.
    """
    text, signed = _divided(note)
    checkpoint = _checkpoint(text)
    require_signed(text, signed, checkpoint.origin, public_key, signature_holds)
    return checkpoint


def sign_text(text: str, name: str, public_key: bytes, signing: Sign) -> str:
    """Any text in a signed note, by the key of this name."""
    signature = key_id(name, public_key) + signing(text.encode())
    return f"{text}\n{_DASH}{name} {_base64(signature)}\n"


def read_text(note: str, name: str, public_key: bytes, signature_holds: SignatureHolds) -> str:
    """The text of a note that this key has signed under this name.

    Raises:
        MalformedNote: it is no note, or not signed by this key.
    """
    text, signed = _divided(note)
    require_signed(text, signed, name, public_key, signature_holds)
    return text


def require_signed(
    text: str, signed: str, name: str, public_key: bytes, signature_holds: SignatureHolds
) -> None:
    """Pass only a text with a signature by this key under this name.

    Raises:
        MalformedNote: there is none that holds.
    """
    expected = key_id(name, public_key)
    for named, identity, signature in [_signature(line) for line in signed[:-1].split("\n")]:
        if named == name and hmac.compare_digest(identity, expected):
            if signature_holds(public_key, signature, text.encode()):
                return
            break
    raise MalformedNote("The checkpoint is not signed by this key.")


def key_id(name: str, public_key: bytes) -> bytes:
    """The four bytes that tell keys apart (c2sp.org/signed-note, Ed25519)."""
    named = name.encode() + b"\n" + _ED25519 + public_key
    return hashlib.sha256(named).digest()[:_KEY_ID_BYTES]


def verifier_key(public_key: bytes, name: str = "") -> str:
    """A public key in the text form that is handed round: `<name>+<key id>+<base64>`."""
    named = name or origin_of(public_key)
    return f"{named}+{key_id(named, public_key).hex()}+{_base64(_ED25519 + public_key)}"


def parse_verifier_key(text: str) -> bytes:
    """The public key of a verifier key.

    Raises:
        MalformedNote: it is not one.
    """
    name, _, rest = text.strip().partition("+")
    identity, _, encoded = rest.partition("+")
    key = _decoded(encoded)
    if len(key) != 1 + PUBLIC_KEY_BYTES or key[:1] != _ED25519:
        raise MalformedNote("This is no Ed25519 verifier key.")
    if key_id(name, key[1:]).hex() != identity:
        raise MalformedNote("The verifier key's parts do not belong together.")
    return key[1:]


def _text(checkpoint: Checkpoint) -> str:
    epoch = f"{_EPOCH}{checkpoint.epoch}\n" if checkpoint.epoch else ""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{_base64(checkpoint.root)}\n{epoch}"


def _divided(note: str) -> tuple[str, str]:
    """What is signed, and the signatures' lines."""
    if len(note) > NOTE_CHARACTERS_MAX:
        raise MalformedNote("The note is too long.")
    text, blank, signed = note.rpartition("\n\n")
    if not blank or not signed.endswith("\n"):
        raise MalformedNote("A note is a text, a blank line and signatures.")
    return text + "\n", signed


def _checkpoint(text: str) -> Checkpoint:
    lines = text[:-1].split("\n")
    if len(lines) not in (_TEXT_LINES, _TEXT_LINES + 1):
        raise MalformedNote("A checkpoint is three lines, and one more after a restore.")
    origin, size, root, *epoch = lines
    checkpoint = Checkpoint(
        origin=origin,
        size=_number(size),
        root=_decoded(root),
        epoch=_number(epoch[0].removeprefix(_EPOCH)) if epoch else 0,
    )
    if not origin or len(checkpoint.root) != HASH_BYTES or _text(checkpoint) != text:
        raise MalformedNote("The note's text is not as the specification writes it.")
    return checkpoint


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _SIZE_DIGITS_MAX:
        raise MalformedNote("The size is no number.")
    return int(digits)


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    signature = _decoded(encoded)
    if not line.startswith(_DASH) or not name or _base64(signature) != encoded:
        raise MalformedNote("A signature line is not as the specification writes it.")
    return name, signature[:_KEY_ID_BYTES], signature[_KEY_ID_BYTES:]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedNote("This is no base64.") from None
