"""A tool's first call waits for its schemas, and nobody else does: a thread compiles them.

One after another, in one thread: many first calls of one tool compile it once, and however many
tools are called for the first time, the loop has its share of the processor.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from broker.core.control import RegisteredTool


class Compiler:
    """Of all tools of this broker; its thread begins with the first."""

    def __init__(self) -> None:
        """Make one; nothing is compiled yet."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compiling")

    async def ready(self, tool: RegisteredTool | None) -> None:
        """Return once a tool's schemas can be used; at once where they can, or there is none."""
        if tool is not None and not tool.is_compiled:
            await asyncio.get_running_loop().run_in_executor(self._thread, tool.compile)
