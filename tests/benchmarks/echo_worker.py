"""The echo tool without a sandbox: a worker's process, for comparison."""

from broker.sdk import Call, Worker

worker = Worker()


@worker.tool("echo_unsandboxed")
async def echo(call: Call, *, text: str) -> dict[str, str]:
    del call
    return {"text": text}


if __name__ == "__main__":
    worker.run()
