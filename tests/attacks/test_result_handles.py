"""Attacks on naming a result in place of a value: what was not released here is not to be had."""

import json
from pathlib import Path
from typing import Any

import pytest

from broker.core.calls import Caller, Invocation
from broker.core.decision import Obligation
from broker.core.errors import RequestIdReused
from broker.core.lifecycle import InvocationState
from broker.core.plan import WITHHOLD
from broker.ports import Succeeded
from tests.fakes.decision_point import allow, opinion
from tests.strangers import ask, mediated, office
from tests.world import World

UNKNOWN = "RESULT_UNKNOWN"


def handle(of: Invocation | str, pointer: str = "") -> Any:
    return {"$result": of if isinstance(of, str) else of.name, "pointer": pointer}


async def refused(w: World, caller: Caller, **arguments: Any) -> str:
    w.requests += 1
    done = await w.enforcer.invoke(
        caller,
        request_id=f"h{w.requests}",
        tool="pay",
        arguments_json=json.dumps(arguments).encode(),
    )
    assert done.state is InvocationState.DENIED, done
    return done.code


async def test_what_a_handle_names_is_what_is_judged_sent_and_digested(tmp_path: Path):
    """(What it is for: the value itself goes the way of any other.)"""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        echoed = await ask(w, caller, "echo", note=[{"id": "ACC-000123"}])
        by_handle = await ask(w, caller, "pay", to=handle(echoed, "/saved/note/0/id"))
        by_value = await ask(w, caller, "pay", to="ACC-000123")
        assert by_handle.call.canonical == b'{"to":"ACC-000123"}' == by_value.call.canonical
        assert by_handle.call.digest == by_value.call.digest
        assert [call.invocation.call.arguments for call in w.runner.ran[-2:]] == [
            {"to": "ACC-000123"}
        ] * 2
        assert w.policy.asked[-2]["call"] == w.policy.asked[-1]["call"]


async def test_another_sessions_result_and_none_look_alike(tmp_path: Path):
    """Name the result of another session, whose invocation's name has leaked."""
    async with office(tmp_path) as w:
        theirs, ours = await mediated(w), await mediated(w)
        secret = await ask(w, theirs, "echo", note="the vault opens at 4711")
        never = f"invocations/{w.ids()}"
        assert await refused(w, ours, to=handle(secret)) == UNKNOWN
        assert await refused(w, ours, to=handle(never)) == UNKNOWN
        found = [await w.store.find_request(ours.session.name, f"h{n}") for n in (2, 3)]
        assert len({one.message for one in found if one is not None}) == 1


async def test_what_was_withheld_or_failed_is_not_to_be_had(tmp_path: Path):
    """Have a result withheld, and carry it out by its name."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        w.policy.answer = opinion(allow(), obligations=(Obligation(kind=WITHHOLD),))
        withheld = await ask(w, caller, "echo", note="the vault opens at 4711")
        w.policy.answer = opinion(allow())
        failed = await ask(w, caller, "fail")
        assert await refused(w, caller, to=handle(withheld, "/saved/note")) == UNKNOWN
        assert await refused(w, caller, to=handle(failed)) == UNKNOWN


@pytest.mark.parametrize(
    "written",
    [
        {"$result": "NAME"},
        {"$result": "NAME", "pointer": "saved"},
        {"$result": "NAME", "pointer": "/nothing"},
        {"$result": "NAME", "pointer": "/saved/note/0"},
        {"$result": "NAME", "pointer": "/saved", "more": 1},
        {"$result": ["NAME"], "pointer": ""},
        {"$result": "NAME\u0000", "pointer": ""},
        {"$result": {"$result": "NAME", "pointer": ""}, "pointer": ""},
        [[{"to": {"$result": "NAME", "pointer": "/-"}}]],
    ],
)
async def test_what_is_no_handle_is_refused_and_not_passed_on(tmp_path: Path, written: Any):
    """Send what one reader takes for a handle and another for a value."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        echoed = await ask(w, caller, "echo", note="x")
        given = json.loads(json.dumps(written).replace("NAME", echoed.name))
        assert await refused(w, caller, to=given) == UNKNOWN
        assert [call.invocation.call.tool for call in w.runner.ran] == ["echo"]


async def test_the_arguments_as_a_whole_are_no_handle(tmp_path: Path):
    """Have a stranger's result say all that a tool is called with."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        echoed = await ask(w, caller, "echo", note="x")
        assert await refused(w, caller, **handle(echoed, "/saved")) == UNKNOWN


async def test_a_handle_in_a_text_or_in_a_result_names_nothing(tmp_path: Path):
    """Write a handle into a mail, or into a string, and wait for somebody to follow it."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        secret = await ask(w, caller, "echo", note="the vault opens at 4711")
        w.runner.effect = lambda _: Succeeded(result_json=json.dumps(handle(secret)).encode())
        mail = await ask(w, caller, "read_mail")
        text = json.dumps(handle(secret))
        done = await ask(w, caller, "pay", to=[handle(mail), text])
        assert done.call.arguments == {"to": [handle(secret), text]}


async def test_handles_that_multiply_are_refused(tmp_path: Path):
    """Name a large result many times over, or nest what was named in what is named next."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        large = await ask(w, caller, "echo", note="x" * 200_000)
        assert await refused(w, caller, to=[handle(large)] * 8) == "RESULT_TOO_LARGE"
        assert await refused(w, caller, to=[handle(large)] * 33) == "RESULT_TOO_LARGE"
        deep: Any = "x"
        for _ in range(25):
            deep = [deep]
        nested = await ask(w, caller, "echo", note=deep)
        given: Any = handle(nested)
        for _ in range(10):
            given = [given]
        assert await refused(w, caller, to=given) == "RESULT_TOO_LARGE"


async def test_one_request_id_is_one_call_with_its_handles(tmp_path: Path):
    """Repeat a request id with a handle that stands for something else by now."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        one = await ask(w, caller, "echo", note="one")
        two = await ask(w, caller, "echo", note="two")

        async def pay(to: Any) -> Invocation:
            arguments = json.dumps({"to": to}).encode()
            return await w.enforcer.invoke(
                caller, request_id="same", tool="pay", arguments_json=arguments
            )

        first = await pay(handle(one, "/saved/note"))
        assert await pay(handle(one, "/saved/note")) == first
        with pytest.raises(RequestIdReused):
            await pay(handle(two, "/saved/note"))
