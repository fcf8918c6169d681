"""A hostile program does not answer: it stays, dies, multiplies, or uses up what there is.

Its aim is to hold the node, the engine or its neighbours. Each ends at its cap with one code, and
while it lasts another call is served as if it were not there.
"""

import asyncio

import pytest

from sandboxes.v1 import sandboxes_pb2 as pb
from tests.attacks.sandbox.programs import orders, program
from tests.engine_api import ContainerEngine
from tests.sandbox_images import hostile_image, tool_image
from tests.sandbox_nodes import NodeClient, ask

pytestmark = pytest.mark.asyncio(loop_scope="module")
IGNORE = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
STAYING = {
    "sleeps": "time.sleep(600)",
    "ignores SIGTERM": f"{IGNORE}\nwhile True: time.sleep(1)",
    "spins": "while True: pass",
    "forks without end": """
        while True:
            try:
                if os.fork() == 0:
                    time.sleep(600)
            except OSError:
                time.sleep(0.01)
        """,
    "stops itself and its child": """
        if os.fork() == 0:
            time.sleep(600)
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(600)
        """,
    "answers by halves": "say(answer(nonce, b'12345678')[:-1])\ntime.sleep(600)",
    "closes its output": "os.close(0); os.close(1); os.close(2)",
    "drips an answer": """
        for byte in answer(nonce, b"[" + b"1," * 300 + b"1]"):
            say(bytes([byte]))
            time.sleep(0.05)
        """,
}
DYING = {
    "exits": ("os._exit(9)", "TOOL_DIED", 9),
    "exits as if all were well": ("os._exit(0)", "TOOL_DIED", 0),
    "raises": ("raise SystemExit(3)", "TOOL_DIED", 3),
    "uses up its memory": ("kept = bytearray(1 << 30)", "TOOL_OUT_OF_MEMORY", 137),
}


@pytest.mark.parametrize("how", STAYING)
async def test_what_stays_is_killed_at_its_deadline_and_its_neighbour_served_meanwhile(
    how: str, node: NodeClient, container_engine: ContainerEngine, obeying: str
) -> None:
    """Take the call and never let go of it, by every means there is against being asked to end."""
    honest = tool_image(container_engine)

    staying = asyncio.create_task(node.run(obeying, orders(STAYING[how]), deadline_s=1.5))
    neighbour = await node.run(honest, {"a": 1})
    result = await staying

    assert (result.ending, result.code) == (pb.ENDING_KILLED, "TOOL_TIMED_OUT")
    assert result.took.ToTimedelta().total_seconds() < 3
    assert neighbour.ending == pb.ENDING_ANSWERED


@pytest.mark.parametrize("how", DYING)
async def test_what_dies_is_told_by_how_it_died(how: str, node: NodeClient, obeying: str) -> None:
    """End without an answer, so that nobody can tell a crash from a result that is to come."""
    source, code, exit_code = DYING[how]

    result = await node.run(obeying, orders(source))

    assert (result.ending, result.code) == (pb.ENDING_BROKEN, code)
    assert result.exit_code == exit_code
    assert result.out_of_memory == (code == "TOOL_OUT_OF_MEMORY")


async def test_a_child_that_uses_up_the_memory_is_told_although_its_parent_exits_well(
    node: NodeClient, obeying: str
) -> None:
    """Have the kernel kill a child, and exit 0: the exit code alone would say that all was well."""
    source = """
    if os.fork() == 0:
        kept = bytearray(1 << 30)
    os.wait()
    os._exit(0)
    """

    result = await node.run(obeying, orders(source))

    assert (result.code, result.exit_code) == ("TOOL_OUT_OF_MEMORY", 0)


async def test_processor_time_ends_at_its_cap(node: NodeClient, obeying: str) -> None:
    """Compute for as long as the wall clock lets one: thirty seconds of somebody's processor."""
    source = "while True: pass"

    result = await node.run(obeying, orders(source), profile="brisk", deadline_s=25)

    assert (result.ending, result.code) == (pb.ENDING_BROKEN, "TOOL_CPU_EXHAUSTED")
    assert result.took.ToTimedelta().total_seconds() < 15


async def test_what_goes_on_after_its_answer_ends_with_it(node: NodeClient, obeying: str) -> None:
    """Answer at once, and use the container for something else from then on."""
    source = f"""
    {IGNORE}
    for _ in range(10):
        if os.fork() == 0:
            while True: time.sleep(1)
    say(answer(nonce))
    while True: pass
    """

    result = await node.run(obeying, orders(source))

    assert result.ending == pb.ENDING_ANSWERED
    assert result.took.ToTimedelta().total_seconds() < 2
    await node.until(lambda health: health.containers == 0, within_s=10)


async def test_a_question_that_nobody_reads_does_not_hold_the_node(
    node: NodeClient, container_engine: ContainerEngine
) -> None:
    """Read nothing: what is handed over fills the pipes, and whoever writes it waits."""
    image = hostile_image(container_engine, program("say(READY)\ntime.sleep(600)"))
    file = pb.File(name="large", content=bytes(8 << 20))

    result = await node.run(image, files=[file], deadline_s=1.5)

    assert (result.ending, result.code) == (pb.ENDING_KILLED, "TOOL_TIMED_OUT")


async def test_a_caller_that_hangs_up_leaves_nothing_running(
    node: NodeClient, obeying: str
) -> None:
    """Start what is slow and hang up, again and again: each would go on and hold its container."""
    source = "time.sleep(600)"
    for _ in range(3):
        runs = (await node.health()).runs
        call = node.stub.Run()
        await node.ready(call, obeying)
        await call.write(ask(orders(source), deadline_s=30))
        await node.until(lambda health, before=runs: health.runs > before)
        call.cancel()

    await node.until(lambda health: health.containers == 0, within_s=15)


async def test_cancel_kills_by_name_and_only_what_has_it(node: NodeClient, obeying: str) -> None:
    """Guess at runs of others to have them killed; the names are long and by chance."""
    source = "time.sleep(600)"
    call = node.stub.Run()
    ready = await node.ready(call, obeying)
    await call.write(ask(orders(source), deadline_s=30))

    guess = node.stub.Cancel(pb.CancelRequest(run="callbroker-0000000000000000.1"))
    with pytest.raises(Exception, match="Nothing of that name") as refused:
        await guess
    await node.stub.Cancel(pb.CancelRequest(run=ready.run))
    answered = await call.read()

    assert refused.value.code().name == "NOT_FOUND"
    assert answered.result.code == "CANCELLED"
    assert answered.result.ending == pb.ENDING_KILLED
