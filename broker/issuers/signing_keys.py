"""Which of the keys that an issuer publishes may have signed a token."""

import base64
import binascii
from typing import Any, Final

_RSA_BYTES_MIN: Final = 256


def is_usable(key: object) -> bool:
    """A public key for one of our algorithms; a shared secret is none, whatever it is sent for."""
    if not isinstance(key, dict) or key.get("use", "sig") != "sig":
        return False
    if key.get("kty") == "EC":
        return bool(key.get("crv") == "P-256")
    if key.get("kty") == "OKP":
        return bool(key.get("crv") == "Ed25519")
    return key.get("kty") == "RSA" and _length(key.get("n")) >= _RSA_BYTES_MIN


def usable_in(keys: object) -> list[dict[str, Any]]:
    """Those of a published list that may have signed."""
    return [key for key in keys if is_usable(key)] if isinstance(keys, list) else []


def _length(number: object) -> int:
    if not isinstance(number, str):
        return 0
    try:
        return len(base64.urlsafe_b64decode(number + "==").lstrip(b"\0"))
    except (binascii.Error, ValueError):
        return 0
