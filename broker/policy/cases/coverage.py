"""A line counts as covered where nothing that begins on it was never true for any case.

OPA reports ranges: what was evaluated and held, and what never did. A rule whose head never held is
uncovered from its first line, whatever was evaluated within it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.policy.cases.running import Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of one file that say something.

    Attributes:
        covered: how many of them some case made hold.
        missed: the others, rising.
    """

    covered: int
    missed: tuple[int, ...]


def lines_of(coverages: Iterable[Coverage]) -> dict[str, Lines]:
    """By file, what all runs together covered."""
    held: dict[str, set[tuple[int, int, int, int]]] = {}
    missed: dict[str, set[tuple[int, int, int, int]]] = {}
    for coverage in coverages:
        for file, ranges in coverage.items():
            held.setdefault(file, set()).update(map(_range, ranges.get("covered", ())))
            missed.setdefault(file, set()).update(map(_range, ranges.get("not_covered", ())))
    return {file: _lines(held[file], missed[file] - held[file]) for file in held}


def _lines(held: set[tuple[int, int, int, int]], missed: set[tuple[int, int, int, int]]) -> Lines:
    begun = {start for start, _, _, _ in missed}
    covered = {row for start, _, end, _ in held for row in range(start, end + 1)}
    spoken = covered | {row for start, _, end, _ in missed for row in range(start, end + 1)}
    left = {row for row in spoken if row in begun or row not in covered}
    return Lines(covered=len(spoken - left), missed=tuple(sorted(left)))


def _range(told: Mapping[str, Mapping[str, int]]) -> tuple[int, int, int, int]:
    start, end = told["start"], told.get("end", told["start"])
    return start["row"], start.get("col", 0), end["row"], end.get("col", 0)
