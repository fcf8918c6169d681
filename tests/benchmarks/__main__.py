"""Measurements by name: `provenance`, and rows of the sandboxes' table, which is the default."""

import sys

from tests.benchmarks import provenance, sandboxes

if __name__ == "__main__":
    named = sys.argv[1:]
    if "provenance" in named:
        provenance.main()
    if named != ["provenance"]:
        sandboxes.main([name for name in named if name != "provenance"])
