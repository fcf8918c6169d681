"""Replays recorded traffic and prints a table.

python -m tests.replay [SUITE …] [--fuzz | --adaptive] [--preset balanced|strict]
"""
# ruff: noqa: T201 - printing is what it is for

import argparse
import sys
import time

from tests.replay.evaluation import (
    ABSENT,
    AGENTDOJO,
    SUITES,
    evaluator,
    fuzzed,
    replayed,
)
from tests.replay.table import COLUMNS, FUZZ_COLUMNS, heading, line

NAMES = {AGENTDOJO: "agentdojo"}


def rows(named: list[str], *, adaptive: bool, fuzz: bool) -> list[tuple[str, ...]]:
    """The suites of each row: those that are named, or all, workspace and banking pooled."""
    if named:
        return [(suite,) for suite in named]
    if adaptive:
        return [AGENTDOJO]
    if fuzz:
        return [(suite,) for suite in SUITES]
    return [AGENTDOJO, *((suite,) for suite in SUITES if suite not in AGENTDOJO)]


def main() -> int:
    """Print one row a suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="all where left out")
    parser.add_argument("--fuzz", action="store_true", help="invalid arguments, missing scopes")
    parser.add_argument("--adaptive", action="store_true", help="attackers know the directory")
    parser.add_argument("--preset", default="", help="of the policy")
    given = parser.parse_args()
    if evaluator() is None:
        print(ABSENT)
        return 2
    columns = FUZZ_COLUMNS if given.fuzz else COLUMNS
    print(heading(columns))
    for suites in rows(given.suites, adaptive=given.adaptive, fuzz=given.fuzz):
        begun = time.perf_counter()
        row = (
            fuzzed(*suites)
            if given.fuzz
            else replayed(
                *suites, name=NAMES.get(suites, ""), preset=given.preset, adaptive=given.adaptive
            )
        )
        print(f"{line(row, columns)}  {time.perf_counter() - begun:6.1f} s", flush=True)
        for failure in row.get("failures", []):
            print(f"  {failure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
