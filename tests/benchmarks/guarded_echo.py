"""A broker with OPA and SQLite whose echo tool is there twice: in a worker, and in a sandbox.

Each part is a process of its own, as it would be: broker, worker and node.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml

from broker import bootstrap, config
from broker.sdk import Session, connect
from examples.support_desk.operating import Operator
from tests.fakes.policy_trees import opa

AGENT = "agents/bench"
CUSTOMER = "customers/bench"
SCOPE = "echo:run"
MANIFEST = Path(__file__).with_name("echo") / "manifest.yaml"
SANDBOXED = "echo"
UNSANDBOXED = "echo_unsandboxed"
START_DEADLINE_S = 60.0
POLL_S = 0.05
SETTINGS = """
listen = "{address}"
state = "{state}"
database = "sqlite:///{state}/callbroker.db"
opa = "{opa}"
log_level = "info"
log_format = "json"

[web]
listen = ""
"""
NODES = """
[sandboxes]
nodes = ["{node}"]
"""


@contextlib.asynccontextmanager
async def guarded_echo(directory: Path, *, node: str, image: str) -> AsyncIterator[Session]:
    """A session that may call both.

    Args:
        directory: an empty one, for the broker's state.
        node: address of the sandbox node.
        image: digest of the echo tool's.
    """
    address = f"127.0.0.1:{free_port()}"
    state = directory / "state"
    settings = directory / "callbroker.toml"
    told = (SETTINGS + NODES).format(address=address, state=state, opa=opa(), node=node)
    settings.write_text(told, "utf-8")
    database = f"sqlite:///{state}/callbroker.db"
    token = await asyncio.to_thread(  # it has a loop of its own
        bootstrap.operator_token, config.Settings(state=state, database=database)
    )
    async with contextlib.AsyncExitStack() as stack:
        broker = process("broker.command", "serve", CALLBROKER_CONFIG=str(settings))
        await stack.enter_async_context(broker)
        await until(lambda: listens(address))
        operator = stack.enter_context(Operator(address, token))
        worker_token, host, agent = _provide(operator, image)
        worker = process(
            "tests.benchmarks.echo_worker",
            CALLBROKER_ADDRESS=address,
            CALLBROKER_WORKER_TOKEN=worker_token,
        )
        await stack.enter_async_context(worker)
        await until(lambda: operator.workers() > 0)
        hosts = await stack.enter_async_context(
            connect(address, host_token=host, agent_token=agent)
        )
        mandate = await hosts.create_mandate(
            principal=CUSTOMER,
            agent=AGENT,
            context="mediated",
            words="Say hello.",
            scopes=[SCOPE],
        )
        yield await stack.enter_async_context(await hosts.open_session(mandate))


def _provide(operator: Operator, image: str) -> tuple[str, str, str]:
    document: dict[str, Any] = yaml.safe_load(MANIFEST.read_text("utf-8"))
    sandboxed = {**document, "sandbox": {**document["sandbox"], "image": image}}
    unsandboxed = {k: v for k, v in document.items() if k != "sandbox"}
    unsandboxed |= {"name": UNSANDBOXED, "runner": "worker"}
    operator.put_tools([sandboxed, unsandboxed])
    operator.activate_policy()
    for subject in (CUSTOMER, AGENT):
        operator.grant(subject, SCOPE)
    return (
        operator.create_token("worker", "workers/bench", tools=[UNSANDBOXED]),
        operator.create_token("host", "hosts/bench"),
        operator.create_token("agent", AGENT, person="bench-engineer"),
    )


@contextlib.asynccontextmanager
async def process(module: str, *arguments: str, **variables: str) -> AsyncIterator[int]:
    """A process of its own, ended after; gives its id."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield started.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.terminate()
        await started.wait()


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(address: str) -> bool:
    """Whether somebody does at this address."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False


async def until(wanted: Callable[[], bool]) -> None:
    """Returns when it is so."""
    async with asyncio.timeout(START_DEADLINE_S):
        while not await asyncio.to_thread(wanted):
            await asyncio.sleep(POLL_S)
