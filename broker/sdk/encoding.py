"""JSON leaves this process only as JSON: what has no exact JSON form is refused, never coerced.

`json.dumps` alone would turn a key 1 into "1" and NaN into a word that no parser need take; the
broker digests the bytes, so that they must say what the caller meant.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

DEPTH_MAX: Final = 100  # the broker's own bound is lower; this one only ends cycles


def arguments_json(arguments: object) -> bytes:
    """Arguments of a call as UTF-8 JSON; bytes, such as a model's own, pass unread.

    Raises:
        TypeError: not a mapping or bytes, or a value within it is not JSON. Names where.
    """
    if isinstance(arguments, bytes):
        return arguments
    if not isinstance(arguments, Mapping):
        raise TypeError(
            f"arguments must be a mapping or the bytes of a JSON object, not "
            f"{type(arguments).__name__}."
        )
    return to_json(arguments, what="arguments")


def to_json(value: object, *, what: str) -> bytes:
    """A value as compact UTF-8 JSON.

    Args:
        value: mappings with str keys, lists, tuples, str, int, finite float, bool, None.
        what: its name, for the error.

    Raises:
        TypeError: something in it is not JSON. Names where.
    """
    plain = _plain(value, what, 0)
    text = json.dumps(plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise TypeError(f"{what} holds a lone surrogate, which is no character.") from None


def from_json(data: bytes) -> Any:
    """Parses what the broker sent.

    Raises:
        ValueError: it is not JSON.
    """
    return json.loads(data)


def _plain(value: object, where: str, depth: int) -> object:
    if depth > DEPTH_MAX:
        raise TypeError(f"{where} is nested too deep.")
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise TypeError(f"{where} is {value}, which is not JSON.")
    if isinstance(value, Mapping):
        return {_key(k, where): _plain(v, f"{where}/{k}", depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}/{i}", depth + 1) for i, v in enumerate(value)]
    raise TypeError(f"{where} is a {type(value).__name__}, which is not JSON.")


def _key(key: object, where: str) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"{where} has the key {key!r}; keys of a JSON object are str.")
