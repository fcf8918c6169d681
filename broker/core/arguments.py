"""JSON from outside is read once, strictly, and means the same to everybody who reads it later.

RFC 8259 leaves open what duplicate keys, huge numbers and lone surrogates mean, and parsers differ;
where two readers may differ there is an attack. So nothing of the kind gets past here (RFC 7493):

* UTF-8 without a byte order mark, one value, nothing after it;
* no duplicate keys, compared after unescaping;
* no NaN or Infinity, nothing beyond a double's range (1e400, and 1e-400, which would become 0);
* no number beyond ±(2^53 - 1), however it is spelled: 9007199254740993, 9007199254740993.0 and
  1e300 are refused alike, since each is an integer that some reader changes. Send it as a string;
* what is an integer becomes `int` (`1.0` is 1, `-0.0` is 0), so value and canonical form agree;
* no lone surrogates. NUL and noncharacters are ordinary characters of a string: every layer here
  carries them unchanged, `core.text` shows them, and a schema may forbid them;
* bounded bytes, depth, values and digits, all checked before the first object is built.

What is returned holds only None, bool, int, float, str, list and dict with str keys.
"""

import itertools
import json
import math
import re
from typing import Final, NoReturn, TypeAlias

from broker.core.limits import (
    ARGUMENTS_BYTES_MAX,
    INTEGER_MAX,
    JSON_DEPTH_MAX,
    JSON_NODES_MAX,
    JSON_NUMBER_CHARACTERS_MAX,
)

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None


class MalformedJson(ValueError):
    """The bytes are not one strict JSON value. `str()` never repeats what was sent.

    Attributes:
        code: one of the keys of `_SENTENCES`, UPPER_SNAKE and stable.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(_SENTENCES[code] + detail)
        self.code = code


def parse_object(data: bytes, *, bytes_max: int = ARGUMENTS_BYTES_MAX) -> dict[str, JsonValue]:
    """Read one JSON object, the arguments of a call.

    Args:
        data: UTF-8 text.
        bytes_max: the most that `data` may be long.

    Raises:
        MalformedJson: with NOT_AN_OBJECT for any other value, else as `parse_value`.
    """
    value = parse_value(data, bytes_max=bytes_max)
    if not isinstance(value, dict):
        raise MalformedJson("NOT_AN_OBJECT")
    return value


def parse_value(
    data: bytes,
    *,
    bytes_max: int,
    depth_max: int = JSON_DEPTH_MAX,
    nodes_max: int = JSON_NODES_MAX,
) -> JsonValue:
    """Read one JSON value, as strictly as the module says.

    Args:
        data: UTF-8 text.
        bytes_max: the most that `data` may be long.
        depth_max: how many arrays and objects may lie inside each other; `[]` has depth 1.
        nodes_max: how many values there may be; an array or object counts as one, a key as none.

    Raises:
        MalformedJson: `code` says which rule was broken, the first one found.
    """
    if len(data) > bytes_max:
        raise MalformedJson("TOO_LARGE", f" of {bytes_max} bytes.")
    _refuse_bombs(data, depth_max, nodes_max)
    try:
        value: JsonValue = _DECODER.decode(data.decode())
    except UnicodeDecodeError:
        raise MalformedJson("NOT_UTF8") from None
    except json.JSONDecodeError as error:
        raise MalformedJson("NOT_JSON", f" (line {error.lineno}, column {error.colno}).") from None
    if _ESCAPED_SURROGATE.search(data):
        _refuse_lone_surrogates(value)
    return value


_SENTENCES: Final = {
    "NOT_UTF8": "The text is not UTF-8.",
    "NOT_JSON": "The text is not one JSON value",
    "NOT_AN_OBJECT": "The JSON value is not an object.",
    "DUPLICATE_KEY": "An object names the same key twice.",
    "NOT_FINITE": "A number is NaN, infinite or beyond the range of a double.",
    "INTEGER_TOO_LARGE": "A number is beyond 2^53 - 1, where integers are inexact; send a string.",
    "NUMBER_TOO_LONG": f"A number has more than {JSON_NUMBER_CHARACTERS_MAX} characters.",
    "LONE_SURROGATE": "A string contains half of a surrogate pair, which is no character.",
    "TOO_DEEP": "Arrays and objects lie inside each other deeper than the bound",
    "TOO_MANY_NODES": "There are more values than the bound",
    "TOO_LARGE": "The text is longer than the bound",
}

_SPACE: Final = b" \t\n\r"
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - set(_STEPS))
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def _refuse_bombs(data: bytes, depth_max: int, nodes_max: int) -> None:
    """Bound depth and number of values while the text is still bytes.

    Counting brackets and commas wherever they stand can only overstate both, and settles nearly
    every call. Otherwise the insides of strings are taken away first; up to the first syntax error
    that splits the text exactly as a JSON reader does, and past it nothing is ever built.
    """
    openers = data.count(b"[") + data.count(b"{")
    if openers <= depth_max and openers + data.count(b",") < nodes_max:
        return
    outside = _without_strings(data, nodes_max)
    # A text within the bound on values has at most 8 brackets for each before its first error.
    _refuse_depth(outside.translate(None, _NO_BRACKETS)[: 8 * nodes_max], depth_max)
    # A value stands at the start, after every comma, and first in every array or object not empty.
    openers = outside.count(b"[") + outside.count(b"{")
    empty = outside.count(b"[]") + outside.count(b"{}")
    if 1 + outside.count(b",") + openers - empty > nodes_max:
        raise MalformedJson("TOO_MANY_NODES", f" of {nodes_max}.")


def _refuse_depth(brackets: bytes, depth_max: int) -> None:
    for depth in itertools.accumulate(map(_STEPS.__getitem__, brackets)):
        if depth > depth_max:
            raise MalformedJson("TOO_DEEP", f" of {depth_max}.")
        if depth == 0:  # the value has ended, and a reader stops here as well
            return


def _without_strings(data: bytes, nodes_max: int) -> bytes:
    """The text without white space, and with one quote in place of each string."""
    if b"\\" in data:
        # Left to right, as a reader takes escapes: of `\\\"` nothing is left, of `\\"` the quote.
        data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    # A value is at most a key and a string, and each of those has two quotes.
    if data.count(b'"') > 4 * nodes_max:
        raise MalformedJson("TOO_MANY_NODES", f" of {nodes_max}.")
    return b'"'.join(data.split(b'"')[::2]).translate(None, _SPACE)


def _refuse_lone_surrogates(value: JsonValue) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedJson("LONE_SURROGATE") from None


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJson("DUPLICATE_KEY")
    return members


def _integer(literal: str) -> int:
    if len(literal) > JSON_NUMBER_CHARACTERS_MAX:  # before int(), whose cost is quadratic
        raise MalformedJson("NUMBER_TOO_LONG")
    number = int(literal)
    if not -INTEGER_MAX <= number <= INTEGER_MAX:
        raise MalformedJson("INTEGER_TOO_LARGE")
    return number


def _fraction(literal: str) -> int | float:
    if len(literal) > JSON_NUMBER_CHARACTERS_MAX:
        raise MalformedJson("NUMBER_TOO_LONG")
    number = float(literal)
    if math.isinf(number) or (number == 0 and _names_more_than_zero(literal)):
        raise MalformedJson("NOT_FINITE")
    if not -INTEGER_MAX <= number <= INTEGER_MAX:
        raise MalformedJson("INTEGER_TOO_LARGE")
    return int(number) if number.is_integer() else number


def _names_more_than_zero(literal: str) -> bool:
    return bool(literal.lower().partition("e")[0].strip("-0."))


def _constant(_literal: str) -> NoReturn:
    raise MalformedJson("NOT_FINITE")


# The standard library's scanner in C; the hooks see each number and object once, innermost first.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_constant,
)
