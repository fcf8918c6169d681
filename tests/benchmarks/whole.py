"""What a whole call costs beside the floors under it, in one run.

    make bench                             the table, under five minutes
    make bench BENCH="whole --json FILE"   and the same as JSON
    make bench BENCH="whole --quick"       a tenth of the rounds

A call is decided under the shipped rules, recorded, handed to a worker, and its outcome recorded:
four processes, SQLite, nothing left out. What is compared is measured in turns, in rounds whose
order is drawn, so that whatever else the machine does falls on all of it. Nothing here fails a
build: a clock says as much about the machine as about the code.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import group_commit, processors
from tests.benchmarks.floors import Floors, floors
from tests.benchmarks.plain_desk import Desk, plain_desk
from tests.benchmarks.reckoning import Row, interval, keep, medians, p99, show

ROUNDS = 60
TURN = 6
PAIRS = 8
FLIGHT = 32
FLIGHT_S = 2.0
WARM_CALLS = 200
MB = 1_000_000
Timed = Callable[[], Awaitable[float]]


async def measure(directory: Path, *, share: float) -> list[Row]:
    """All rows; `share` of the rounds."""
    rows: list[Row] = []
    async with plain_desk(directory, sessions=FLIGHT) as desk:
        idle = processors.resident_bytes(desk.broker)
        rows.append(
            Row(
                what="memory of the idle broker",
                measured=f"{idle / MB:.0f} MB",
                goal="150 MB",
                met=idle < 150 * MB,
                values={"resident_bytes": idle},
            )
        )
        async with floors(desk, directory) as bare:
            for number in range(WARM_CALLS):
                await desk.call(number)
                await bare.hop()
                await bare.policy()
            rows += await latency(desk, bare, rounds=max(6, round(ROUNDS * share)))
            rows += await throughput(desk, bare, pairs=max(2, round(PAIRS * share)))
    rows += await group_commit.measure(directory, share=share)
    return rows


async def latency(desk: Desk, bare: Floors, *, rounds: int) -> list[Row]:
    """One call at a time, beside E + W + 2F + O."""
    kinds: dict[str, Timed] = {
        "E": bare.echo,
        "EW": bare.hop,
        "F": bare.append,
        "O": bare.policy,
        "call": lambda: _whole(desk),
    }
    drawing = random.Random(1)
    found: list[Mapping[str, Sequence[float]]] = []
    used = 0.0
    for _ in range(rounds):
        order = list(kinds)
        drawing.shuffle(order)
        taken: dict[str, list[float]] = {}
        for kind in order:
            await kinds[kind]()  # what the one before left in the caches is not this one's
            before = processors.used_s(desk.broker)
            taken[kind] = [await kinds[kind]() for _ in range(TURN)]
            if kind == "call":
                used += processors.used_s(desk.broker) - before
        found.append(taken)
    ratio, low, high = interval(found, lambda m: m["call"] / (m["EW"] + 2 * m["F"] + m["O"]))
    middle = medians(found)
    calls = [value for one in found for value in one["call"]]
    cpu_us = used / len(calls) * 1e6
    floor_us = (middle["EW"] + 2 * middle["F"] + middle["O"]) * 1e6
    return [
        _floor("E   bare echo by grpc.aio", middle["E"]),
        _floor("W   bare hop to a worker", middle["EW"] - middle["E"]),
        _floor(f"F   fdatasync of {bare.record_bytes} bytes", middle["F"]),
        _floor(f"O   OPA, raw, {bare.question_bytes} bytes", middle["O"]),
        Row(
            what="E + W + 2F + O",
            measured=f"{floor_us:.0f} us",
            values={"p50_us": floor_us},
        ),
        Row(
            what="a whole call, one at a time",
            measured=f"{middle['call'] * 1e6:.0f} us, p99 {p99(calls) * 1e6:.0f} us",
            values={"p50_us": middle["call"] * 1e6, "p99_us": p99(calls) * 1e6},
        ),
        Row(
            what="  over its floors",
            measured=f"{ratio:.2f} x ({low:.2f} to {high:.2f})",
            goal="1.8 x",
            met=ratio <= 1.8,
            values={"ratio": ratio, "low": low, "high": high},
        ),
        Row(
            what="  the broker's processor time",
            measured=f"{cpu_us:.0f} us a call",
            values={"processor_us": cpu_us},
        ),
    ]


async def throughput(desk: Desk, bare: Floors, *, pairs: int) -> list[Row]:
    """Many calls in flight beside as many bare hops, in turns."""
    found: list[Mapping[str, Sequence[float]]] = []
    servers = {"call": desk.broker, "hop": bare.server}
    used: dict[str, list[float]] = {"call": [], "hop": []}
    for number in range(pairs):
        taken: dict[str, list[float]] = {}
        for kind in ("call", "hop") if number % 2 else ("hop", "call"):
            before = processors.used_s(servers[kind])
            work = desk.call if kind == "call" else lambda _number: bare.hop()
            count, took_s = await _flight(work)
            taken[kind] = [count / took_s]
            used[kind].append((processors.used_s(servers[kind]) - before) / count * 1e6)
        found.append(taken)
    ratio, low, high = interval(found, lambda m: m["call"] / m["hop"])
    middle = medians(found)
    cpu_us, bare_us = statistics.median(used["call"]), statistics.median(used["hop"])
    return [
        Row(
            what=f"echo and hop, {FLIGHT} in flight",
            measured=f"{middle['hop']:.0f} a second",
            values={"per_second": middle["hop"]},
        ),
        Row(
            what=f"whole calls, {FLIGHT} in flight",
            measured=f"{middle['call']:.0f} a second",
            values={"per_second": middle["call"]},
        ),
        Row(
            what="  of the bare one",
            measured=f"{ratio:.2f} x ({low:.2f} to {high:.2f})",
            goal="0.5 x",
            met=ratio >= 0.5,
            values={"ratio": ratio, "low": low, "high": high},
        ),
        Row(
            what="  the broker's processor time",
            measured=f"{cpu_us:.0f} us a call; {bare_us:.0f} bare",
            values={"processor_us": cpu_us, "bare_us": bare_us},
        ),
    ]


async def _flight(work: Callable[[int], Awaitable[object]]) -> tuple[int, float]:
    """So many at once for a while; how many were answered, and in which time."""
    begun_s = time.perf_counter()

    async def one(number: int) -> int:
        count = 0
        while time.perf_counter() < begun_s + FLIGHT_S:
            await work(number)
            count += 1
        return count

    counts = await asyncio.gather(*(one(number) for number in range(FLIGHT)))
    return sum(counts), time.perf_counter() - begun_s


async def _whole(desk: Desk) -> float:
    begun_s = time.perf_counter()
    await desk.call()
    return time.perf_counter() - begun_s


def _floor(what: str, seconds: float) -> Row:
    return Row(what=what, measured=f"{seconds * 1e6:.0f} us", values={"p50_us": seconds * 1e6})


def about() -> dict[str, str]:
    """What the figures are of."""
    return {
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "grpcio": version("grpcio"),
    }


def main(arguments: Sequence[str]) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="whole", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    chosen = parser.parse_args(arguments)
    os.sched_setaffinity(0, processors.OTHERS)
    told = about()
    sys.stdout.write(", ".join(f"{name} {value}" for name, value in told.items()) + "\n")
    if float(told["load"]) > (os.cpu_count() or 1) / 2:
        sys.stdout.write("This machine is busy: times are not those at rest, ratios may hold.\n")
    begun_s = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="cb-") as directory:
        processors.run(_collect(rows, Path(directory), share=0.1 if chosen.quick else 1.0))
    show(rows)
    sys.stdout.write(f"{time.monotonic() - begun_s:.0f} s\n")
    if chosen.json is not None:
        keep(chosen.json, rows, told)


async def _collect(rows: list[Row], directory: Path, *, share: float) -> None:
    rows += await measure(directory, share=share)
