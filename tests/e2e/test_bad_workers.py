"""Workers and manifests that are not as they should be: refused, told of, without effect.

Each test's docstring is the plan of whoever tries it, against a running broker.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from broker.v1 import admin_pb2, types_pb2, worker_pb2
from tests.e2e.guarded_shop import GuardedShop
from tests.e2e.raw_worker import RawWorker
from tests.e2e.refusals import bearer, refused
from tests.e2e.shop_tools import AGENT, LEDGER, READ_NOTE

SUCCEEDED = types_pb2.Invocation.STATE_SUCCEEDED


@pytest.fixture(scope="module")
def ledger_token(shop: GuardedShop) -> str:
    return shop.operator.create_token("worker", "workers/ledger", tools=["ledger"])


@pytest.mark.parametrize("tools", [("refund",), ("ledger", "refund"), ("ledger", "no_such_tool")])
def test_a_worker_takes_no_other_ones_tool(
    shop: GuardedShop, ledger_token: str, tools: tuple[str, ...]
):
    """I hold a credential for a harmless tool, and offer to carry out refunds."""

    def connect() -> None:
        with RawWorker(shop, ledger_token, *tools) as worker:
            worker.hear()

    assert shop.refused_alone(connect, "workers/ledger") == ("PERMISSION_DENIED", "NOT_PERMITTED")
    status = shop.admin.GetStatus(admin_pb2.GetStatusRequest(), **shop.by_operator)
    assert [list(w.tools) for w in status.workers if "ledger" in w.tools] == []


def test_an_answer_with_an_old_token_changes_nothing(shop: GuardedShop, ledger_token: str):
    """I keep the token of an earlier call, and answer the next one with it."""
    session = shop.session()
    with RawWorker(shop, ledger_token, "ledger") as worker, ThreadPoolExecutor(2) as agents:
        assert worker.hear().welcome.worker
        first = agents.submit(shop.invoke, session, "ledger", {"line": "first"})
        old = worker.hear().handover
        worker.answer(old, b'"done"')
        assert worker.hear().acknowledged.fencing_token == old.fencing_token
        assert first.result(timeout=30).state == SUCCEEDED

        second = agents.submit(shop.invoke, session, "ledger", {"line": "second"})
        new = worker.hear().handover
        with shop.nothing_changes():
            worker.answer(new, b'"forged"', token=old.fencing_token)
            assert worker.hear().acknowledged.fencing_token == old.fencing_token
            worker.answer(old, b'"twice"')
            assert worker.hear().acknowledged.invocation == old.invocation
        assert not second.done()
        assert shop.state(new.invocation) == "RUNNING"
        worker.answer(new, b'"true"')
        assert worker.hear().acknowledged.fencing_token == new.fencing_token
        assert second.result(timeout=30).result_json == b'"true"'
    for handover in (old, new):
        kinds = [entry["kind"] for entry in shop.story(handover.invocation)]
        assert kinds.count("attempt.answered_late") == 1
        assert kinds.count("call.ended") == 1


def test_an_answer_of_ten_megabytes_is_withheld(shop: GuardedShop, ledger_token: str):
    """I have a tool answer with more than anybody can read."""
    with RawWorker(shop, ledger_token, "ledger") as worker, ThreadPoolExecutor(1) as agents:
        assert worker.hear().welcome.worker
        asked = agents.submit(shop.invoke, shop.session(), "ledger", {"line": "x"})
        handover = worker.hear().handover
        worker.answer(handover, b'"' + b"x" * 10 * 1024 * 1024 + b'"')
        assert worker.hear().acknowledged.invocation == handover.invocation
        call = asked.result(timeout=30)
    assert (call.state, call.code, call.result_json) == (SUCCEEDED, "RESULT_INVALID", b"")
    assert call.result_withheld
    assert shop.story(call.name)[-1]["body"]["code"] == "RESULT_INVALID"


def test_a_call_that_no_worker_takes_is_no_call(shop: GuardedShop):
    """I call while the worker is away, so that nobody knows what becomes of it."""
    session = shop.session()
    told = shop.refused_alone(lambda: shop.invoke(session, "ledger", {"line": "x"}), AGENT)
    assert told == ("UNAVAILABLE", "RUNNER_UNAVAILABLE")


def test_a_worker_answers_for_no_other_one(shop: GuardedShop, ledger_token: str):
    """I learned another worker's token, and answer its call from my own stream."""
    shop.operator.put_tools([{**LEDGER, "name": "journal", "scopes": [{"name": "ledger:use"}]}])
    theirs = shop.operator.create_token("worker", "workers/journal", tools=["journal"])
    with (
        RawWorker(shop, ledger_token, "ledger") as worker,
        RawWorker(shop, theirs, "journal") as stranger,
        ThreadPoolExecutor(1) as agents,
    ):
        assert worker.hear().welcome.worker
        assert stranger.hear().welcome.worker
        call = agents.submit(shop.invoke, shop.session(), "ledger", {"line": "x"})
        handover = worker.hear().handover
        with shop.nothing_changes():
            stranger.answer(handover, b'"forged"')
            assert stranger.hear().acknowledged.invocation == handover.invocation
        assert not call.done()
        worker.answer(handover, b'"true"')
        assert call.result(timeout=30).result_json == b'"true"'


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (worker_pb2.ConnectRequest(), "INVALID_ARGUMENT"),
        (worker_pb2.ConnectRequest(draining=worker_pb2.WorkerDraining()), "INVALID_ARGUMENT"),
        (worker_pb2.ConnectRequest(hello=worker_pb2.WorkerHello(slots=1)), "INVALID_ARGUMENT"),
        (
            worker_pb2.ConnectRequest(
                hello=worker_pb2.WorkerHello(
                    slots=1,
                    tools=[
                        worker_pb2.ToolOffer(
                            name="ledger", parameters_schema_json=b'{"type":"object","type":1}'
                        )
                    ],
                )
            ),
            "INVALID_ARGUMENT",
        ),
    ],
)
def test_a_worker_that_says_nonsense_is_not_taken(
    shop: GuardedShop, ledger_token: str, first: worker_pb2.ConnectRequest, code: str
):
    """I say something else than hello, or offer a tool with a schema that is none."""
    at = shop.clock()
    with shop.nothing_changes():
        error = refused(lambda: list(shop.worker.Connect(iter([first]), **bearer(ledger_token))))
    assert (error.code, error.reason) == (code, "MALFORMED_REQUEST")
    [entry] = shop.entries(at, "request.malformed")
    assert entry["actor"] == "workers/ledger"


def changed(**arguments: Any) -> bytes:
    """A manifest whose arguments have one more property, or something else."""
    schema = {**READ_NOTE["arguments"], **arguments}
    return json.dumps({**READ_NOTE, "arguments": schema}).encode()


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (b"", "JSON"),
        (b"[]", "object"),
        (b'{"name":"read_note","name":"refund"}', "twice"),
        (json.dumps({**READ_NOTE, "scopes": []}).encode(), "/scopes"),
        (json.dumps({**READ_NOTE, "allow": True}).encode(), "allow"),
        (json.dumps({**READ_NOTE, "runner": "shell"}).encode(), "/runner"),
        (json.dumps({**READ_NOTE, "summary": "{nofact#/x}"}).encode(), "nofact"),
        (changed(additionalProperties=True), "closed"),
        (changed(type="nonsense"), "/arguments"),
        (changed(properties={"note_id": {"$ref": "https://example.com/x.json"}}), "leaves"),
        (changed(properties={"note_id": {"$ref": "file:///etc/passwd"}}), "leaves"),
        (changed(properties={"note_id": {"$dynamicRef": "other.json"}}), "leaves"),
        (changed(properties={"note_id": {"pattern": "^(?=(a+)+$)b"}}), "pattern"),
        (changed(properties={"note_id": {"pattern": "^(a+)\\1+$"}}), "pattern"),
        (changed(properties={"note_id": {"pattern": "((a{1000}){1000}){1000}"}}), "pattern"),
    ],
    ids=str,
)
def test_a_broken_manifest_puts_nothing_in_force(shop: GuardedShop, manifest: bytes, told: str):
    """I have an operator register what I wrote, together with good tools."""
    by = shop.by("operator", "operator-2", person="operator-2")
    request = admin_pb2.PutToolsRequest(
        manifests_json=[json.dumps({**LEDGER, "name": "fine"}).encode(), manifest]
    )
    at = shop.clock()
    with shop.nothing_changes():
        error = refused(lambda: shop.admin.PutTools(request, **by))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")
    assert error.metadata["field"] == "manifests_json"
    assert "manifest 2" in error.message
    assert told in error.message
    [entry] = shop.entries(at, "request.malformed")
    assert (entry["actor"], entry["body"]["field"]) == ("operator-2", "manifests_json")


def test_an_exponential_pattern_costs_nothing(shop: GuardedShop):
    """I have a tool registered whose pattern a backtracking engine never gets out of."""
    slow = changed(properties={"note_id": {"type": "string", "pattern": "^(a+)+$"}})
    shop.admin.PutTools(admin_pb2.PutToolsRequest(manifests_json=[slow]), **shop.by_operator)
    session = shop.session()
    with shop.only_a_record(session, "DENIED"):
        call = shop.invoke(session, "read_note", {"note_id": "a" * 200_000 + "!"})
    assert call.code == "ARGUMENTS_INVALID"
    assert call.update_time.ToNanoseconds() - call.create_time.ToNanoseconds() < 1_000_000_000
    shop.operator.put_tools([READ_NOTE])
