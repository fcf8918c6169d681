"""Rows of a table with what each was measured and wanted to be, as text and as JSON.

A ratio is of medians, and its interval is what nine of ten resamplings of the rounds give: rounds
are drawn whole, so that whatever else the machine did in one falls on all that was measured in it.
"""

import json
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESAMPLINGS = 1_000
Round = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        measured: as shown.
        goal: as shown; empty where there is none.
        met: None where there is no goal.
        values: the same as numbers, for the JSON.
    """

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None
    values: Mapping[str, float] = field(default_factory=dict)


def show(rows: Sequence[Row]) -> None:
    """Write rows to the terminal."""
    for row in rows:
        verdict = {None: "", True: "met", False: "MISSED"}[row.met]
        goal = f"goal {row.goal}" if row.goal else ""
        sys.stdout.write(f"{row.what:<40} {row.measured:<44} {goal:<16} {verdict}".rstrip() + "\n")
    sys.stdout.flush()


def keep(path: Path, rows: Sequence[Row], about: Mapping[str, str]) -> None:
    """Write rows as JSON."""
    document = {"about": dict(about), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def medians(rounds: Sequence[Round]) -> dict[str, float]:
    """Over all rounds, by kind."""
    return {
        kind: statistics.median([value for one in rounds for value in one[kind]])
        for kind in rounds[0]
    }


def interval(
    rounds: Sequence[Round], ratio: Callable[[Mapping[str, float]], float]
) -> tuple[float, float, float]:
    """A ratio of medians, with the ends of its interval of 90 %.

    Returns:
        The ratio over all rounds, the fifth and the ninety-fifth of a hundred resamplings.
    """
    drawing = random.Random(7)
    drawn = sorted(
        ratio(medians(drawing.choices(rounds, k=len(rounds)))) for _ in range(RESAMPLINGS)
    )
    return ratio(medians(rounds)), drawn[RESAMPLINGS // 20], drawn[-RESAMPLINGS // 20]


def p99(values: Sequence[float]) -> float:
    """The slowest, where there are fewer than a hundred."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
