"""Values inside of a text column: JSON in ASCII, so that any string survives any database.

NUL and lone surrogates stay escapes.
"""

import json
from typing import Any, Final

import orjson

encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def decode(text: str) -> Any:
    """What `encode` wrote."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)  # a lone surrogate, which is no text to orjson
