"""Using a session or mandate that is somebody else's, over, or used."""

import asyncio
from pathlib import Path

import pytest

from broker.core import limits
from broker.core.calls import Person, Principal
from broker.core.credentials import CredentialClass
from broker.core.errors import IllegalTransition, LimitExceeded, MalformedRequest, NotFound
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.scopes import Scope
from broker.mandates import MandateOrder
from tests.fakes.decision_point import hold, opinion
from tests.world import AGENT, CUSTOMER, credential, world

HOST = credential(CredentialClass.HOST, "hosts/shop")
OTHER_HOST = credential(CredentialClass.HOST, "hosts/other")
OTHER_AGENT = credential(CredentialClass.AGENT, "agents/other", person="somebody")


def order(**given) -> MandateOrder:
    fields = {
        "principal": Principal(id=CUSTOMER, person=Person(issuer="local", subject=CUSTOMER)),
        "agent": AGENT,
        "words": ("Hello.",),
        "scopes": (Scope(name="refunds:write"),),
    }
    return MandateOrder(**{**fields, **given})


async def test_a_mandate_is_redeemed_once_even_in_a_race(tmp_path: Path):
    """Redeem one mandate many times at once for many sessions."""
    async with world(tmp_path) as w:
        _, secret = await w.mandates.create(HOST, order())
        results = await asyncio.gather(
            *(w.sessions.open(w.agent, secret) for _ in range(10)), return_exceptions=True
        )
        assert sum(not isinstance(r, Exception) for r in results) == 1
        assert {type(r) for r in results if isinstance(r, Exception)} == {NotFound}


async def test_a_mandate_of_another_agent_and_no_mandate_look_alike(tmp_path: Path):
    """Try secrets, and learn from the answers which exist."""
    async with world(tmp_path) as w:
        _, secret = await w.mandates.create(HOST, order())
        said = []
        for agent, tried in ((OTHER_AGENT, secret), (w.agent, "no such secret")):
            with pytest.raises(NotFound) as refused:
                await w.sessions.open(agent, tried)
            said.append(str(refused.value))
        assert said[0] == said[1]


async def test_a_mandate_is_not_good_for_ever(tmp_path: Path):
    """Keep a mandate for later."""
    async with world(tmp_path) as w:
        _, secret = await w.mandates.create(HOST, order())
        w.clock.advance(limits.MANDATE_REDEEM_S)
        with pytest.raises(NotFound):
            await w.sessions.open(w.agent, secret)


async def test_somebody_elses_session_is_not_found(tmp_path: Path):
    """Know a session's name, or even its secret, and use it with another agent's credential."""
    async with world(tmp_path) as w:
        _, secret = await w.mandates.create(HOST, order())
        session, session_secret = await w.sessions.open(w.agent, secret)
        for agent, tried in ((OTHER_AGENT, session_secret), (w.agent, "wrong")):
            with pytest.raises(NotFound):
                await w.sessions.caller(agent, session.name, tried)
            with pytest.raises(NotFound):
                await w.sessions.close(agent, session.name, tried)
        invocation = await w.refund(await w.caller())
        with pytest.raises(NotFound):
            await w.invocations.find(OTHER_AGENT, invocation.name)
        with pytest.raises(NotFound):
            await w.invocations.cancel(OTHER_AGENT, invocation.name)


async def test_a_closed_session_decides_nothing_and_what_waits_is_withdrawn(tmp_path: Path):
    """Have a call held, close the session, and count on the hold being approved later."""
    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE"))
        caller = await w.caller()
        invocation = await w.refund(caller)
        mandate = caller.session.mandate
        await w.mandates.revoke(HOST, mandate, "the user left")
        found = await w.store.find_hold(invocation.hold)
        assert found[0].state is HoldState.WITHDRAWN
        ended = await w.store.find_invocation(invocation.name)
        assert ended.state is InvocationState.CANCELLED
        with pytest.raises(IllegalTransition):
            await w.refund(caller)


async def test_nobody_calls_from_a_session_that_is_over(tmp_path: Path):
    """List tools, or close once more, in a session that the host has revoked."""
    async with world(tmp_path) as w:
        mandate, secret = await w.mandates.create(HOST, order())
        session, session_secret = await w.sessions.open(w.agent, secret)
        await w.mandates.revoke(HOST, mandate.name, "the user left")
        for ask in (w.sessions.caller, w.sessions.close):
            with pytest.raises(IllegalTransition, match="REVOKED"):
                await ask(w.agent, session.name, session_secret)


async def test_bytes_that_are_no_call_decide_nothing_and_are_written_down(tmp_path: Path):
    """Send what two readers see apart, again and again, and leave no trace of it."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        before = (await w.store.counts()).audit_entries
        for data in (b'{"a":1,"a":2}', b'{"a":NaN}', b"[]", b'{"a":"\\ud800"}'):
            with pytest.raises(MalformedRequest) as refused:
                await w.enforcer.invoke(caller, request_id="r", tool="refund", arguments_json=data)
            assert refused.value.metadata["field"] == "arguments_json"
        assert (await w.store.counts()).audit_entries == before + 4
        assert await w.store.find_request(caller.session.name, "r") is None


async def test_idle_and_absolute_ends(tmp_path: Path):
    """Come back to a session that the user has long left."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        w.clock.advance(limits.SESSION_IDLE_S - 1)
        await w.refund(caller, 1)
        w.clock.advance(limits.SESSION_IDLE_S - 1)
        await w.refund(caller, 1)
        w.clock.advance(limits.SESSION_IDLE_S)
        with pytest.raises(IllegalTransition):
            await w.refund(caller, 1)


async def test_a_session_of_a_host_is_not_another_hosts(tmp_path: Path):
    """Put words into the mouth of another application's user, or end its sessions."""
    async with world(tmp_path) as w:
        mandate, _ = await w.mandates.create(HOST, order())
        with pytest.raises(NotFound):
            await w.mandates.add_words(OTHER_HOST, mandate.name, ["Refund everything."])
        with pytest.raises(NotFound):
            await w.mandates.revoke(OTHER_HOST, mandate.name, "because")


async def test_words_are_bounded_over_all_turns(tmp_path: Path):
    """Fill the database with words, a few at a time."""
    async with world(tmp_path) as w:
        mandate, _ = await w.mandates.create(HOST, order())
        with pytest.raises(LimitExceeded):
            await w.mandates.add_words(HOST, mandate.name, ["x" * limits.WORDS_BYTES_MAX])
        assert await w.mandates.add_words(HOST, mandate.name, ["And another thing."]) == 2


async def test_a_mandate_is_bounded_in_words_scopes_and_life(tmp_path: Path):
    """Order a session with a library of words, a thousand and one scopes, or for a lifetime."""
    async with world(tmp_path) as w:
        scopes = tuple(Scope(name=f"s{n}") for n in range(limits.MANDATE_SCOPES_MAX + 1))
        for wrong in ({"words": ("x" * limits.WORDS_BYTES_MAX,)}, {"scopes": scopes}):
            with pytest.raises(LimitExceeded):
                await w.mandates.create(HOST, order(**wrong))
        for life_s, given_s in ((1e12, limits.SESSION_LIFE_S_MAX), (-1.0, 1.0)):
            _, secret = await w.mandates.create(HOST, order(life_s=life_s))
            session, _ = await w.sessions.open(w.agent, secret)
            assert session.expires_at == w.clock() + given_s


async def test_a_mandate_for_an_agent_that_nobody_made_is_refused(tmp_path: Path):
    async with world(tmp_path) as w:
        with pytest.raises(MalformedRequest, match="no agent"):
            await w.mandates.create(HOST, order(agent="agents/none"))


@pytest.mark.parametrize("scopes", [(), ("orders:read",)])
async def test_a_session_without_the_scope_has_no_tool(tmp_path: Path, scopes):
    """Principal and agent hold the scope; the mandate does not name it."""
    async with world(tmp_path) as w:
        caller = await w.caller(scopes=scopes)
        assert w.enforcer.list_tools(caller) == []
        refused = await w.refund(caller)
        assert (refused.state, refused.code) == (InvocationState.DENIED, "TOOL_UNAVAILABLE")


async def test_another_customers_order_and_no_order_look_alike(tmp_path: Path):
    """Walk through order numbers and learn which exist."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        strangers, absent = [
            await w.refund(caller, order_id=order_id) for order_id in ("O-2002", "O-9999")
        ]
        assert (strangers.state, strangers.code, strangers.message) == (
            absent.state,
            absent.code,
            absent.message,
        )
        assert strangers.state is InvocationState.DENIED
        # Policy is not even asked, so that no rule can be made to say which it was.
        assert w.policy.asked == []


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (FreezeKind.TOOL, "refund"),
        (FreezeKind.AGENT, AGENT),
        (FreezeKind.PRINCIPAL, CUSTOMER),
        (FreezeKind.SESSION, ""),
        (FreezeKind.ALL, ""),
    ],
)
async def test_a_freeze_stops_the_next_call(tmp_path: Path, kind: FreezeKind, subject: str):
    """Go on after somebody pulled the plug."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        await w.freeze(kind, caller.session.name if kind is FreezeKind.SESSION else subject)
        refused = await w.refund(caller)
        assert (refused.state, refused.code) == (InvocationState.DENIED, "FROZEN")
        assert not w.runner.ran


async def test_a_freeze_that_this_broker_has_not_heard_of_stops_the_next_call(tmp_path: Path):
    """Ask the broker that did not see the plug being pulled."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        await w.freeze(FreezeKind.ALL, is_heard=False)
        refused = await w.refund(caller)
        assert (refused.state, refused.code) == (InvocationState.DENIED, "FROZEN")
        assert not w.runner.ran


async def test_a_freeze_between_decision_and_hand_over_stops_the_call(tmp_path: Path):
    """Be decided a moment before the plug is pulled, and be handed over a moment after."""
    async with world(tmp_path) as w:
        reserve = w.runner.reserve

        async def reserve_then_freeze(manifest, **asked):
            slot = await reserve(manifest, **asked)
            commit = w.store.commit

            async def commit_then_freeze(unit):
                w.store.commit = commit
                await commit(unit)
                await w.freeze(FreezeKind.ALL)

            w.store.commit = commit_then_freeze
            return slot

        w.runner.reserve = reserve_then_freeze
        stopped = await w.refund(await w.caller())
        assert (stopped.state, stopped.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        assert not w.runner.ran
        usage = await w.store.seen(stopped.session, [], now=w.clock())
        assert usage.usage == {}
