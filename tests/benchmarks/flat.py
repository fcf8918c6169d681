"""Whether a call costs the same however much is stored, and however much data policy has.

    make bench BENCH=flat                      minutes, most of them filling
    make bench BENCH="flat --rows 1000 100000"  other sizes

Rows are copies of a real call's, of a session of their own, written by SQL: what is measured is how
reading, writing and their indices bear the size, not how it came about. Beside each size the bare
echo and hop is measured in turns, so that a machine that is busier by then does not count.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks import processors
from tests.benchmarks.floors import Floors, floors
from tests.benchmarks.plain_desk import Desk, plain_desk
from tests.benchmarks.reckoning import Row, keep, medians, show

SIZES = (1_000, 1_000_000)
ENTRIES = (50, 5_000)
ROUNDS = 40
TURN = 6
WARM_CALLS = 100
CHUNK = 50_000
RATIO_MAX = 1.2
FAMILY = """\
# METADATA
# title: Those who may never call
# description: A table that is looked into on each call.
package broker.rules.bench

verdicts contains {"effect": "DENY", "code": "BENCH_LISTED", "message": "Listed."} if {
	data.parameters.bench.listed[input.principal.id].refused
}
"""
_COPIED = {
    "invocations": ("name", "request_id"),
    "audit_entries": ("id", "invocation", "sequence", "leaf_index"),
    "audit_contents": ("entry",),
}


async def measure(directory: Path, sizes: Sequence[int]) -> list[Row]:
    """One row for each size of either kind, and how the largest compares with the smallest."""
    found: list[tuple[int, float, float, float]] = []
    async with plain_desk(directory, sessions=8) as desk, floors(desk, directory) as bare:
        filled = 0
        for size in sizes:
            await asyncio.to_thread(fill, desk.database, filled, size)
            filled = size
            for number in range(WARM_CALLS):
                await desk.call(number)
                await bare.hop()
            found.append((size, *await _cost(desk, bare)))
        data = [(count, *await _with_data(directory, desk, bare, count)) for count in ENTRIES]
    rows = _rows("{:,} invocations stored", found)
    return rows + _rows("{:,} entries of policy data", data)


async def _with_data(
    directory: Path, desk: Desk, bare: Floors, entries: int
) -> tuple[float, float, float]:
    """The cost under a policy with so many entries of data."""
    tree = directory / f"policy-{entries}"
    listed = {f"customers/{number}": {"refused": True} for number in range(entries)}
    for name, text in (
        ("broker/rules/bench/bench.rego", FAMILY),
        ("parameters/bench/data.yaml", json.dumps({"listed": listed})),
    ):
        path = tree / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    await asyncio.to_thread(desk.operator.activate_policy, tree)
    for engine in processors.children(desk.broker, "opa"):
        processors.pin(engine, processors.OTHERS)
    for number in range(WARM_CALLS):
        await desk.call(number)
    return await _cost(desk, bare)


def _rows(what: str, found: Sequence[tuple[int, float, float, float]]) -> list[Row]:
    rows = [
        Row(
            what=f"a call, {what.format(size)}",
            measured=f"{call * 1e6:.0f} us; {ratio:.2f} x echo and hop; processor {used:.0f} us",
            values={"p50_us": call * 1e6, "ratio": ratio, "processor_us": used},
        )
        for size, call, ratio, used in found
    ]
    grown = found[-1][2] / found[0][2]
    rows.append(
        Row(
            what="  the last of the first",
            measured=f"{grown:.2f} x",
            goal=f"{RATIO_MAX} x",
            met=grown <= RATIO_MAX,
            values={"ratio": grown},
        )
    )
    return rows


async def _cost(desk: Desk, bare: Floors) -> tuple[float, float, float]:
    """Median seconds of a call, the same of echo and hop, microseconds of processor."""
    drawing = random.Random(3)
    rounds: list[Mapping[str, Sequence[float]]] = []
    used = 0.0
    for _ in range(ROUNDS):
        taken: dict[str, Sequence[float]] = {}
        for kind in drawing.sample(["call", "hop"], 2):
            before = processors.used_s(desk.broker)
            taken[kind] = [
                await (bare.hop() if kind == "hop" else _call(desk, number))
                for number in range(TURN)
            ]
            used += (processors.used_s(desk.broker) - before) if kind == "call" else 0.0
        rounds.append(taken)
    middle = medians(rounds)
    return middle["call"], middle["call"] / middle["hop"], used / (ROUNDS * TURN) * 1e6


async def _call(desk: Desk, number: int) -> float:
    begun_s = time.perf_counter()
    await desk.call(number)
    return time.perf_counter() - begun_s


def fill(database: Path, have: int, size: int) -> None:
    """Copy the rows of one call until there are so many invocations more than were called."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute("PRAGMA synchronous = OFF")
        for begin in range(have, size, CHUNK):
            connection.execute("BEGIN IMMEDIATE")
            for table in _COPIED:
                _copy(connection, table, begin, min(begin + CHUNK, size))
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _copy(connection: sqlite3.Connection, table: str, begin: int, end: int) -> None:
    """Rows like the first of the table, each of whose names is a number of its own."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    like = "invocation <> ''" if table == "audit_entries" else "1"
    made = {
        "name": "'invocations/' || printf('%036d', n)",
        "request_id": "'filled-' || n",
        "id": "'entries/' || printf('%036d', n)",
        "entry": "'entries/' || printf('%036d', n)" if table == "audit_contents" else "entry",
        "invocation": "'invocations/' || printf('%036d', n)",
        "sequence": "1000000000 + n",
        "leaf_index": "1000000000 + n",
    }
    chosen = ", ".join(
        made[column] if column in _COPIED[table] else f"t.{column}" for column in columns
    )
    connection.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT {begin} UNION ALL SELECT n + 1 FROM numbers "
        f"WHERE n + 1 < {end}) INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {chosen} FROM (SELECT * FROM {table} WHERE {like} ORDER BY 1 LIMIT 1) t, numbers"
    )


def main(arguments: Sequence[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="flat", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--json", type=Path, help="also write the rows here")
    chosen = parser.parse_args(arguments)
    os.sched_setaffinity(0, processors.OTHERS)
    rows: list[Row] = []

    async def collect(directory: Path) -> None:
        rows.extend(await measure(directory, sorted(chosen.rows)))

    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cb-") as directory:
        processors.run(collect(Path(directory)))
    show(rows)
    sys.stdout.write(f"{time.monotonic() - begun_s:.0f} s\n")
    if chosen.json is not None:
        keep(chosen.json, rows, {"load": f"{os.getloadavg()[0]:.1f}"})
