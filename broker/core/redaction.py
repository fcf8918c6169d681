"""What is taken out of a result is replaced by a mark; where that is not possible, it says so.

Either at places that a rule names, or wherever a `Detector` finds what it is for. The mark shows
that something was there: a result must not look whole where it is not.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.detection import KINDS, Detector, Span, TooMuchToLookAt, tells
from broker.core.pointers import Pointer

REDACTED: Final = "[REDACTED]"
# Between texts that are searched as one: a space to every pattern of `detection` but its keys'.
_APART: Final = "\x1e"


class Unreachable(Exception):
    """Where the value should be there is something of another kind, and it may be in there."""


def redacted(value: JsonValue, pointers: Iterable[Pointer]) -> JsonValue:
    """The value with these places replaced; as it is where there is no such place.

    Raises:
        Unreachable: an array has no member of such a name, or text has no members at all.
    """
    for pointer in pointers:
        value = _replaced(value, pointer.tokens)
    return value


def scanned(value: JsonValue, kinds: Iterable[str]) -> JsonValue:
    """The value without what looks like something of these kinds.

    In texts the mark replaces what was found, and no more. A number, or a member that tells by its
    name what it holds, is replaced whole.

    Args:
        value: a result, at most `limits.RESULT_BYTES_MAX` bytes of JSON.
        kinds: some of `detection.KINDS`; with another, all are looked for.

    Raises:
        Unreachable: it is in the name of a member, which nobody could replace without its meaning;
            or there is more to look at than anybody writes.
    """
    wanted = frozenset(kinds)
    detector = Detector(kinds=KINDS if wanted - KINDS else wanted)
    texts: list[str] = []
    _collect(value, texts)
    try:
        spans = detector.spans(_APART.join(texts))
    except TooMuchToLookAt as too_much:
        raise Unreachable from too_much
    return _without(value, _dealt(texts, spans), tells_names="secrets" in detector.kinds)


def _replaced(value: JsonValue, tokens: tuple[str, ...]) -> JsonValue:
    if not tokens:
        return REDACTED
    head, rest = tokens[0], tokens[1:]
    if isinstance(value, dict):
        return {k: _replaced(v, rest) if k == head else v for k, v in value.items()}
    if isinstance(value, list) and head.isdecimal():
        return [_replaced(v, rest) if str(i) == head else v for i, v in enumerate(value)]
    if value is None:
        return None
    raise Unreachable


def _collect(value: JsonValue, texts: list[str]) -> None:
    """Every text, number and name of a member, in the order of `_without`."""
    match value:
        case str():
            texts.append(value)
        case dict():
            for name, member in value.items():
                texts.append(name)
                _collect(member, texts)
        case list():
            for item in value:
                _collect(item, texts)
        case bool() | None:
            pass
        case _:
            texts.append(str(value))


def _dealt(texts: Iterable[str], spans: Iterable[Span]) -> Iterator[list[Span]]:
    """What was found in each text, counted from its own beginning. No span is in two of them."""
    left = iter(spans)
    span = next(left, None)
    begins = 0
    for text in texts:
        ends = begins + len(text)
        own: list[Span] = []
        while span is not None and span[0] < ends:
            own.append((span[0] - begins, span[1] - begins))
            span = next(left, None)
        yield own
        begins = ends + len(_APART)


def _without(value: JsonValue, found: Iterator[list[Span]], *, tells_names: bool) -> JsonValue:
    match value:
        case str():
            return _cut(value, next(found))
        case dict():
            left: dict[str, JsonValue] = {}
            for name, member in value.items():
                if next(found):
                    raise Unreachable
                clean = _without(member, found, tells_names=tells_names)
                is_empty = member is None or member == "" or isinstance(member, bool)
                is_secret = tells_names and not is_empty and tells(name)
                left[name] = REDACTED if is_secret else clean
            return left
        case list():
            return [_without(item, found, tells_names=tells_names) for item in value]
        case bool() | None:
            return value
        case _:
            return REDACTED if next(found) else value


def _cut(text: str, spans: Iterable[Span]) -> str:
    kept: list[str] = []
    at = 0
    for first, after in spans:
        kept += [text[at:first], REDACTED]
        at = after
    return "".join([*kept, text[at:]])
