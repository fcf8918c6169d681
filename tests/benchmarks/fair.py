"""What one agent's flood costs the others: their p99 beside it, and the same without it.

    make bench BENCH=fair

One agent keeps 64 calls in flight: good ones, bytes that are no JSON, arguments of 200 kB that no
schema accepts, and tools that are not there. Four others call one at a time. Quiet and flooded
rounds are measured in turns, so that whatever else the machine does falls on both.
"""

import asyncio
import contextlib
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import grpc

from broker.v1 import broker_pb2
from tests.benchmarks.plain_desk import ARGUMENTS, CALL_DEADLINE_S, UNSANDBOXED, Desk, plain_desk
from tests.benchmarks.reckoning import Row, p99, show

OTHERS = 4
IN_FLIGHT = 64
ROUNDS = 6
CALLS = 60
WARM_CALLS = 100
GOAL = 2.0
BODIES = (
    (UNSANDBOXED, ARGUMENTS),
    (UNSANDBOXED, b'{"text":'),
    (UNSANDBOXED, b'{"text":"x","more":"' + b"y" * 200_000 + b'"}'),
    ("no_such_tool", ARGUMENTS),
)
_NUMBERS = itertools.count()


async def flood(desk: Desk, counted: list[int]) -> None:
    """One of those in flight: asks, whatever is answered, and asks again."""
    caller = desk.callers[0]
    while True:
        number = next(_NUMBERS)
        tool, arguments = BODIES[number % len(BODIES)]
        request = broker_pb2.InvokeRequest(
            session=caller.session,
            session_secret=caller.secret,
            request_id=f"flood-{number}",
            tool=tool,
            arguments_json=arguments,
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            await desk.invokes[0](request, metadata=caller.metadata, timeout=CALL_DEADLINE_S)
        counted.append(number)


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
    counted: list[int] = []
    async with plain_desk(directory, sessions=1 + OTHERS) as desk:
        for number in range(WARM_CALLS):
            await desk.call(number)
        for _ in range(ROUNDS):
            quiet += await others(desk)
            flooding = [asyncio.create_task(flood(desk, counted)) for _ in range(IN_FLIGHT)]
            flooded += await others(desk)
            for task in flooding:
                task.cancel()
            await asyncio.gather(*flooding, return_exceptions=True)
    ratio = p99(flooded) / p99(quiet)
    middle = statistics.median(flooded) / statistics.median(quiet)
    return [
        _row("p99 of the others, quiet", p99(quiet)),
        _row("p99 of the others, beside a flood", p99(flooded)),
        Row(what="calls of the flood that were answered", measured=str(len(counted))),
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


def _row(what: str, seconds: float) -> Row:
    return Row(what=what, measured=f"{seconds * 1e3:.1f} ms", values={"seconds": seconds})


def main() -> None:
    """Measure and show."""
    with tempfile.TemporaryDirectory() as directory:
        show(asyncio.run(measure(Path(directory))))
