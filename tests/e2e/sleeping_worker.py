"""The one tool of `test_kill_nine`: writes down that it began, waits to be let go, and writes down
that it paid. Run as a process; `JOURNAL` is a directory."""

import asyncio
import os
from pathlib import Path

from broker.sdk import Call, Worker

worker = Worker()
JOURNAL = Path(os.environ["JOURNAL"])


@worker.tool("pay")
async def pay(call: Call, *, order_id: str, amount_minor: int) -> dict[str, str]:
    _note("began", order_id, call.invocation)
    while not (JOURNAL / f"go-{order_id}").exists():
        await asyncio.sleep(0.02)
    _note("paid", order_id, f"{call.invocation} {amount_minor}")
    return {"payment_id": call.invocation}


def _note(what: str, order_id: str, text: str) -> None:
    with (JOURNAL / f"{what}-{order_id}").open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


if __name__ == "__main__":
    worker.run()
