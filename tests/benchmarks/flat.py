"""Whether a call costs the same however much is stored, how many tools and how much data there is.

    make bench BENCH=flat                          minutes, most of them filling
    make bench BENCH="flat --rows 1000 100000"     other sizes; likewise --tools and --entries
    make bench BENCH="flat --only tools"           one of rows, tools, data

Of each, a desk with few and a desk with many run beside each other and are called in turns, in
rounds whose order is drawn, so that whatever else the machine does falls on both. What counts is
the processor time of broker and OPA; beside it stands what a call took.

Stored rows are copies of a real call's, in sessions of their own, written by SQL: what is measured
is how reading, writing and their indices bear the size, not how it came about. They are no log that
a broker would start on, and none is started on it.
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
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks import processors
from tests.benchmarks.guarded_echo import MANIFEST
from tests.benchmarks.plain_desk import Desk, plain_desk
from tests.benchmarks.reckoning import Row, interval, keep, medians, show

ROWS = (1_000, 1_000_000)
TOOLS = (10, 10_000)
ENTRIES = (50, 5_000)
ROUNDS = 60
TURN = 6
WARM_CALLS = 100
CHUNK = 20_000
CALLS_A_SESSION = 100
TOOLS_A_REQUEST = 5_000
PUT_DEADLINE_S = 900.0
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
_NUMBERED = "'{}/' || printf('%036d', n)"
_SESSION = f"'sessions/' || printf('%036d', n / {CALLS_A_SESSION})"
_MADE: Mapping[str, Mapping[str, str]] = {
    "mandates": {
        "name": _NUMBERED.format("mandates"),
        "secret_digest": "randomblob(32)",
        "session": _NUMBERED.format("sessions"),
    },
    "sessions": {
        "name": _NUMBERED.format("sessions"),
        "mandate": _NUMBERED.format("mandates"),
        "state": "'CLOSED'",
    },
    "invocations": {
        "name": _NUMBERED.format("invocations"),
        "session": _SESSION,
        "request_id": "'filled-' || n",
    },
    "audit_entries": {
        "id": "'entries/' || printf('%030d', n) || '-' || t.rank",
        "invocation": _NUMBERED.format("invocations"),
        "sequence": "1000000000 + n * 10 + t.rank",
        "leaf_index": "1000000000 + n * 10 + t.rank",
    },
    "audit_contents": {"entry": "'entries/' || printf('%030d', n) || '-' || t.rank"},
}
"""What of a copied row is its own; `n` counts copies, and `t` is the row that is copied."""

_ENTRIES_OF_ONE = """
    SELECT e.*, row_number() OVER (ORDER BY e.sequence) AS rank FROM audit_entries e
    WHERE e.invocation <> ''  -- or the index of calls is not used, and each copy reads all entries
    AND e.invocation = (SELECT name FROM invocations WHERE request_id NOT LIKE 'filled-%' LIMIT 1)
"""
_COPIED = {
    "mandates": "SELECT * FROM mandates WHERE state = 'REDEEMED' LIMIT 1",
    "sessions": "SELECT * FROM sessions WHERE state = 'OPEN' LIMIT 1",
    "invocations": "SELECT * FROM invocations WHERE request_id NOT LIKE 'filled-%' LIMIT 1",
    "audit_entries": _ENTRIES_OF_ONE,
    "audit_contents": (
        f"SELECT c.*, e.rank FROM ({_ENTRIES_OF_ONE}) e JOIN audit_contents c ON c.entry = e.id"
    ),
}

Prepare = Callable[[Desk, Path, int], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing of which there is little or much.

    Attributes:
        what: with a place for the number.
        prepare: makes a desk have so much.
    """

    what: str
    prepare: Prepare


@dataclass(frozen=True, slots=True)
class _Quotient:
    above: str
    below: str

    def __call__(self, middle: Mapping[str, float]) -> float:
        return middle[self.above] / middle[self.below]


async def measure(directory: Path, part: Part, sizes: Sequence[int]) -> list[Row]:
    """A row for either size, and how the larger compares with the smaller."""
    few, many = min(sizes), max(sizes)
    async with contextlib.AsyncExitStack() as stack:
        desks = {
            size: await stack.enter_async_context(_prepared(directory / str(size), part, size))
            for size in (few, many)
        }
        rounds = await _rounds(desks)
    middle = medians(rounds)
    rows = [
        Row(
            what=f"a call, {part.what.format(size)}",
            measured=f"processor {middle[f'used {size}']:.0f} us, "
            f"p50 {middle[f'took {size}']:.0f} us",
            values={"processor_us": middle[f"used {size}"], "p50_us": middle[f"took {size}"]},
        )
        for size in (few, many)
    ]
    for name, key, goal in (("processor", "used", RATIO_MAX), ("p50", "took", None)):
        ratio, low, high = interval(rounds, _Quotient(f"{key} {many}", f"{key} {few}"))
        rows.append(
            Row(
                what=f"  the second of the first, {name}",
                measured=f"{ratio:.2f} x ({low:.2f} to {high:.2f})",
                goal=f"{goal} x" if goal else "",
                met=ratio <= goal if goal else None,
                values={"ratio": ratio, "low": low, "high": high},
            )
        )
    return rows


@contextlib.asynccontextmanager
async def _prepared(directory: Path, part: Part, size: int) -> AsyncIterator[Desk]:
    await asyncio.to_thread(directory.mkdir, parents=True)
    async with plain_desk(directory, sessions=8) as desk:
        await desk.call()
        begun_s = time.monotonic()
        await part.prepare(desk, directory, size)
        took_s = time.monotonic() - begun_s
        sys.stdout.write(f"{part.what.format(size)}: made in {took_s:.0f} s\n")
        sys.stdout.flush()
        for engine in processors.children(desk.broker, "opa"):
            processors.pin(engine, processors.OTHERS)
        for number in range(WARM_CALLS):
            await desk.call(number)
        yield desk


async def _rounds(desks: Mapping[int, Desk]) -> list[Mapping[str, Sequence[float]]]:
    """Microseconds that a call took, and of processor, by size."""
    drawing = random.Random(3)
    found: list[Mapping[str, Sequence[float]]] = []
    for _ in range(ROUNDS):
        taken: dict[str, Sequence[float]] = {}
        for size in drawing.sample(list(desks), len(desks)):
            desk = desks[size]
            await desk.call()  # what the other desk left in the caches is not this one's
            before = _used_s(desk)
            taken[f"took {size}"] = [await _call_us(desk, number) for number in range(TURN)]
            taken[f"used {size}"] = [(_used_s(desk) - before) / TURN * 1e6]
        found.append(taken)
    return found


def _used_s(desk: Desk) -> float:
    engines = processors.children(desk.broker, "opa")
    return sum(processors.used_s(one) for one in (desk.broker, *engines))


async def _call_us(desk: Desk, number: int) -> float:
    begun_s = time.perf_counter()
    await desk.call(number)
    return (time.perf_counter() - begun_s) * 1e6


async def _with_rows(desk: Desk, _: Path, size: int) -> None:
    await asyncio.to_thread(fill, desk.database, size)


async def _with_tools(desk: Desk, _: Path, size: int) -> None:
    """Beside the one that is called."""
    document = yaml.safe_load(MANIFEST.read_text("utf-8"))
    document = {name: value for name, value in document.items() if name != "sandbox"}
    made = [
        document | {"name": f"other_{number:05}", "runner": "worker"} for number in range(1, size)
    ]
    for begin in range(0, len(made), TOOLS_A_REQUEST):
        batch = made[begin : begin + TOOLS_A_REQUEST]
        await asyncio.to_thread(desk.operator.put_tools, batch, deadline_s=PUT_DEADLINE_S)


async def _with_data(desk: Desk, directory: Path, size: int) -> None:
    tree = directory / "policy"
    listed = {f"customers/{number}": {"refused": True} for number in range(size)}
    for name, text in (
        ("broker/rules/bench/bench.rego", FAMILY),
        ("parameters/bench/data.yaml", json.dumps({"listed": listed})),
    ):
        path = tree / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    await asyncio.to_thread(desk.operator.activate_policy, tree)


PARTS = {
    "rows": Part(what="{:,} invocations stored", prepare=_with_rows),
    "tools": Part(what="{:,} tools in force", prepare=_with_tools),
    "data": Part(what="{:,} entries of policy data", prepare=_with_data),
}


def fill(database: Path, size: int) -> None:
    """Copy the rows of one call, with all its entries, so many times."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute("PRAGMA synchronous = OFF")
        for begin in range(0, size, CHUNK):
            end = min(begin + CHUNK, size)
            connection.execute("BEGIN IMMEDIATE")
            for table in ("mandates", "sessions"):
                _copy(connection, table, begin // CALLS_A_SESSION, -(-end // CALLS_A_SESSION))
            for table in ("invocations", "audit_entries", "audit_contents"):
                _copy(connection, table, begin, end)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _copy(connection: sqlite3.Connection, table: str, begin: int, end: int) -> None:
    """Rows like those chosen of the table, each of whose names has a number of its own."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    made = _MADE[table]
    chosen = ", ".join(made.get(column, f"t.{column}") for column in columns)
    connection.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT {begin} UNION ALL SELECT n + 1 FROM numbers "
        f"WHERE n + 1 < {end}) INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {chosen} FROM numbers, ({_COPIED[table]}) t"
    )


def main(arguments: Sequence[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="flat", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs=2, default=list(ROWS))
    parser.add_argument("--tools", type=int, nargs=2, default=list(TOOLS))
    parser.add_argument("--entries", type=int, nargs=2, default=list(ENTRIES))
    parser.add_argument("--only", choices=list(PARTS), nargs="+", default=list(PARTS))
    parser.add_argument("--json", type=Path, help="also write the rows here")
    chosen = parser.parse_args(arguments)
    sizes = {"rows": chosen.rows, "tools": chosen.tools, "data": chosen.entries}
    os.sched_setaffinity(0, processors.OTHERS)
    rows: list[Row] = []

    async def collect(directory: Path) -> None:
        for name in chosen.only:
            found = await measure(directory / name, PARTS[name], sizes[name])
            show(found)
            rows.extend(found)

    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cb-") as directory:
        processors.run(collect(Path(directory)))
    load = f"{os.getloadavg()[0]:.1f}"
    sys.stdout.write(f"{time.monotonic() - begun_s:.0f} s, load {load}\n")
    if chosen.json is not None:
        keep(chosen.json, rows, {"load": load})
