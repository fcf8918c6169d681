"""A tool's first call waits for its schemas, and nobody else does: a thread compiles them.

One tool after another: many first calls of one tool compile it once, and however many tools are
called for the first time, the loop has its share of the processor.
"""

import asyncio

from broker.core.control import RegisteredTool


class Compiler:
    """Of all tools of this broker. For one event loop."""

    def __init__(self) -> None:
        """Make one; nothing is compiled yet."""
        self._turn = asyncio.Lock()

    async def ready(self, tool: RegisteredTool | None) -> None:
        """Return once a tool's schemas can be used; at once where they can, or there is none."""
        if tool is None or tool.is_compiled:
            return
        async with self._turn:
            if not tool.is_compiled:
                await asyncio.to_thread(tool.compile)
