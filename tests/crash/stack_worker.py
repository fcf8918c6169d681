"""The worker of the full stack: tools whose effect is a line that is appended and synced.

Run as a process. STACK_LEDGER names the file, STACK_DATABASE the database, which each effect looks
into beforehand with a connection of its own. What cannot look has no effect and says so.
"""

import asyncio
import os
import sqlite3
from pathlib import Path

import psycopg

from broker.sdk import Call, ToolFailed, Worker
from tests.crash.ledger import Ledger

worker = Worker(slots=16, drain_s=1.0)
_DATABASE = os.environ["STACK_DATABASE"]
_FILE = "sqlite:///"
ledger = Ledger(
    path=Path(os.environ["STACK_LEDGER"]),
    database=Path(_DATABASE.removeprefix(_FILE)) if _DATABASE.startswith(_FILE) else _DATABASE,
    known_keys=frozenset({"send"}),
    point=lambda _: None,
)


async def _carry_out(call: Call, *, order: str, amount_minor: int, linger_ms: int) -> str:
    del order, amount_minor
    await asyncio.sleep(linger_ms / 2_000)
    try:
        await asyncio.to_thread(
            ledger.write,
            invocation=call.invocation,
            tool=call.tool,
            attempt=call.attempt,
            fence=f"{call.invocation} {call.attempt}",
        )
    except (sqlite3.Error, psycopg.Error) as away:
        raise ToolFailed("NOT_WITNESSED", "Nothing was done: the database is away.") from away
    await asyncio.sleep(linger_ms / 2_000)
    return call.invocation


for name in ("pay", "send"):
    worker.tool(name)(_carry_out)

if __name__ == "__main__":
    worker.run()
