"""Measurements by name: `pages`, `provenance`, and rows of the sandboxes' table, the default."""

import sys

from tests.benchmarks import pages, provenance, sandboxes

ALONE = {"pages": pages.main, "provenance": provenance.main}

if __name__ == "__main__":
    named = sys.argv[1:]
    for name, measure in ALONE.items():
        if name in named:
            measure()
    rows = [name for name in named if name not in ALONE]
    if rows or not named:
        sandboxes.main(rows)
