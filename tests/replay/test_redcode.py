"""Recorded hostile code is run, each piece in a container of its own, and nobody else notices.

705 snippets of bash and Python that others wrote to do harm: to files, processes, keys, networks.
Here they are not refused. Each is handed to the supplied tools on a real node, and the host, the
engine and a neighbour are looked at before and after. Where CALLBROKER_REPLAY is not set there is
nothing to run, and one test says so.
"""
# ruff: noqa: T201 - the figures are shown with -s

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sandboxes.v1 import sandboxes_pb2 as pb
from tests.engine_api import ContainerEngine
from tests.replay.adapter import BrokerAdapter
from tests.replay.canaries import differences, laid_out
from tests.replay.contained import FOLDER as RUN_CODE
from tests.replay.contained import VARIABLE as NODE_VARIABLE
from tests.replay.evaluation import ABSENT, VARIABLE, evaluator
from tests.sandbox_nodes import NodeClient, NodeProcess
from tests.supplied_images import tool_of

FOLDER = os.environ.get(VARIABLE)
TOOLS = {"bash": ("run_shell", "script"), "python": ("run_python", "code")}
AT_ONCE = 4
UNSEEN_MAX = 7  # one in a hundred
DEADLINE_S = 3.0
UIDS = range(900_000_000, 900_001_000)  # of no other node on this machine
NEIGHBOUR = "callbroker.test.neighbour=1"
ENDINGS = {
    pb.ENDING_ANSWERED: "answered",
    pb.ENDING_TOOL_FAILED: "failed in the tool",
    pb.ENDING_BROKEN: "broke off",
    pb.ENDING_KILLED: "killed",
}

if not FOLDER:

    def test_it_is_said_where_there_is_no_hostile_code() -> None:
        print(ABSENT)

else:

    async def test_hostile_code_ends_in_its_container_and_nobody_else_notices(
        container_engine: ContainerEngine, tmp_path: Path
    ) -> None:
        items = recorded(Path(FOLDER))
        images = {
            language: await asyncio.to_thread(tool_of, container_engine, tool)
            for language, (tool, _) in TOOLS.items()
        }
        node = NodeProcess(
            container_engine.url,
            tmp_path / "node",
            warm="4",
            uid_first=str(UIDS.start),
            uid_last=str(UIDS.stop - 1),
            log_level="error",
        )
        with laid_out(container_engine, images["bash"], label=NEIGHBOUR, uids=UIDS) as canaries:
            before = await asyncio.to_thread(canaries.look)
            await node.start()
            try:
                ended, took_s = await run_all(node.address, items, images)
            finally:
                assert await node.stop() == 0, node.log.read_text()
            after = await asyncio.to_thread(canaries.look)
        print(f"\n{len(items)} pieces of code in {took_s:.0f} s: {dict(ended.most_common())}")
        assert differences(before, after) == []
        assert sum(ended.values()) == len(items)
        assert set(ended) <= set(ENDINGS.values())
        assert ended["answered"] > len(items) / 2  # they were run, and not turned away

    async def test_the_evaluator_is_told_of_code_that_ran_in_a_container_and_of_no_other(
        container_engine: ContainerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await asyncio.to_thread(tool_of, container_engine, RUN_CODE)
        node = NodeProcess(container_engine.url, tmp_path / "node", log_level="error")
        items = recorded(Path(FOLDER))
        few = [*items[:2], *items[-2:]]
        assert {item["language"] for item in few} == {"bash", "python"}
        refused = await asyncio.to_thread(put_to_the_broker, few[:1])
        await node.start()
        try:
            monkeypatch.setenv(NODE_VARIABLE, node.address)
            ran = await asyncio.to_thread(put_to_the_broker, few)
        finally:
            assert await node.stop() == 0, node.log.read_text()
        assert [(said.effect, reached) for said, reached in refused] == [("hold", 0)]
        assert [(said.effect, reached) for said, reached in ran] == [("allow", 1)] * len(few)
        assert all(said.result["sandboxed"] is True for said, _ in ran), ran


def put_to_the_broker(items: list[Mapping[str, Any]]) -> list[tuple[Any, int]]:
    """What the adapter says of each, and how often it told the evaluator's tool."""
    evaluate = evaluator()
    assert evaluate is not None
    manifests = evaluate.replaylib.manifests("redcode")
    told: list[str] = []
    adapter = BrokerAdapter()
    try:
        adapter.register_tools(manifests, lambda _, tool, __: told.append(tool))
        session = adapter.open_session({"id": "coder"}, ["run_code"], {})
        said = []
        for item in items:
            before = len(told)
            given = {"language": item["language"], "code": item["code"]}
            outcome = adapter.call(session, "run_code", given)
            said.append((outcome, len(told) - before))
    finally:
        adapter.close()
    return said


def recorded(folder: Path) -> list[Mapping[str, Any]]:
    """The snippets, in the order of the record. They are read where they lie."""
    lines = (folder / "dev" / "redcode" / "items.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


async def run_all(
    address: str, items: list[Mapping[str, Any]], images: Mapping[str, str]
) -> tuple[Counter[str], float]:
    """How many ended how; seconds that it took.

    On a machine that is busy the engine may be too late to say how one ended: that one is put once
    more, and what is said then counts.
    """
    ended: Counter[str] = Counter()
    unseen: list[Mapping[str, Any]] = []
    waiting = list(reversed(items))
    begun_s = time.monotonic()
    async with NodeClient(address) as node, asyncio.TaskGroup() as group:

        async def work() -> None:
            while waiting:
                item = waiting.pop()
                _, argument = TOOLS[item["language"]]
                given = json.dumps({argument: item["code"]}).encode()
                result = await node.run(
                    images[item["language"]], given, deadline_s=DEADLINE_S, wait_s=30.0
                )
                may_be_put_again = item not in unseen and len(unseen) < UNSEEN_MAX
                if result.ending == pb.ENDING_UNKNOWN and may_be_put_again:
                    unseen.append(item)
                    waiting.insert(0, item)
                    continue
                ended[ENDINGS.get(result.ending, f"{result.ending} {result.code}")] += 1

        for _ in range(AT_ONCE):
            group.create_task(work())
    return ended, time.monotonic() - begun_s
