"""Nodes that lie, dawdle or die: each costs its own calls, and none makes an untruth of the log."""

import asyncio
from pathlib import Path

import grpc
import pytest

from broker.core.calls import Context
from broker.core.errors import RunnerUnavailable
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import InvocationState
from sandboxes.v1 import sandboxes_pb2 as pb
from tests.attacks.sandboxed import entry_of, sandbox_world
from tests.fakes.sandbox_node import (
    IMAGE,
    RESULT,
    digest,
    obedient,
    read_call,
    read_reserve,
    refusing,
    sandbox_node,
    serve,
)

ALLOWED = pb.EgressRequest(method="GET", host="api.example.com", path="/secret", allowed=True)


async def until(condition) -> None:
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "changed",
    [
        {"profile_digest": digest("egress")},
        {"profile_digest": ""},
        {"isolated": False},
        {"run": ""},
    ],
    ids=repr,
)
async def test_a_node_that_is_ready_with_something_else_is_handed_nothing(tmp_path: Path, changed):
    """Take the broker's Reserve for a tight profile and be Ready with a loose one."""

    async def liar(node, requests, context):
        del context
        await read_reserve(node, requests)
        yield node.ready(**changed)
        await read_call(node, requests)

    async with (
        sandbox_node(tmp_path, liar) as node,
        sandbox_world(tmp_path, node.address) as (w, _),
    ):
        with pytest.raises(RunnerUnavailable):
            await w.refund(await w.caller())
        await until(lambda: node.left == len(node.reserved))
        assert not node.called


async def test_a_second_result_changes_nothing(tmp_path: Path):
    """Answer that it failed, and once that is known answer that it worked."""

    async def twice(node, requests, context):
        del context
        await read_reserve(node, requests)
        yield node.ready()
        await read_call(node, requests)
        yield pb.RunResponse(result=pb.Result(ending=pb.ENDING_TOOL_FAILED, code="NO_ORDER"))
        yield pb.RunResponse(result=node.result)

    async with (
        sandbox_node(tmp_path, twice) as node,
        sandbox_world(tmp_path, node.address) as (w, _),
    ):
        failed = await w.refund(await w.caller())
        assert (failed.state, failed.code) == (InvocationState.FAILED, "NO_ORDER")
        await until(lambda: node.left == 1)
        assert await w.store.find_invocation(failed.name) == failed


async def test_a_node_that_is_ready_twice_has_said_nothing_of_the_call(tmp_path: Path):
    """Say Ready where a Result is due, and hope that it passes for one."""

    async def ready_again(node, requests, context):
        del context
        await read_reserve(node, requests)
        yield node.ready()
        await read_call(node, requests)
        yield node.ready()

    async with (
        sandbox_node(tmp_path, ready_again) as node,
        sandbox_world(tmp_path, node.address) as (w, _),
    ):
        assert (await w.refund(await w.caller())).state is InvocationState.UNKNOWN


@pytest.mark.parametrize("answer", [b"", b"nonsense", b'{"refund_id": 7}', b"[" * 100_000])
async def test_an_answer_that_is_no_result_is_withheld_and_said_to_have_run(tmp_path: Path, answer):
    """Answer what the agent's program cannot read, or what reads differently there."""
    result = pb.Result(ending=pb.ENDING_ANSWERED, result_json=answer)
    async with (
        sandbox_node(tmp_path, result=result) as node,
        sandbox_world(tmp_path, node.address) as (w, _),
    ):
        ran = await w.refund(await w.caller())
        assert (ran.state, ran.code, ran.result) == (
            InvocationState.SUCCEEDED,
            "RESULT_INVALID",
            None,
        )


async def test_files_that_the_manifest_does_not_speak_of_are_not_kept(tmp_path: Path):
    """Leave files beside the result, with names that lead elsewhere."""
    files = [pb.File(name="../../etc/cron.d/x", content=b"* * * * * root sh")]
    result = pb.Result(ending=pb.ENDING_ANSWERED, result_json=RESULT, files=files)
    async with (
        sandbox_node(tmp_path, result=result) as node,
        sandbox_world(tmp_path, node.address) as (w, _),
    ):
        ran = await w.refund(await w.caller())
        assert ran.state is InvocationState.SUCCEEDED
        assert ran.artefacts == ()


async def test_a_node_that_drips_is_not_waited_for(tmp_path: Path):
    """Keep the conversation open for ever, so that the call is never over."""

    async def dripping(node, requests, context):
        del context
        await read_reserve(node, requests)
        yield node.ready()
        await read_call(node, requests)
        await asyncio.Event().wait()

    async with (
        sandbox_node(tmp_path, dripping) as node,
        sandbox_world(tmp_path, node.address, deadline_s=0.2) as (w, _),
    ):
        lost = await w.refund(await w.caller())
        assert lost.state is InvocationState.UNKNOWN
        await until(lambda: node.left == 1)


@pytest.mark.parametrize("manner", ["before_ready", "before_call"])
async def test_a_node_that_dies_before_the_call_leaves_nothing_unknown(tmp_path: Path, manner):
    """Kill the node between placing and hand-over, to have the call's keys stay taken."""

    async def dying(node, requests, context):
        await read_reserve(node, requests)
        if manner == "before_call":
            yield node.ready()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "The engine is away.")

    async with (
        sandbox_node(tmp_path, dying, obedient) as node,
        sandbox_world(tmp_path, node.address) as (w, _),
    ):
        caller = await w.caller()
        if manner == "before_ready":
            # It said no before Ready, and is asked again once it answers again.
            assert (await w.refund(caller)).state is InvocationState.SUCCEEDED
            return
        ended = await w.refund(caller)
        # Where the end came first, nothing was sent; where the call did, nobody can say.
        assert ended.state in {InvocationState.CANCELLED, InvocationState.UNKNOWN}
        assert not node.called


async def test_a_call_that_the_node_does_not_take_never_started(tmp_path: Path):
    """Send a call that no container can take, so that its keys stay taken for nothing."""

    async def choosy(node, requests, context):
        await read_reserve(node, requests)
        yield node.ready()
        await read_call(node, requests)
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "More files than the profile allows.")

    async with (
        sandbox_node(tmp_path, choosy, obedient) as node,
        sandbox_world(tmp_path, node.address) as (w, _),
    ):
        caller = await w.caller()
        refused = await w.refund(caller)
        assert (refused.state, refused.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        assert (await w.refund(caller)).state is InvocationState.SUCCEEDED


@pytest.mark.parametrize("behaviour", [{}, {"read_only": True}])
async def test_a_node_that_dies_after_the_call_makes_it_unknown_and_is_not_replaced(
    tmp_path: Path, behaviour: dict[str, bool]
):
    """Kill the node while it works, so that the call is carried out again elsewhere.

    Or run something that acts under the name of a tool that only reads, so that nobody looks.
    """
    async with (
        sandbox_node(tmp_path, name="a", warm={(IMAGE, "compute"): 2}) as a,
        sandbox_node(tmp_path, name="b") as b,
        sandbox_world(tmp_path, a.address, b.address, behaviour=behaviour) as (w, _),
    ):
        a.going.clear()
        caller = await w.caller()
        calling = asyncio.create_task(w.refund(caller))
        await until(lambda: a.called)
        await a.die()
        lost = await calling
        assert (lost.state, lost.code) == (InvocationState.UNKNOWN, "OUTCOME_UNKNOWN")
        assert not b.called
        ended = await entry_of(w, lost, "call.ended")
        assert ended["body"]["run"]["node"] == a.address
        assert ended["body"]["run"]["profile"] == "compute"


async def test_a_node_that_dies_loses_only_its_own_calls(tmp_path: Path):
    """Take one node down, to take all calls down."""
    async with (
        sandbox_node(tmp_path, name="a", warm={(IMAGE, "compute"): 1}, room=1) as a,
        sandbox_node(tmp_path, name="b") as b,
        sandbox_world(tmp_path, a.address, b.address, interval_s=60.0) as (w, _),
    ):
        a.going.clear()
        b.going.clear()
        caller = await w.caller()
        on_a = asyncio.create_task(w.refund(caller))
        await until(lambda: a.called)
        on_b = asyncio.create_task(w.refund(caller, order_id="O-1002"))
        await until(lambda: b.called)
        await a.die()
        assert (await on_a).state is InvocationState.UNKNOWN
        b.going.set()
        assert (await on_b).state is InvocationState.SUCCEEDED
        later = await w.refund(caller, order_id="O-1002")
        assert later.state is InvocationState.SUCCEEDED
        assert len(b.called) == 2


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INTERNAL,
    ],
    ids=lambda code: code.name,
)
async def test_a_node_that_refuses_before_ready_does_not_keep_others_from_it(tmp_path: Path, code):
    """Have one node refuse everything, to have no call carried out at all."""
    refused = refusing(code, "Not here.")
    async with (
        sandbox_node(tmp_path, refused, name="a", warm={(IMAGE, "compute"): 9}) as a,
        sandbox_node(tmp_path, name="b") as b,
        sandbox_world(tmp_path, a.address, b.address) as (w, _),
    ):
        done = await w.refund(await w.caller())
        assert done.state is InvocationState.SUCCEEDED
        assert (len(a.reserved), len(a.called), len(b.called)) == (1, 0, 1)


async def test_a_node_that_hangs_before_ready_is_left_for_another_in_time(tmp_path: Path):
    """Take every Reserve and never answer one, to have every call wait for me."""

    async def hanging(node, requests, context):
        del context
        await read_reserve(node, requests)
        await asyncio.Event().wait()
        yield

    async with (
        sandbox_node(tmp_path, hanging, name="a", warm={(IMAGE, "compute"): 9}) as a,
        sandbox_node(tmp_path, name="b") as b,
        sandbox_world(tmp_path, a.address, b.address) as (w, runner),
    ):
        manifest = w.room.current().tools["refund"].manifest
        slot = await runner.reserve(manifest, profile=digest("compute"), wait_s=0.4)
        slot.release()
        assert len(b.reserved) == 1
        await until(lambda: a.left == 1)


async def test_a_node_that_comes_back_is_used_again(tmp_path: Path):
    """Restart the node, and hope that the broker never looks again."""
    async with (
        sandbox_node(tmp_path) as node,
        sandbox_world(tmp_path, node.address, away_wait_s=5.0) as (w, runner),
    ):
        await node.die()
        await until(lambda: not runner.views[0].is_ready)
        caller = await w.caller()
        calling = asyncio.create_task(w.refund(caller))
        await serve(node)
        assert (await calling).state is InvocationState.SUCCEEDED


async def test_a_freeze_between_decision_and_hand_over_stops_the_call(tmp_path: Path):
    """Be decided on just before the operator freezes the tool, and run all the same."""

    async def slow(node, requests, context):
        del context
        await read_reserve(node, requests)
        await node.going.wait()
        yield node.ready()
        await read_call(node, requests)

    async with (
        sandbox_node(tmp_path, slow) as node,
        sandbox_world(tmp_path, node.address) as (w, _),
    ):
        node.going.clear()
        caller = await w.caller()
        calling = asyncio.create_task(w.refund(caller))
        await until(lambda: node.reserved)
        await w.freeze(FreezeKind.TOOL, "refund")
        node.going.set()
        stopped = await calling
        assert stopped.state in {InvocationState.DENIED, InvocationState.CANCELLED}
        await until(lambda: node.left == len(node.reserved))
        assert not node.called


async def test_what_reached_outside_is_untrusted_whatever_the_manifest_says(tmp_path: Path):
    """Fetch my own text through the proxy and have it pass for the operator's data."""
    result = pb.Result(
        ending=pb.ENDING_ANSWERED, result_json=RESULT, requests=[ALLOWED, pb.EgressRequest()]
    )
    async with (
        sandbox_node(tmp_path, result=result) as node,
        sandbox_world(tmp_path, node.address, sandbox={"image": IMAGE, "profile": "egress"}) as (
            w,
            _,
        ),
    ):
        done = await w.refund(await w.caller())
        assert done.state is InvocationState.SUCCEEDED
        ended = await entry_of(w, done, "call.ended")
        run = ended["body"]["run"]
        assert ended["body"]["output_trust"] == "untrusted"
        assert (run["requests_allowed"], run["requests_refused"]) == (1, 1)
        # Hosts and paths may carry data: they can be erased, and the entry commits to them.
        assert "/secret" not in str(ended["body"])
        assert ended["contents"]["requests"][0]["path"] == "/secret"


async def test_what_stayed_inside_is_as_trusted_as_the_manifest_says(tmp_path: Path):
    """(The other side of the same: a label that is always untrusted would say nothing.)"""
    async with sandbox_node(tmp_path) as node, sandbox_world(tmp_path, node.address) as (w, _):
        done = await w.refund(await w.caller(context=Context.MEDIATED))
        ended = await entry_of(w, done, "call.ended")
        assert ended["body"]["output_trust"] == "trusted"
        assert ended["body"]["run"]["warm"] is True


async def test_a_failure_with_a_way_out_is_unknown_where_a_request_was_let_through(tmp_path: Path):
    """Do it, then say that it failed, so that it is asked for and done once more."""
    result = pb.Result(ending=pb.ENDING_TOOL_FAILED, code="NO_ORDER", requests=[ALLOWED])
    async with (
        sandbox_node(tmp_path, result=result) as node,
        sandbox_world(tmp_path, node.address, sandbox={"image": IMAGE, "profile": "egress"}) as (
            w,
            _,
        ),
    ):
        assert (await w.refund(await w.caller())).state is InvocationState.UNKNOWN


async def test_the_tool_is_handed_exactly_what_was_decided_on(tmp_path: Path):
    """Have other bytes reach the container than those that policy saw."""
    async with sandbox_node(tmp_path) as node, sandbox_world(tmp_path, node.address) as (w, _):
        done = await w.refund(await w.caller())
        (call,) = node.called
        assert call.input_json == done.call.canonical
        assert call.subject == done.principal
        assert call.deadline.ToMilliseconds() == 5_000
        assert node.reserved[0].image == IMAGE
