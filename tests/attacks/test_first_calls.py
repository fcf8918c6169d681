"""A tool's schemas are compiled at its first call; nobody else waits for that."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from typing import Any

from broker.core.compiling import compiled
from broker.core.control import RegisteredTool
from broker.core.lifecycle import InvocationState as State
from broker.core.manifest import parse
from broker.core.schemas import Validator
from broker.enforcer.compiling import Compiler
from tests.world import REFUND, world

HEAVY: dict[str, Any] = {
    f"p{number}": {"type": "string", "maxLength": 60, "pattern": rf"^[\p{{L}}]{{1,60}}{number}$"}
    for number in range(32)
}


async def test_the_first_call_of_a_heavy_tool_leaves_the_loop_to_others(tmp_path: Path):
    """Have a tool put in force that has as many patterns as one may, restart the broker, and call
    it: everybody else's calls, streams and permits stand still for seconds."""
    arguments = REFUND["arguments"]
    properties = {**arguments["properties"], **HEAVY}
    async with world(tmp_path) as w:
        await w.put_tool(REFUND, arguments={**arguments, "properties": properties})
        assert not w.room.current().tools["refund"].is_compiled
        caller = await w.caller()
        begun = time.monotonic()
        watching = asyncio.create_task(_longest_pause_s())
        assert (await w.refund(caller)).state is State.SUCCEEDED
        took_s = time.monotonic() - begun
        watching.cancel()
        assert await watching < took_s * 0.6  # compiled on the loop, nearly all of it


async def test_many_first_calls_at_once_compile_a_tool_once():
    """Ask a hundred times at once before a tool was ever called."""
    tool = compiled(parse(REFUND))
    noted = _Noted()
    later = RegisteredTool(
        manifest=tool.manifest, output=tool.output, arguments=noted, result=tool.result
    )
    compiler = Compiler()
    await asyncio.gather(*(compiler.ready(later) for _ in range(100)))
    await compiler.ready(later)
    assert later.is_compiled
    assert [thread is threading.main_thread() for thread in noted.compiled_in] == [False]


async def _longest_pause_s() -> float:
    """For how long nobody had the loop, at most, until it is cancelled."""
    longest_s, at = 0.0, time.monotonic()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest_s, at = max(longest_s, now - at), now
    return longest_s


class _Noted(Validator):
    """Says in which threads it was compiled."""

    __slots__ = ("compiled_in",)

    def __init__(self) -> None:
        self.compiled_in: list[threading.Thread] = []

    @property
    def is_compiled(self) -> bool:
        return bool(self.compiled_in)

    def compile(self) -> None:
        if not self.is_compiled:
            self.compiled_in.append(threading.current_thread())
