"""Two tools of a worker: one releases strangers' mails, one takes a letter and does nothing."""

from typing import Any

from broker.sdk import Call, Worker
from tests.benchmarks.letters import mails

worker = Worker()


@worker.tool("read_mails")
async def read_mails(call: Call, *, page: int) -> dict[str, Any]:
    del call
    return mails(page)


@worker.tool("file_letter")
async def file_letter(call: Call, **letter: Any) -> dict[str, bool]:
    del call, letter
    return {"filed": True}


if __name__ == "__main__":
    worker.run()
