"""The parts of `make test`: every file of tests is in exactly one, and each part has a budget.

A budget is what the part takes on two cores with another beside it, and room. Nothing fails because
a machine is slow: a part over its budget is told, and one that has taken `LIMIT` times as much is
taken to hang, and ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
ALL_MINUTES_MAX: Final = 45
STATIC_S: Final = 120
"""What set-up that finds everything there, and the static checks, take before the first part."""
LANES_MAX: Final = 2
LIMIT: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Tests that run in one process; its paths are files and folders, from the root."""

    name: str
    paths: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    budget_s: int

    @property
    def limit_s(self) -> int:
        """How long it may take at all."""
        return LIMIT * self.budget_s

    def files(self, root: Path = ROOT) -> frozenset[Path]:
        """The files of tests that are in it."""
        return _files(root, self.paths) - _files(root, self.left_out)


# An engine with its images takes most of a minute to make: parts that need none do without.
PARTS: Final = (
    Part(name="units", paths=("tests/unit", "tests/project"), budget_s=540),
    Part(name="properties", paths=("tests/properties",), budget_s=180),
    Part(name="docs", paths=("tests/docs",), budget_s=420),
    Part(name="contracts", paths=("tests/contracts",), budget_s=420),
    Part(name="crash", paths=("tests/crash",), budget_s=180),
    Part(name="e2e", paths=("tests/e2e",), budget_s=840),
    Part(
        name="attacks",
        paths=("tests/attacks",),
        left_out=("tests/attacks/sandbox",),
        budget_s=480,
    ),
    Part(name="sandboxes", paths=("tests/attacks/sandbox",), budget_s=420),
    Part(name="browser", paths=("tests/browser",), budget_s=420),
    Part(name="policies", paths=("tests/policies",), budget_s=300),
    Part(name="replay", paths=("tests/replay",), budget_s=900),
)


def longest_first(parts: Sequence[Part]) -> list[Part]:
    """The order in which lanes take them: what is short fills the gaps at the end."""
    return sorted(parts, key=lambda part: (-part.budget_s, part.name))


def lasting_s(parts: Sequence[Part], lanes: int) -> int:
    """When the last lane is done if each part takes all of its budget."""
    done_at = [0] * lanes
    for part in longest_first(parts):
        first = min(range(lanes), key=done_at.__getitem__)
        done_at[first] += part.budget_s
    return max(done_at)


def _files(root: Path, paths: Sequence[str]) -> frozenset[Path]:
    found: set[Path] = set()
    for path in paths:
        named = root / path
        found |= {named} if named.is_file() else set(named.rglob("test_*.py"))
    return frozenset(found)
