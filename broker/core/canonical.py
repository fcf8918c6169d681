"""One value has one sequence of bytes (RFC 8785), and its digest is the SHA-256 of those.

The same bytes go to the policy, the reviewer, the tool and the audit record: two encodings of one
call would be two calls. Nothing else in the project serialises a call.
"""

import hashlib
from typing import Final, cast

import orjson
import rfc8785

from broker.core.arguments import JsonValue


def canonical_bytes(value: JsonValue) -> bytes:
    """Serialise as RFC 8785 says: UTF-8, no spaces, keys in UTF-16 order, numbers as ECMAScript's.

    Raises:
        ValueError: it has no canonical form: an integer beyond ±(2^53 - 1), NaN or an infinity, a
            lone surrogate, a key that is no string, what is not JSON, or a value that holds itself.
    """
    try:
        encoded = orjson.dumps(value, option=_AS_THE_RFC)
    except orjson.JSONEncodeError:
        return _slowly(value)  # it may have a form all the same, and else this says why not
    return encoded if _is_plain(value) else _slowly(value)


def _slowly(value: JsonValue) -> bytes:
    try:
        return rfc8785.dumps(cast("dict[str, object]", value))  # type: ignore[arg-type]
    except UnicodeEncodeError:
        # Its own text would repeat the value.
        raise ValueError("A lone surrogate has no canonical form.") from None
    except rfc8785.CanonicalizationError:
        raise ValueError("The value has no canonical form (RFC 8785).") from None
    except RecursionError:
        raise ValueError("The value is nested too deeply for a canonical form.") from None


def content_digest(content: bytes) -> str:
    """Name bytes by what they are: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest(value: JsonValue) -> str:
    """Name a value by its content: the digest of its canonical form.

    Raises:
        ValueError: as `canonical_bytes`.
    """
    return content_digest(canonical_bytes(value))


def call_digest(tool: str, arguments: dict[str, JsonValue]) -> str:
    """Name a call: the digest of `{"arguments": …, "tool": …}`.

    Raises:
        ValueError: as `canonical_bytes`.
    """
    return digest({"arguments": arguments, "tool": tool})


# Escapes strings exactly as RFC 8785 §3.2.2.2 does, sorts by code point, and refuses integers that
# are not exact. What it would encode and the RFC does not know is no plain value.
_AS_THE_RFC: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_ATOMS: Final = frozenset({str, bool, int, type(None)})
# Between these both spell a fraction without an exponent, by its shortest digits.
_FRACTIONS_FROM: Final = 1e-4
_FRACTIONS_BELOW: Final = 1e15


def _is_plain(value: object) -> bool:
    """Whether orjson, an order of magnitude faster, gives RFC 8785's bytes of what it can encode.

    It does where keys are ASCII (code points then sort as UTF-16 code units do, §3.2.3) and numbers
    are integers or fractions of usual size (§3.2.2.3). Subclasses can lie, so types are compared.
    """
    rest = [value]
    for one in rest:
        kind = type(one)
        if kind is dict:
            for key, member in cast("dict[object, object]", one).items():
                if type(key) is not str or not key.isascii():
                    return False
                if type(member) not in _ATOMS:
                    rest.append(member)
        elif kind is list:
            rest.extend(m for m in cast("list[object]", one) if type(m) not in _ATOMS)
        elif kind is float:
            if not _is_plain_fraction(cast("float", one)):
                return False
        elif kind not in _ATOMS:
            return False
    return True


def _is_plain_fraction(value: float) -> bool:
    return _FRACTIONS_FROM <= abs(value) < _FRACTIONS_BELOW and not value.is_integer()
