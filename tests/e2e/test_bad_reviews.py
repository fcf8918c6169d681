"""Reviews, workers and manifests that are not as they should be: refused, told of, no effect.

Each test's docstring is the plan of whoever tries it, against a running broker.
"""

import json
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from broker.cli.main import main
from broker.v1 import admin_pb2, review_pb2, types_pb2, worker_pb2
from tests.e2e.guarded_shop import (
    AGENT,
    CUSTOMER,
    ESCAPES,
    LEDGER,
    READ_NOTE,
    GuardedShop,
    RawWorker,
    bearer,
    refusal_of,
    refused,
)
from tests.replay.running import until

SUCCEEDED = types_pb2.Invocation.STATE_SUCCEEDED
DRAWN_BY_NOBODY = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def entries(shop: GuardedShop, at: float, kind: str) -> list[dict[str, Any]]:
    return [entry for entry in shop.said_since(at) if entry["kind"] == kind]


def refused_alone(shop: GuardedShop, attempt: Callable[[], object], actor: str) -> tuple[str, str]:
    """Code and reason of a refusal that leaves an entry of its actor and changes nothing."""
    at = shop.clock()
    with shop.nothing_changes():
        error = refused(attempt)
    [entry] = entries(shop, at, "request.refused")
    assert (entry["actor"], entry["body"]["reason"]) == (actor, error.reason)
    return error.code, error.reason


def test_an_agent_approves_nothing(shop: GuardedShop):
    """I approve my own call, with the token that I have."""
    hold = shop.hold(shop.session())
    by = shop.by("agent")
    approve = review_pb2.ApproveHoldRequest(name=hold.name, etag=hold.etag)
    told = refused_alone(shop, lambda: shop.review.ApproveHold(approve, **by), AGENT)
    assert told == ("PERMISSION_DENIED", "NOT_PERMITTED")


@pytest.mark.parametrize("person", ["assistants-owner", CUSTOMER])
def test_nobody_reviews_their_own_request_under_another_name(shop: GuardedShop, person: str):
    """I am a reviewer, and have my own agent, or an agent that acts for me, ask for it."""
    hold, name = shop.hold(shop.session()), f"lead-who-is-{person}"
    shop.by("reviewer", name, person=person)
    told = refused_alone(shop, lambda: shop.approve(hold, name), name)
    assert told == ("PERMISSION_DENIED", "NOT_PERMITTED")
    assert shop.shown(hold.name).state == review_pb2.Hold.STATE_PENDING


def test_one_person_under_two_names_counts_once(shop: GuardedShop):
    """I am two reviewers, and approve what needs two people."""
    hold = shop.hold(shop.session(), "wipe")
    for name in ("lead-by-day", "lead-by-night"):
        shop.by("reviewer", name, person="both-of-them")
    after = shop.approve(hold, "lead-by-day")
    told = refused_alone(shop, lambda: shop.approve(after, "lead-by-night"), "lead-by-night")
    assert told == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
    assert shop.shown(hold.name).requirements[0].approvals_given == 1
    shop.approve(shop.shown(hold.name), "lead-2")
    until(lambda: shop.state(hold.invocation) == "SUCCEEDED", "two people have approved it")


@pytest.mark.parametrize(
    "person", ["both of\u200b them", " both-of-them", "\uff42oth-of-them", "#x"]
)
def test_a_person_has_no_second_name_that_looks_alike(shop: GuardedShop, person: str):
    """I have a second credential made, for a Person who looks like me and is another."""
    at = shop.clock()
    terms = {"person": person, "groups": ["leads"]}
    with shop.nothing_changes():
        error = refused(lambda: shop.operator.create_token("reviewer", "lead-9", **terms))
    assert (error.code, error.metadata["field"]) == ("INVALID_ARGUMENT", "person")
    assert len(entries(shop, at, "request.malformed")) == 1


@pytest.mark.parametrize(
    "stale", [{"etag": "999"}, {"etag": "-1"}, {"call_digest": "sha256:" + "0" * 64}]
)
def test_what_was_not_shown_is_not_approved(shop: GuardedShop, stale: dict[str, str]):
    """I have a reviewer approve another state of the hold, or another call, than they saw."""
    hold = shop.hold(shop.session())
    shop.by("reviewer")
    told = refused_alone(shop, lambda: shop.approve(hold, **stale), "lead-1")
    assert told == ("ABORTED", "STALE_ETAG")


def test_an_etag_from_before_another_review_is_stale(shop: GuardedShop):
    """I hurry the second reviewer, who has not seen what the first one did."""
    hold = shop.hold(shop.session(), "wipe")
    shop.by("reviewer", "lead-2")
    shop.approve(hold, "lead-1")
    told = refused_alone(shop, lambda: shop.approve(hold, "lead-2"), "lead-2")
    assert told == ("ABORTED", "STALE_ETAG")


def test_a_hold_is_claimed_once_however_many_approve_at_once(shop: GuardedShop):
    """I have eight people click at the same moment, and again afterwards."""
    hold, ran, at = shop.hold(shop.session()), len(shop.ran), shop.clock()
    leads = [f"lead-{n}" for n in range(10, 18)]
    for lead in leads:
        shop.by("reviewer", lead)
    together = threading.Barrier(len(leads))

    def click(lead: str) -> str:
        together.wait(timeout=30)
        try:
            shop.approve(hold, lead)
        except grpc.RpcError as error:
            return refusal_of(error).reason
        return "APPROVED"

    with ThreadPoolExecutor(len(leads)) as people:
        said = list(people.map(click, leads))
    assert said.count("APPROVED") == 1
    assert set(said) <= {"APPROVED", "STALE_ETAG", "ILLEGAL_TRANSITION"}
    until(lambda: shop.state(hold.invocation) == "SUCCEEDED", "one of them has approved it")
    assert shop.ran[ran:] == ["delete_note"]
    kinds = [entry["kind"] for entry in shop.story(hold.invocation)]
    assert kinds.count("attempt.started") == kinds.count("call.ended") == 1
    assert len(entries(shop, at, "request.refused")) == len(leads) - 1
    # Once more, by whoever already has, and by somebody new: kept for the log, without effect.
    new = shop.by("reviewer", "lead-18")
    winner = leads[said.index("APPROVED")]
    for lead in (winner, "lead-18"):
        error = refused(lambda lead=lead: shop.approve(hold, lead))
        assert (error.code, error.reason) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
    assert shop.review.GetHold(review_pb2.GetHoldRequest(name=hold.name), **new).hold.state == (
        review_pb2.Hold.STATE_CLAIMED
    )
    assert [r.counted for r in shop.shown(hold.name).reviews].count(True) == 1
    assert shop.ran[ran:] == ["delete_note"]


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

    assert refused_alone(shop, connect, "workers/ledger") == ("PERMISSION_DENIED", "NOT_PERMITTED")
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
    [entry] = entries(shop, at, "request.malformed")
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
    [entry] = entries(shop, at, "request.malformed")
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


def test_nothing_that_holds_show_prints_acts_on_a_terminal(
    shop: GuardedShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """I put a terminal's language into every value that I or my user can write."""
    session = shop.session(words=[f"Delete it.{ESCAPES}"], principal=f"customers/{ESCAPES}")
    labels = {f"key{ESCAPES}": f"value{ESCAPES}"}
    shop.invoke(session, f"read_note{ESCAPES}", {}, request_id=f"r{ESCAPES}")
    hold = shop.hold(session, note_id="n-2", labels=labels)
    shop.by("reviewer")
    tokens = {"REVIEWER": shop._tokens["lead-1"], "OPERATOR": shop.operator_token}
    monkeypatch.setenv("CALLBROKER_ADDRESS", shop.address)
    for kind, token in tokens.items():
        monkeypatch.setenv(f"CALLBROKER_{kind}_TOKEN", token)
    commands = [
        ("holds", "show", hold.name),
        ("holds", "show", hold.name, "--json"),
        ("holds", "list"),
        ("invocations", "show", hold.invocation),
        ("invocations", "list"),
        ("audit", "show", hold.invocation),
    ]
    before = shop.rows()
    for command in commands:
        assert main(command) == 0, capsys.readouterr()
        printed = capsys.readouterr().out
        assert "owned" in printed or command[0] == "invocations"
        bad = {c for c in printed if unicodedata.category(c) in DRAWN_BY_NOBODY} - {"\n"}
        assert bad == set(), command
    assert shop.rows() == before
    reject = ("holds", "reject", hold.name, "--etag", hold.etag, "--reason", f"No.{ESCAPES}")
    assert main(reject) == 0
    assert main(("holds", "show", hold.name)) == 0
    printed = capsys.readouterr().out
    assert {c for c in printed if unicodedata.category(c) in DRAWN_BY_NOBODY} - {"\n"} == set()
