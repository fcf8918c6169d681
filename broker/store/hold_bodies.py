"""What figures need of a hold's body, without reading all of it: thousands are read for one page.

A body is as `store.rows` writes it: JSON whose first member is the requirements. No text in them
can end them or pass for another member: quotation marks in a text are escaped.
"""

import functools
from typing import Final

from broker.store.json_text import decode, encode

_FIRST: Final = '{"requirements":'
_SECOND: Final = '],"call_digest":'


def codes_of(body: str) -> tuple[str, ...]:
    """The codes that stopped the call, each once."""
    end = body.find(_SECOND, len(_FIRST))
    if not body.startswith(_FIRST) or end < 0:
        return _codes(encode(decode(body)["requirements"]))
    return _codes(body[len(_FIRST) : end + 1])


@functools.lru_cache(maxsize=4096)
def _codes(requirements: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(one["code"]) for one in decode(requirements)))


def is_narrowed(body: str) -> bool:
    """Whether it is in place of another."""
    return '"narrows":' in body and bool(decode(body).get("narrows"))
