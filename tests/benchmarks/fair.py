"""What one agent's flood costs the others: their p99 beside it, and the same without it.

    make bench BENCH=fair

One agent keeps 64 calls in flight: good ones, bytes that are no JSON, arguments of 200 kB that no
schema accepts, and tools that are not there. Four others call one at a time. Quiet and flooded
rounds are measured in turns, so that whatever else the machine does falls on both.
"""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks import processors
from tests.benchmarks.guarded_echo import UNSANDBOXED, process
from tests.benchmarks.plain_desk import CALL_DEADLINE_S, Desk, plain_desk
from tests.benchmarks.reckoning import Row, p99, show

OTHERS = 4
BEGUN_S = 1.5
ROUNDS = 6
CALLS = 60
WARM_CALLS = 100
GOAL = 2.0


async def others(desk: Desk) -> list[float]:
    """Seconds that each call of the others took; all of them succeed."""

    async def one(number: int) -> list[float]:
        taken = []
        for _ in range(CALLS):
            caller = desk.callers[number]
            began = time.perf_counter()
            await desk.invokes[1 + number % 3](
                caller.request(), metadata=caller.metadata, timeout=CALL_DEADLINE_S
            )
            taken.append(time.perf_counter() - began)
        return taken

    found = await asyncio.gather(*(one(1 + number) for number in range(OTHERS)))
    return [seconds for each in found for seconds in each]


async def measure(directory: Path) -> list[Row]:
    """Quiet and flooded, in turns."""
    quiet: list[float] = []
    flooded: list[float] = []
    async with plain_desk(directory, sessions=1 + OTHERS) as desk:
        for number in range(WARM_CALLS):
            await desk.call(number)
        for _ in range(ROUNDS):
            quiet += await others(desk)
            async with process("tests.benchmarks.flooding_agent", **_flood(desk)):
                await asyncio.sleep(BEGUN_S)
                flooded += await others(desk)
    ratio = p99(flooded) / p99(quiet)
    middle = statistics.median(flooded) / statistics.median(quiet)
    return [
        _row("p99 of the others, quiet", p99(quiet)),
        _row("p99 of the others, beside a flood", p99(flooded)),
        Row(
            what="median beside a flood / quiet",
            measured=f"{middle:.2f}",
            values={"ratio": middle},
        ),
        Row(
            what="p99 beside a flood / quiet",
            measured=f"{ratio:.2f}",
            goal=f"{GOAL:.1f}",
            met=ratio <= GOAL,
            values={"ratio": ratio},
        ),
    ]


def _flood(desk: Desk) -> dict[str, str]:
    """What the agent that floods is told, by variables of its environment."""
    caller = desk.callers[0]
    return {
        "FLOOD_ADDRESS": desk.address,
        "FLOOD_TOOL": UNSANDBOXED,
        "FLOOD_SESSION": caller.session,
        "FLOOD_SECRET": caller.secret,
        "FLOOD_TOKEN": caller.metadata[0][1].removeprefix("Bearer "),
    }


def _row(what: str, seconds: float) -> Row:
    return Row(what=what, measured=f"{seconds * 1e3:.1f} ms", values={"seconds": seconds})


def main() -> None:
    """Measure and show."""
    processors.pin(os.getpid(), processors.OTHERS)  # and whoever floods: the broker has its own
    with tempfile.TemporaryDirectory() as directory:
        show(asyncio.run(measure(Path(directory))))
