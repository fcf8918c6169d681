"""Bad input, over the wire: a clear refusal with a stable code, an audit entry, nothing else.

Each test's docstring is the plan of whoever sends it. What must not change is every row of every
table but the log's; a refusal that is an answer adds its own record and nothing more.
"""

import json
from dataclasses import replace

import pytest

from broker.v1 import admin_pb2, broker_pb2, host_pb2, review_pb2, types_pb2
from tests.e2e.guarded_shop import GuardedShop, activate
from tests.e2e.refusals import bearer, refused
from tests.e2e.shop_tools import AGENT, NOT_GRANTED, OTHER_AGENT

MIB = 1024 * 1024
ORDER = {"order_id": "O-1", "amount_minor": 1}


@pytest.mark.parametrize(
    ("code", "raw"),
    [
        ("DUPLICATE_KEY", b'{"order_id":"O-1","amount_minor":1,"amount_minor":9000}'),
        ("DUPLICATE_KEY", b'{"order_id":"O-1","amount_minor":1,"amount_\\u006dinor":9000}'),
        ("NOT_FINITE", b'{"order_id":"O-1","amount_minor":NaN}'),
        ("NOT_FINITE", b'{"order_id":"O-1","amount_minor":-Infinity}'),
        ("NOT_FINITE", b'{"order_id":"O-1","amount_minor":1e400}'),
        ("INTEGER_TOO_LARGE", b'{"order_id":"O-1","amount_minor":9007199254740993}'),
        ("INTEGER_TOO_LARGE", b'{"order_id":"O-1","amount_minor":-9007199254740993}'),
        ("NUMBER_TOO_LONG", b'{"order_id":"O-1","amount_minor":%s}' % (b"1" * 5_000)),
        ("LONE_SURROGATE", b'{"order_id":"O-1","amount_minor":1,"note":"\\ud800"}'),
        ("LONE_SURROGATE", b'{"order_id":"O-1","amount_minor":1,"\\udfff":"x"}'),
        ("NOT_UTF8", b'{"order_id":"\xed\xa0\x80","amount_minor":1}'),
        ("NOT_UTF8", b'{"order_id":"\xff","amount_minor":1}'),
        ("TOO_DEEP", b'{"note":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
        ("TOO_DEEP", b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        ("TOO_MANY_NODES", b'{"note":[%s1]}' % (b"1," * 20_000)),
        ("TOO_LARGE", b'{"note":"%s"}' % (b"x" * 2 * MIB)),
        ("NOT_AN_OBJECT", b"[]"),
        ("NOT_JSON", b""),
        ("NOT_JSON", b'{"order_id":"O-1"'),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_bytes_that_are_no_arguments_are_no_call(shop: GuardedShop, code: str, raw: bytes):
    """I send bytes that the broker, the rules and the tool would each read in another way."""
    session, at = shop.session(), shop.clock()
    with shop.nothing_changes():
        error = refused(lambda: shop.invoke(session, "refund", raw, request_id="r"))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")
    assert error.metadata == {"field": "arguments_json", "code": code}
    [entry] = [e for e in shop.said_since(at) if e["kind"] == "request.malformed"]
    assert entry["body"] == {"bytes": len(raw), "code": code, "request_id": "r", "count": 1}
    assert (entry["actor"], entry["session"]) == (AGENT, session.name)
    # Nothing was decided under this request id: it is still free.
    assert shop.refund(session, request_id="r").state == types_pb2.Invocation.STATE_SUCCEEDED


@pytest.mark.parametrize("where", ["Invoke", "CreateMandate", "ApproveHold", "ActivatePolicy"])
def test_ten_megabytes_are_refused_wherever_they_are_sent(shop: GuardedShop, where: str):
    """I send a body so large that taking it in hurts everybody else."""
    session, large, at = shop.session(), "x" * 10 * MIB, shop.clock()
    hold = shop.hold(session)
    send = {
        "Invoke": lambda: shop.invoke(session, "refund", large.encode()),
        "CreateMandate": lambda: shop.mandate(words=[large]),
        "ApproveHold": lambda: shop.approve(hold, reason=large),
        "ActivatePolicy": lambda: activate(shop, {"lib/x/x.rego": large.encode()}),
    }[where]
    with shop.nothing_changes():
        error = refused(send)
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    [entry] = [e for e in shop.said_since(at) if e["kind"] == "request.refused"]
    assert entry["body"]["reason"] == "LIMIT_EXCEEDED"
    assert entry["body"]["rpc"].endswith(f"/{where}")


@pytest.mark.parametrize(
    ("tool", "arguments", "told", "logged"),
    [
        ("no_such_tool", {}, "TOOL_UNAVAILABLE", "TOOL_UNKNOWN"),
        ("refund\x00", ORDER, "TOOL_UNAVAILABLE", "TOOL_UNKNOWN"),
        (NOT_GRANTED, {"note_id": "n-1"}, "TOOL_UNAVAILABLE", "SCOPE_MISSING"),
        (NOT_GRANTED, {"nonsense": 1}, "TOOL_UNAVAILABLE", "SCOPE_MISSING"),
        ("refund", {**ORDER, "approved": True}, "ARGUMENTS_INVALID", "ARGUMENTS_INVALID"),
        ("refund", {**ORDER, "amount_minor": "1"}, "ARGUMENTS_INVALID", "ARGUMENTS_INVALID"),
        ("refund", {**ORDER, "amount_minor": 1.5}, "ARGUMENTS_INVALID", "ARGUMENTS_INVALID"),
        ("refund", {**ORDER, "amount_minor": True}, "ARGUMENTS_INVALID", "ARGUMENTS_INVALID"),
        ("refund", {**ORDER, "order_id": ["O-1"]}, "ARGUMENTS_INVALID", "ARGUMENTS_INVALID"),
        ("refund", {"order_id": "O-1"}, "ARGUMENTS_INVALID", "ARGUMENTS_INVALID"),
        ("probe", {"address": "nowhere", "size": 1}, "POLICY_ERROR", "POLICY_ERROR"),
        ("probe", {"address": "192.0.2.1", "size": 60_000}, "POLICY_LATE", "POLICY_LATE"),
    ],
)
def test_a_call_that_is_no_good_is_denied_and_recorded(
    shop: GuardedShop, tool: str, arguments: object, told: str, logged: str
):
    """I ask for tools that I do not have, smuggle fields, and make rules err or loop for ever."""
    session = shop.session()
    with shop.only_a_record(session, "DENIED"):
        call = shop.invoke(session, tool, arguments)
    assert call.state == types_pb2.Invocation.STATE_DENIED
    assert call.effect == types_pb2.EFFECT_DENY
    assert call.code == told
    assert told in [reason.code for reason in call.reasons]
    [entry] = shop.story(call.name)
    assert entry["kind"] == "call.decided"
    assert logged in [verdict["code"] for verdict in entry["body"]["verdicts"]]
    # Whoever made a rule err or loop has not hurt anybody else.
    assert shop.refund(session).state == types_pb2.Invocation.STATE_SUCCEEDED


def test_a_frozen_tool_is_not_called(shop: GuardedShop):
    """I go on calling after an operator has pulled the brake."""
    session = shop.session()
    freeze = shop.admin.CreateFreeze(
        admin_pb2.CreateFreezeRequest(
            kind=admin_pb2.Freeze.KIND_TOOL, subject="refund", reason="it pays twice"
        ),
        **shop.by_operator,
    ).freeze
    with shop.only_a_record(session, "DENIED"):
        call = shop.refund(session)
    assert (call.state, call.code) == (types_pb2.Invocation.STATE_DENIED, "FROZEN")
    assert "twice" not in str(call)
    [entry] = shop.story(call.name)
    assert [verdict["code"] for verdict in entry["body"]["verdicts"]] == ["FROZEN"]
    shop.admin.DeleteFreeze(
        admin_pb2.DeleteFreezeRequest(name=freeze.name, reason="mended"), **shop.by_operator
    )
    assert shop.refund(session).state == types_pb2.Invocation.STATE_SUCCEEDED


def test_one_request_id_is_one_call(shop: GuardedShop):
    """I send another call under the id of one that was allowed."""
    session, at = shop.session(), shop.clock()
    first = shop.refund(session, request_id="same")
    with shop.nothing_changes():
        assert shop.refund(session, request_id="same").name == first.name
        error = refused(lambda: shop.invoke(session, "wipe", {"note_id": "n"}, request_id="same"))
    assert (error.code, error.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert refusals(shop, at) == [("REQUEST_ID_REUSED", AGENT)]


def refusals(shop: GuardedShop, at: float) -> list[tuple[str, str]]:
    """Reason and actor of each request that was refused since."""
    said = [e for e in shop.said_since(at) if e["kind"] == "request.refused"]
    return [(entry["body"]["reason"], entry["actor"]) for entry in said]


def test_an_expired_token_opens_nothing(shop: GuardedShop):
    """I kept a token, and come back with it after its time."""
    session = shop.session()
    made = shop.admin.CreateCredential(
        admin_pb2.CreateCredentialRequest(
            credential_class=admin_pb2.CREDENTIAL_CLASS_AGENT,
            subject=AGENT,
            person="assistants-owner",
            life={"seconds": 5},
        ),
        **shop.by_operator,
    )
    request = broker_pb2.ListToolsRequest(session=session.name, session_secret=session.secret)
    assert shop.broker.ListTools(request, **bearer(made.token)).tools
    shop.clock.ahead_s += 6
    at = shop.clock()
    with shop.nothing_changes():
        error = refused(lambda: shop.broker.ListTools(request, **bearer(made.token)))
    assert (error.code, error.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert refusals(shop, at) == [("UNAUTHENTICATED", "")]
    assert made.token not in json.dumps(shop.said_since(at))


@pytest.mark.parametrize("token", ["", "nonsense", f"cb_agent_{'A' * 43}", f"cb_root_{'A' * 43}"])
def test_a_token_that_never_was_opens_nothing(shop: GuardedShop, token: str):
    """I guess."""
    session, at = shop.session(), shop.clock()
    request = broker_pb2.ListToolsRequest(session=session.name, session_secret=session.secret)
    with shop.nothing_changes():
        error = refused(lambda: shop.broker.ListTools(request, **bearer(token)))
    assert (error.code, error.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert refusals(shop, at) == [("UNAUTHENTICATED", "")]


@pytest.mark.parametrize("kind", ["host", "agent", "worker", "reviewer", "operator", "auditor"])
def test_a_token_of_another_class_opens_nothing(shop: GuardedShop, kind: str):
    """I hold a good token, and try every service that it is not for."""
    session = shop.session()
    hold = shop.hold(session)
    subject = {"agent": AGENT}.get(kind, f"{kind}-of-a-test")
    person = {} if kind in {"host", "worker", "auditor"} else {"person": "assistants-owner"}
    groups = {"groups": ["leads"]} if kind == "reviewer" else {}
    tools = {"tools": ["refund"]} if kind == "worker" else {}
    by = bearer(shop.operator.create_token(kind, subject, **person, **groups, **tools))
    ask = {
        "host": lambda: shop.host.RevokeSession(
            host_pb2.RevokeSessionRequest(mandate=session.mandate, reason="x"), **by
        ),
        "agent": lambda: shop.broker.CloseSession(
            broker_pb2.CloseSessionRequest(name=session.name, secret=session.secret), **by
        ),
        "worker": lambda: list(shop.worker.Connect(iter(()), **by)),
        "reviewer": lambda: shop.review.ApproveHold(
            review_pb2.ApproveHoldRequest(name=hold.name, etag=hold.etag), **by
        ),
        "operator": lambda: shop.admin.CreateFreeze(
            admin_pb2.CreateFreezeRequest(kind=admin_pb2.Freeze.KIND_ALL, reason="x"), **by
        ),
        "auditor": lambda: list(shop.admin.ExportAudit(admin_pb2.ExportAuditRequest(), **by)),
    }
    mine = {kind} | ({"auditor"} if kind == "operator" else set())
    for service in ask.keys() - mine:
        at = shop.clock()
        with shop.nothing_changes():
            error = refused(ask[service])
        assert (error.code, error.reason) == ("PERMISSION_DENIED", "NOT_PERMITTED")
        assert refusals(shop, at) == [("NOT_PERMITTED", subject)]


def test_somebody_elses_session_is_none(shop: GuardedShop):
    """I learned the name and the secret of another agent's session, or only its name."""
    session, mine, at = shop.session(), shop.session(agent=OTHER_AGENT), shop.clock()
    call = shop.refund(session)
    theirs = {
        "invoke": lambda: shop.refund(session, agent=OTHER_AGENT),
        "with my secret": lambda: shop.refund(session, session_secret=mine.secret),
        "close": lambda: shop.broker.CloseSession(
            broker_pb2.CloseSessionRequest(name=session.name, secret=session.secret),
            **shop.by("agent", OTHER_AGENT),
        ),
        "look": lambda: shop.broker.GetInvocation(
            broker_pb2.GetInvocationRequest(name=call.name), **shop.by("agent", OTHER_AGENT)
        ),
        "cancel": lambda: shop.broker.CancelInvocation(
            broker_pb2.CancelInvocationRequest(name=call.name), **shop.by("agent", OTHER_AGENT)
        ),
        "none": lambda: shop.refund(replace(session, name="sessions/none")),
    }
    with shop.nothing_changes():
        errors = {name: refused(attempt) for name, attempt in theirs.items()}
    assert {(e.code, e.reason) for e in errors.values()} == {("NOT_FOUND", "NOT_FOUND")}
    assert errors["invoke"] == errors["none"]
    assert [reason for reason, _ in refusals(shop, at)] == ["NOT_FOUND"] * len(theirs)


def test_somebody_elses_mandate_is_none(shop: GuardedShop):
    """I redeem a mandate that names another agent, or speak for another host's user."""
    mandate, at = shop.mandate(), shop.clock()
    redeem = broker_pb2.OpenSessionRequest(mandate_secret=mandate.secret)
    other_agent, other_host = shop.by("agent", OTHER_AGENT), shop.by("host", "hosts/other")
    attempts = [
        lambda: shop.broker.OpenSession(redeem, **other_agent),
        lambda: shop.host.AddWords(
            host_pb2.AddWordsRequest(mandate=mandate.name, words=["Refund all."]), **other_host
        ),
        lambda: shop.host.RevokeSession(
            host_pb2.RevokeSessionRequest(mandate=mandate.name, reason="x"), **other_host
        ),
    ]
    with shop.nothing_changes():
        errors = [refused(attempt) for attempt in attempts]
    assert {(e.code, e.reason) for e in errors} == {("NOT_FOUND", "NOT_FOUND")}
    assert refusals(shop, at) == [
        ("NOT_FOUND", OTHER_AGENT),
        ("NOT_FOUND", "hosts/other"),
        ("NOT_FOUND", "hosts/other"),
    ]
    assert shop.broker.OpenSession(redeem, **shop.by("agent")).name


def test_a_mandate_is_used_once(shop: GuardedShop):
    """I open a second session with one order, for a second budget of everything."""
    mandate = shop.mandate()
    redeem = broker_pb2.OpenSessionRequest(mandate_secret=mandate.secret)
    shop.broker.OpenSession(redeem, **shop.by("agent"))
    at = shop.clock()
    with shop.nothing_changes():
        error = refused(lambda: shop.broker.OpenSession(redeem, **shop.by("agent")))
    assert (error.code, error.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert refusals(shop, at) == [("NOT_FOUND", AGENT)]
