"""How the answer depends on one integer: asked at every number that a rule compared it with.

Between two numbers that are answered alike the answer may still differ, but only if it turns on
something that no rule was seen to compare; between two that are answered otherwise the border is
sought until it is exact. Where no end is met, none is claimed.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Effect
from broker.core.explanation import Band, Scale
from broker.policy.explaining.asking import Asked
from broker.policy.explaining.meaning import Steps, pointer_at
from broker.policy.explaining.otherwise import Proposal, with_value

INTEGER_MAX: Final = 2**53 - 1
_POINTS_MAX: Final = 160
_ROUND: Final = 24
_ROUNDS_MAX: Final = 14


def scale(
    asked: Asked,
    question: Mapping[str, JsonValue],
    at: Steps,
    *,
    value: int,
    landmarks: Iterable[int],
) -> Scale:
    """Ask the policy along one integer of the question.

    Args:
        asked: the policy.
        question: everything else.
        at: where the integer is.
        value: what it is there.
        landmarks: what it may be compared with.

    Raises:
        NotFollowed: the questions were too many.
        PolicyUnavailable: OPA cannot be run.
    """
    near = sorted({value, 0, *landmarks}, key=lambda point: abs(point - value))[: _POINTS_MAX // 3]
    points = {
        min(max(one + step, -INTEGER_MAX), INTEGER_MAX) for one in near for step in (-1, 0, 1)
    }
    points |= {max(near) * 2 + 1, max(near) * 100 + 1}
    if min(near) >= 0:  # an amount or a count: nothing is said of what is below nothing
        points = {point for point in points if point >= 0}
    known: dict[int, Effect] = {}
    _ask(asked, question, at, points, known)
    for _ in range(_ROUNDS_MAX):
        between = _between(known)
        if not between:
            break
        _ask(asked, question, at, between, known)
    return Scale(pointer=pointer_at(at), value=value, bands=tuple(_bands(known)))


def around(found: Scale, value: int) -> Band | None:
    """The numbers around one that are answered alike, or less strictly."""
    bands = found.bands
    places = [number for number, band in enumerate(bands) if _is_in(band, value)]
    if not places:
        return None
    first = last = places[0]
    effect = bands[first].effect
    while first > 0 and bands[first - 1].effect >= effect:
        first -= 1
    while last + 1 < len(bands) and bands[last + 1].effect >= effect:
        last += 1
    return Band(effect=effect, lowest=bands[first].lowest, highest=bands[last].highest)


def _is_in(band: Band, value: int) -> bool:
    above = band.lowest is None or band.lowest <= value
    return above and (band.highest is None or value <= band.highest)


def _ask(
    asked: Asked,
    question: Mapping[str, JsonValue],
    at: Steps,
    points: Iterable[int],
    known: dict[int, Effect],
) -> None:
    wanted = sorted(set(points) - known.keys())
    questions = [with_value(question, Proposal(at=at, value=point)) for point in wanted]
    opinions = asked.opinions([one for one in questions if one is not None])
    known.update(
        (point, min(verdict.effect for verdict in opinion.verdicts))
        for point, opinion in zip(wanted, opinions, strict=True)
    )


def _between(known: Mapping[int, Effect]) -> set[int]:
    """Numbers to ask between neighbours that differ and are not next to each other."""
    points = sorted(known)
    found: set[int] = set()
    for low, high in itertools.pairwise(points):
        if known[low] is not known[high] and high - low > 1:
            step = max((high - low) // _ROUND, 1)
            found.update(range(low + step, high, step))
    return found


def _bands(known: Mapping[int, Effect]) -> list[Band]:
    points = sorted(known)
    starts = [
        number
        for number, point in enumerate(points)
        if number == 0 or known[point] is not known[points[number - 1]]
    ]
    return [
        Band(
            effect=known[points[start]],
            lowest=None if start == 0 else points[start],
            highest=None if end == len(points) else points[end - 1],
        )
        for start, end in zip(starts, [*starts[1:], len(points)], strict=True)
    ]
