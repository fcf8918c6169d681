"""Measurements by name: `whole`, the default, `sandboxes` or rows of it, `pages`, `provenance`."""

import sys

from tests.benchmarks import pages, provenance, sandboxes, whole

ALONE = {"pages": pages.main, "provenance": provenance.main}

if __name__ == "__main__":
    named = sys.argv[1:]
    if not named or named[0].startswith("-") or named[0] == "whole":
        whole.main(named[1:] if named[:1] == ["whole"] else named)
        sys.exit()
    for name, measure in ALONE.items():
        if name in named:
            measure()
    rows = [name for name in named if name not in {*ALONE, "sandboxes"}]
    if rows or "sandboxes" in named:
        sandboxes.main(rows)
