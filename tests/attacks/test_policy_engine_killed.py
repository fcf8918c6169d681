"""I make the engine go away: I kill it, freeze it, or kill the broker that should end it.

An engine that is away must not mean that I may; one that a broker left behind would go on
answering for whoever finds its socket; one that hangs must not deny everybody for ever.
"""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import structlog

from broker.core.decision import Effect
from broker.core.errors import PolicyUnavailable
from broker.core.question_schema import EXAMPLE
from broker.policy import opa_child
from broker.policy.cases.patches import merge_patch
from broker.policy.opa_process import SupervisedOpa
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa
from tests.fakes.processes import is_running, until

RULES = f"""\
{ALLOW_ALL}

verdicts contains {{"effect": "DENY", "code": "SLOW", "message": "Slow."}} if {{
	input.call.tool == "slow"
	some a in numbers.range(1, 100000)
	some b in numbers.range(1, 100000)
	a * b == -1
}}
"""
SLOW = merge_patch(EXAMPLE, {"call": {"tool": "slow"}})


@pytest.fixture
async def point(tmp_path):
    started = await SupervisedOpa.start(
        bundle_of(family(RULES)), opa=opa(), runtime_directory=tmp_path, health_interval_s=0.2
    )
    yield started
    await started.close()
    assert list(tmp_path.iterdir()) == []


async def answers_again(point, *, after):
    async with asyncio.timeout(20):
        while point.process_id in {None, after}:
            await asyncio.sleep(0.02)
    (verdict,) = (await point.evaluate(EXAMPLE, deadline_s=5)).verdicts
    return verdict.effect is Effect.ALLOW


async def test_killed_in_the_middle_of_a_question_it_decides_nothing_and_comes_back(point):
    process_id = point.process_id
    asking = asyncio.create_task(point.evaluate(SLOW, deadline_s=20))
    await asyncio.sleep(0)
    await point.evaluate(EXAMPLE, deadline_s=5)  # by now the slow one is with OPA
    os.kill(process_id, signal.SIGKILL)
    with pytest.raises(PolicyUnavailable):
        await asking
    assert await answers_again(point, after=process_id)


async def test_while_it_is_away_nothing_is_decided(point):
    process_id = point.process_id
    os.kill(process_id, signal.SIGKILL)
    await until(lambda: not is_running(process_id))
    with pytest.raises(PolicyUnavailable):
        await point.evaluate(EXAMPLE, deadline_s=5)
    assert await answers_again(point, after=process_id)
    assert await point.is_answering()


async def test_where_it_cannot_come_back_nobody_is_told_that_it_answers(tmp_path):
    """Take the program away as well, and have the operator told that policy is ready."""
    program = shutil.copy(opa(), tmp_path / "opa")
    told: list[tuple[str, dict[str, object]]] = []

    def report(line: str) -> None:
        told.append((line, structlog.contextvars.get_contextvars()))

    with structlog.contextvars.bound_contextvars(caller="whoever-activated-it"):
        point = await SupervisedOpa.start(
            bundle_of(family(RULES)), opa=program, runtime_directory=tmp_path, report=report
        )
    try:
        program.unlink()
        os.kill(point.process_id, signal.SIGKILL)
        async with asyncio.timeout(20):
            while len(told) < 3:  # it ended, and was tried to start twice
                await asyncio.sleep(0.02)
        assert not await point.is_answering()
        assert all(bound == {} for _, bound in told)
    finally:
        await point.close()


async def test_killed_again_and_again_it_still_comes_back(point):
    for _ in range(3):
        process_id = point.process_id
        os.kill(process_id, signal.SIGKILL)
        assert await answers_again(point, after=process_id)


def is_stopped(process_id: int) -> bool:
    """Whether each of its threads is (proc(5): the state follows the name)."""
    tasks = Path(f"/proc/{process_id}/task").iterdir()
    states = {(task / "stat").read_text().rpartition(") ")[2][0] for task in tasks}
    return states <= set("Tt")


async def test_frozen_it_denies_for_being_late_and_is_replaced(point):
    process_id = point.process_id
    os.kill(process_id, signal.SIGSTOP)
    async with asyncio.timeout(10):
        while not is_stopped(process_id):  # a thread on another processor goes on for a moment
            await asyncio.sleep(0)
    (verdict,) = (await point.evaluate(EXAMPLE, deadline_s=0.2)).verdicts
    assert (verdict.effect, verdict.code) == (Effect.DENY, "POLICY_LATE")
    async with asyncio.timeout(10):
        while await point.is_answering():
            await asyncio.sleep(0.02)
    assert await answers_again(point, after=process_id)
    assert not is_running(process_id)


async def test_closing_lets_what_was_asked_be_answered(point):
    asked = [asyncio.create_task(point.evaluate(EXAMPLE, deadline_s=5)) for _ in range(50)]
    await asyncio.sleep(0)
    process_id = point.process_id
    await point.close()
    answers = await asyncio.gather(*asked)
    assert {v.effect for answer in answers for v in answer.verdicts} == {Effect.ALLOW}
    assert not is_running(process_id)


BROKER = """\
import asyncio, sys
from pathlib import Path
from broker.policy.bundle import PolicyBundle
from broker.policy import opa_process

async def main():
    bundle = PolicyBundle.from_bytes(Path(sys.argv[1]).read_bytes())
    opa_process._HOW = sys.argv[4]
    point = await opa_process.SupervisedOpa.start(
        bundle, opa=Path(sys.argv[2]), runtime_directory=Path(sys.argv[3])
    )
    print(point.process_id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["become", "watch"])
async def test_a_broker_that_is_killed_leaves_no_engine_behind(tmp_path, how):
    (tmp_path / "bundle").write_bytes(bundle_of(family(ALLOW_ALL)).to_bytes())
    broker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BROKER, tmp_path / "bundle", opa(), tmp_path, how),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        printed = await broker.stdout.readline()
    engine = int(printed)
    children = [engine, *_children(engine)]
    assert is_running(engine)
    broker.kill()
    await broker.wait()
    await until(lambda: not any(is_running(process_id) for process_id in children))


async def test_an_engine_whose_parent_died_before_it_began_does_not_begin(tmp_path):
    marker = tmp_path / "began"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", opa_child.__file__, "become", "1"),
        *("/usr/bin/touch", marker),
    )
    assert await process.wait() == os.EX_UNAVAILABLE
    assert not marker.exists()


def _children(process_id):
    listed = Path(f"/proc/{process_id}/task/{process_id}/children").read_text("utf-8")
    return [int(child) for child in listed.split()]
