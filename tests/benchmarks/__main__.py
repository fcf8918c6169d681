"""Measurements by name: `whole`, the default; `fair`, `flat`, `pages`, `peers`, `provenance`.

What follows `whole` or `flat` is theirs; rows of the sandboxes' table may be named too.
"""

import sys

from tests.benchmarks import fair, flat, pages, peers, provenance, sandboxes, whole

ALONE = {
    "fair": fair.main,
    "pages": pages.main,
    "peers": peers.main,
    "provenance": provenance.main,
}
WITH_ARGUMENTS = {"whole": whole.main, "flat": flat.main}

if __name__ == "__main__":
    named = sys.argv[1:]
    if not named or named[0].startswith("-"):
        named = ["whole", *named]
    if named[0] in WITH_ARGUMENTS:
        WITH_ARGUMENTS[named[0]](named[1:])
        sys.exit()
    for name, measure in ALONE.items():
        if name in named:
            measure()
    rows = [name for name in named if name not in {*ALONE, "sandboxes"}]
    if rows or "sandboxes" in named:
        sandboxes.main(rows)
