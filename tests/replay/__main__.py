"""Replays recorded traffic and prints a table: python -m tests.replay [SUITE …] [--fuzz]."""
# ruff: noqa: T201 - printing is what it is for

import argparse
import sys
import time

from tests.replay.evaluation import ABSENT, SUITES, evaluator, fuzzed, replayed
from tests.replay.table import COLUMNS, FUZZ_COLUMNS, heading, line


def main() -> int:
    """Print one row a suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="all where left out")
    parser.add_argument("--fuzz", action="store_true", help="invalid arguments, missing scopes")
    given = parser.parse_args()
    if evaluator() is None:
        print(ABSENT)
        return 2
    columns = FUZZ_COLUMNS if given.fuzz else COLUMNS
    print(heading(columns))
    for suite in given.suites or SUITES:
        begun = time.perf_counter()
        row = fuzzed(suite) if given.fuzz else replayed(suite)
        print(f"{line(row, columns)}  {time.perf_counter() - begun:6.1f} s", flush=True)
        for failure in row.get("failures", []):
            print(f"  {failure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
