"""A reviewer may have approved less than was asked: what that comes to, told leaf by leaf.

Pure, and of the call's own arguments alone: whoever asked knows all of them already.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def differences(asked: Mapping[str, Any], ran: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each place where something else stands: its JSON Pointer, what was asked and what ran.

    A list that lost elements is one such place, as a whole.
    """
    return _differences("", asked, ran)


def difference(asked: Mapping[str, Any], ran: Mapping[str, Any]) -> str:
    """What is there instead of what: `/amount_minor 4000 instead of 5500`.

    Args:
        asked: arguments as they were asked.
        ran: the same, with less in them.

    Returns:
        Each difference by JSON Pointer, commas between; a list that lost elements is told whole.
    """
    return ", ".join(
        f"{pointer} {_json(now)} instead of {_json(before)}"
        for pointer, before, now in differences(asked, ran)
    )


def put(arguments: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the arguments with values put in other values' places, by JSON Pointer.

    Raises:
        KeyError: a pointer names none of the arguments.
    """
    changed: dict[str, Any] = json.loads(json.dumps(arguments))
    for pointer, value in changes.items():
        place: Any = changed
        try:
            *above, last = (t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:])
            for token in above:
                place = place[int(token) if isinstance(place, list) else token]
            at = int(last) if isinstance(place, list) else last
            place[at]  # what is not there is not made less
        except (KeyError, IndexError, ValueError, TypeError):
            raise KeyError(f"The call has no argument {pointer}.") from None
        place[at] = value
    return changed


def _differences(pointer: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(now, Mapping) and before.keys() == now.keys():
        for key in before:
            token = key.replace("~", "~0").replace("/", "~1")
            yield from _differences(f"{pointer}/{token}", before[key], now[key])
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from _differences(f"{pointer}/{number}", one, other)
    elif _json(before) != _json(now):
        yield pointer, before, now


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
