import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

# What pip brings with grpcio and protobuf, and what of ours the SDK may see.
BLOCK = """
import sys

class Block:
    allowed = {"grpc", "google", "typing_extensions"} | set(sys.stdlib_module_names)

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top == "broker":
            blocked = name.count(".") and name.split(".")[1] not in {"sdk", "v1"}
        else:
            blocked = top not in self.allowed or name.startswith(("google.rpc", "google.api"))
        if blocked:
            raise ImportError(f"not in the base install: {name}", name=name)

sys.meta_path.insert(0, Block())
"""


def run(code: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", BLOCK + code],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
        timeout=60,
    )
    return finished.stdout


def test_the_sdk_needs_grpcio_and_protobuf_alone() -> None:
    script = """
import asyncio
import broker.sdk
from broker.sdk.testing import ScriptedBroker, invoke_tool

async def main():
    broker_ = ScriptedBroker().answer("refund", succeeded=1)
    session = await broker_.open_session(await broker_.create_mandate(principal="p", agent="a"))
    print((await session.invoke("refund", {})).for_model())

asyncio.run(main())
"""
    assert run(script) == "1\n"


def test_the_block_blocks() -> None:
    script = """
for name in ("yaml", "pydantic", "broker.core.errors", "google.rpc.status_pb2"):
    try:
        __import__(name)
    except ImportError:
        print(name)
"""
    assert run(script).split() == [
        "yaml",
        "pydantic",
        "broker.core.errors",
        "google.rpc.status_pb2",
    ]
