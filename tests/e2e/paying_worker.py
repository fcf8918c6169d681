"""The one tool of `test_previews`: pays out of a till, and tells beforehand what is left in it.

Run as a process; `JOURNAL` is a directory. `TELLS` is empty for a worker that tells nothing
beforehand. A file `till` there is how much the till holds, in cents; `paid` gets a line a payment.
"""

import os
import time
from pathlib import Path

from broker.sdk import Call, Change, ToolFailed, Worker

worker = Worker(slots=4)
JOURNAL = Path(os.environ["JOURNAL"])


@worker.tool("pay")
async def pay(call: Call, *, order_id: str, amount_minor: int) -> str:
    with (JOURNAL / "paid").open("a", encoding="utf-8") as file:
        file.write(f"{order_id} {amount_minor}\n")
    return call.invocation


def in_the_till(call: Call, *, amount_minor: int, **_: object) -> list[Change]:
    if call.tool != "pay.preview":
        raise ToolFailed("NOT_ASKED_BEFOREHAND", "This is no preview.")
    text = (JOURNAL / "till").read_text(encoding="utf-8")
    if text == "closed":
        raise ToolFailed("TILL_CLOSED", "The till is closed.")
    if text == "stuck":
        time.sleep(5)
    left = int(text)
    return [
        Change("in the till", before_minor=left, after_minor=left - amount_minor, currency="EUR"),
        Change("receipt", before=None, after=call.principal),
    ]


if os.environ["TELLS"]:
    pay.preview(in_the_till)

if __name__ == "__main__":
    worker.run()
