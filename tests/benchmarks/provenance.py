"""What provenance adds to a call, in a session that has read a megabyte of strangers' mails.

A broker, its OPA and a worker are processes of their own. The same letters are filed in turns in a
session that has read and in one that has not, so that whatever else the machine does falls on both;
then each is traced by itself, without a broker.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from broker import bootstrap, config
from broker.core.labels import Labels
from broker.core.provenance.finding import Known
from broker.core.provenance.memory import Memory, Sighting
from broker.core.provenance.tracing import trace
from broker.sdk import Session, Succeeded, connect
from examples.support_desk.operating import Operator
from tests.benchmarks.guarded_echo import SETTINGS, free_port, listens, process, until
from tests.benchmarks.letters import PAGE_BYTES, letter, mails
from tests.fakes.policy_trees import opa

READ_BYTES = 1_000_000
PAGES = READ_BYTES // PAGE_BYTES
PAIRS = 80
RATIO_MAX = 1.15
AGENT = "agents/bench"
CLERK = "clerks/bench"
SCOPE = "letters:file"
WORDS = "File the letters."
_TEXT = {"type": "string"}
LETTER: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["to", "subject", "body", "amount_minor", "account"],
    "properties": {
        **dict.fromkeys(("to", "subject", "body", "account"), _TEXT),
        "amount_minor": {"type": "integer"},
    },
}
_BEHAVIOUR = {"read_only": True, "destructive": False, "idempotent": True, "open_world": False}
_SHARED = {"scopes": [{"name": SCOPE}], "runner": "worker", "deadline_s": 10}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "read_mails",
        "description": "Reads a page of mails that anybody may have written.",
        "summary": "Read mails",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "required": ["page"],
            "properties": {"page": {"type": "integer"}},
        },
        "result": {"type": "object"},
        "output": {"trust": "untrusted", "sensitivity": "personal"},
        "behaviour": _BEHAVIOUR,
        **_SHARED,
    },
    {
        "name": "file_letter",
        "description": "Looks at a letter and forgets it.",
        "summary": "File a letter",
        "arguments": LETTER,
        "result": {"type": "object"},
        "output": {"trust": "trusted", "sensitivity": "none"},
        "behaviour": _BEHAVIOUR,
        **_SHARED,
    },
]


async def measure(directory: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of calls of a session that has read, and of one that has not."""
    read: list[float] = []
    unread: list[float] = []
    async with _sessions(directory) as (reader, other):
        for page in range(PAGES):
            await _invoke(reader, "read_mails", {"page": page})
        for number in range(PAIRS):
            # Whoever is first of a pair is so every other time.
            for session, taken in [(reader, read), (other, unread)][:: 1 if number % 2 else -1]:
                taken.append(await _invoke(session, "file_letter", letter(number)))
    return read, unread


def traced() -> tuple[list[float], int]:
    """Milliseconds of tracing the same letters by themselves, and bytes that were read."""
    memory, taken, size = Memory(is_clean=True), [], 0
    for page in range(PAGES):
        content = json.dumps(mails(page)).encode()
        size += len(content)
        memory.see(
            Sighting(
                position=page + 1,
                invocation=f"invocations/{page}",
                labels=Labels(trust="untrusted", sensitivity="personal"),
                content=content,
            )
        )
    for number in range(PAIRS):
        asked = letter(number)
        begun_s = time.perf_counter()
        trace(asked, LETTER, memory=memory, known=Known(words=[WORDS]))
        taken.append((time.perf_counter() - begun_s) * 1000)
    return taken, size


async def _invoke(session: Session, tool: str, arguments: dict[str, Any]) -> float:
    begun_s = time.perf_counter()
    outcome = await session.invoke(tool, arguments)
    took_ms = (time.perf_counter() - begun_s) * 1000
    assert isinstance(outcome, Succeeded), outcome
    return took_ms


@contextlib.asynccontextmanager
async def _sessions(directory: Path) -> AsyncIterator[tuple[Session, Session]]:
    address, state = f"127.0.0.1:{free_port()}", directory / "state"
    settings = directory / "callbroker.toml"
    settings.write_text(SETTINGS.format(address=address, state=state, opa=opa()), "utf-8")
    database = f"sqlite:///{state}/callbroker.db"
    token = await asyncio.to_thread(  # it has a loop of its own
        bootstrap.operator_token, config.Settings(state=state, database=database)
    )
    async with contextlib.AsyncExitStack() as stack:
        broker = process("broker.command", "serve", CALLBROKER_CONFIG=str(settings))
        await stack.enter_async_context(broker)
        await until(lambda: listens(address))
        operator = stack.enter_context(Operator(address, token))
        operator.put_tools(TOOLS)
        operator.activate_policy()
        for subject in (CLERK, AGENT):
            operator.grant(subject, SCOPE)
        names = [tool["name"] for tool in TOOLS]
        worker = process(
            "tests.benchmarks.reading_worker",
            CALLBROKER_ADDRESS=address,
            CALLBROKER_WORKER_TOKEN=operator.create_token("worker", "workers/bench", tools=names),
        )
        host = operator.create_token("host", "hosts/bench")
        agent = operator.create_token("agent", AGENT, person="bench-engineer")
        await stack.enter_async_context(worker)
        await until(lambda: operator.workers() > 0)
        hosts = await stack.enter_async_context(
            connect(address, host_token=host, agent_token=agent)
        )
        opened: list[Session] = []
        for _ in range(2):
            mandate = await hosts.create_mandate(
                principal=CLERK, agent=AGENT, context="mediated", words=WORDS, scopes=[SCOPE]
            )
            opened.append(await stack.enter_async_context(await hosts.open_session(mandate)))
        yield opened[0], opened[1]


def main() -> None:
    """Measures and prints; fails nothing: a clock says as much about the machine."""
    with tempfile.TemporaryDirectory(prefix="cb-") as directory:
        read, unread = asyncio.run(measure(Path(directory)))
    alone, size = traced()
    whole, bare, tracing = map(statistics.median, (read, unread, alone))
    ratio = statistics.median(one / other for one, other in zip(read, unread, strict=True))
    verdict = "met" if ratio <= RATIO_MAX else "MISSED"
    sys.stdout.write(
        f"provenance: p50 of {PAIRS} calls, in turns\n"
        f"a call, {size / 1e6:.1f} MB of mails read        {whole:.1f} ms\n"
        f"the same, nothing read            {bare:.1f} ms\n"
        f"one by the other, median of pairs {ratio:.2f}      goal {RATIO_MAX}  {verdict}\n"
        f"tracing alone                     {tracing:.2f} ms   {tracing / bare:.0%} of a call\n"
    )
