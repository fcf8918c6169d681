"""Replays recorded traffic and prints a table: python -m tests.replay [SUITE …] [--fuzz]."""
# ruff: noqa: T201 - printing is what it is for

import argparse
import sys
import time

from tests.replay.evaluation import ABSENT, SUITES, evaluator, fuzzed, replayed

_COLUMNS = (
    ("benign_calls", "benign"),
    ("benign_allow_pct", "allow %"),
    ("benign_deny_pct", "deny %"),
    ("holds_per_100_calls", "holds/100"),
    ("attack_traces", "attacks"),
    ("attack_block_pct", "blocked %"),
    ("attack_deny_pct", "denied %"),
    ("contract_violations", "violations"),
    ("call_ms_p50", "p50 ms"),
    ("call_ms_p99", "p99 ms"),
)
_FUZZ_COLUMNS = (
    ("invalid", "invalid"),
    ("invalid_denied", "denied"),
    ("out_of_scope", "out of scope"),
    ("out_of_scope_denied", "denied"),
)


def main() -> int:
    """Print one row a suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="all where left out")
    parser.add_argument("--fuzz", action="store_true", help="invalid arguments, missing scopes")
    given = parser.parse_args()
    if evaluator() is None:
        print(ABSENT)
        return 2
    columns = _FUZZ_COLUMNS if given.fuzz else _COLUMNS
    print(f"{'suite':20}" + "".join(f"{title:>13}" for _, title in columns) + f"{'took s':>9}")
    for suite in given.suites or SUITES:
        begun = time.perf_counter()
        row = fuzzed(suite) if given.fuzz else replayed(suite)
        cells = "".join(f"{'-' if row.get(k) is None else row[k]:>13}" for k, _ in columns)
        print(f"{suite:20}{cells}{time.perf_counter() - begun:9.1f}", flush=True)
        for failure in row.get("failures", []):
            print(f"  {failure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
