"""The echo tool in a worker's process, with room for many calls at a time."""

from broker.sdk import Call, Worker
from tests.benchmarks.guarded_echo import UNSANDBOXED

worker = Worker(slots=256)


@worker.tool(UNSANDBOXED)
async def echo(call: Call, *, text: str) -> dict[str, str]:
    del call
    return {"text": text}


if __name__ == "__main__":
    worker.run()
