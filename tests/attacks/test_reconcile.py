"""Attacks on the tool's own word: who may say what became of a call, and what that cannot do."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from broker.core.audit import EntryKind
from broker.core.calls import Invocation
from broker.core.canonical import digest
from broker.core.errors import NotFound, StoreUnavailable
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import InvocationState
from broker.core.manifest_checks import findings
from broker.core.unit import EndSession, Unit
from broker.enforcer.reconciling import PAUSES_S
from broker.ports import Failed, FrozenCall, InvocationQuery, Lost, Outcome, Succeeded
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.reconciled import FIND, LOOKS, RECONCILE
from tests.world import AGENT, ONCE, REFUND, World, build, world

YES = Succeeded(result_json=b'{"made":true}')
NO = Succeeded(result_json=b'{"made":false}')


@dataclass(kw_only=True)
class Asked:
    """A world whose refunds get lost, and what the tool that looks says."""

    world: World
    says: Outcome = YES
    questions: list[FrozenCall] = field(default_factory=list)
    verdict: Any = field(default_factory=allow)

    def carry_out(self, call: FrozenCall) -> Outcome:
        if call.manifest.name == "refund":
            return Lost(why="no answer")
        self.questions.append(call)
        return self.says

    async def lose(self) -> Invocation:
        """A refund whose outcome nobody knows."""
        lost = await self.world.refund(await self.world.caller())
        assert lost.state is InvocationState.UNKNOWN
        return lost

    async def look(self, lost: Invocation, *, rounds: int = 1) -> Invocation:
        """Let the time of the call go by, and the broker ask."""
        for _ in range(rounds):
            self.world.clock.advance(10.0)
            await self.sweep()
        found = await self.world.store.find_invocation(lost.name)
        assert found is not None
        return found

    async def sweep(self) -> None:
        await self.world.recovery.sweep_once()
        while self.world.own.tasks:
            for task in self.world.own.tasks:
                with contextlib.suppress(Exception):
                    await task


@contextlib.asynccontextmanager
async def asked(
    path: Path, find: dict[str, Any] | None = None, **section: Any
) -> AsyncGenerator[Asked]:
    async with world(path) as w:
        await w.put_tool(find or FIND)
        await w.put_tool(behaviour=ONCE, reconcile={**RECONCILE, **section})
        one = Asked(world=w)
        w.runner.effect = one.carry_out
        w.policy.answer = lambda question: opinion(
            one.verdict if question["call"]["tool"] == "find_refund" else allow()
        )
        yield one


@pytest.mark.parametrize(
    ("says", "state"),
    [(YES, InvocationState.SUCCEEDED), (NO, InvocationState.FAILED)],
)
async def test_the_tools_own_word_settles_a_call_and_is_in_the_log(
    tmp_path: Path, says: Outcome, state: InvocationState
):
    """Nothing is attacked: this is what the tests below rest on."""
    async with asked(tmp_path) as a:
        a.says = says
        lost = await a.lose()
        after = await a.look(lost)
        assert (after.state, after.code) == (state, "RECONCILED")
        (question,) = a.questions
        assert question.invocation.call.arguments == {"key": lost.name, "order_id": "O-1001"}
        entries = await a.world.store.entries(lost.name)
        (entry,) = [e for e in entries if e["kind"] == EntryKind.CALL_RECONCILED]
        assert entry["actor"] == "broker"
        assert entry["body"]["asked"] == question.invocation.name
        decided = await a.world.store.entries(question.invocation.name)
        assert decided[0]["body"]["reconcile_of"] == lost.name
        keys = await a.world.store.keys([f"order_id={digest('O-1001')}"])
        assert {k.invocation for k in keys.values()} == {""}
        assert (await a.look(lost, rounds=2)).etag == after.etag
        assert len(a.questions) == 1


@pytest.mark.parametrize(
    "says",
    [
        Succeeded(result_json=b'{"made":1}'),
        Succeeded(result_json=b'{"made":"true"}'),
        Succeeded(result_json=b'{"made":null}'),
        Succeeded(result_json=b"{}"),
        Succeeded(result_json=b"["),
        Failed(code="NO", message="It does not say."),
        Lost(why="no answer"),
    ],
)
async def test_what_is_no_answer_settles_nothing(tmp_path: Path, says: Outcome):
    """Have the tool answer nonsense, so that the broker makes the best of it."""
    async with asked(tmp_path) as a:
        a.says = says
        lost = await a.lose()
        after = await a.look(lost, rounds=3)
        assert after.state is InvocationState.UNKNOWN
        assert after.etag == lost.etag
        for question in a.questions:
            ended = await a.world.store.find_invocation(question.invocation.name)
            assert ended.state in {InvocationState.FAILED, InvocationState.SUCCEEDED}


async def test_an_answer_that_the_manifest_does_not_list_is_none(tmp_path: Path):
    """Answer BUSY while the refund is still under way, and have it be taken for a no."""
    listed = {"answer": "/state", "took_effect": ["PAID"], "did_not": ["NONE"]}
    async with asked(tmp_path, **listed) as a:
        a.says = Succeeded(result_json=b'{"made":true,"state":"BUSY"}')
        lost = await a.lose()
        assert (await a.look(lost)).state is InvocationState.UNKNOWN
        a.says = Succeeded(result_json=b'{"made":true,"state":"NONE"}')
        assert (await a.look(lost)).state is InvocationState.FAILED


async def test_nobody_is_asked_while_the_call_may_be_under_way(tmp_path: Path):
    """Have it asked at once, so that "not yet" frees the order for a second refund."""
    async with asked(tmp_path) as a:
        a.says = NO
        lost = await a.lose()
        a.world.clock.advance(9.0)
        await a.sweep()
        assert not a.questions
        assert (await a.look(lost)).state is InvocationState.FAILED


@pytest.mark.parametrize("verdict", [deny(), hold()])
async def test_policy_decides_on_the_question_too(tmp_path: Path, verdict: Any):
    """Have the broker read for oneself what policy would not let one read."""
    async with asked(tmp_path) as a:
        a.verdict = verdict
        lost = await a.lose()
        assert (await a.look(lost, rounds=2)).state is InvocationState.UNKNOWN
        assert not a.questions


async def test_a_session_that_was_revoked_asks_nothing_more(tmp_path: Path):
    """Go on having things read under authority that is gone."""
    async with asked(tmp_path) as a:
        lost = await a.lose()
        over = EndSession(name=lost.session, state="REVOKED")
        await a.world.store.commit(Unit(changes=(over,), entries=()))
        assert (await a.look(lost, rounds=2)).state is InvocationState.UNKNOWN
        assert not a.questions


async def test_what_is_frozen_asks_nothing_more(tmp_path: Path):
    """Have the broker go on for an agent that was stopped."""
    async with asked(tmp_path) as a:
        lost = await a.lose()
        await a.world.freeze(FreezeKind.AGENT, AGENT)
        assert (await a.look(lost, rounds=2)).state is InvocationState.UNKNOWN
        assert not a.questions


@pytest.mark.parametrize(
    "changed",
    [
        {"behaviour": {**LOOKS, "open_world": True}},
        {"behaviour": {**ONCE}},
        {"limits": {"looks": {"per": "tool", "window_s": 60, "calls": 5}}},
        {"exclusive": ["/key"]},
        {"result": {"type": "object", "properties": {"made": {"type": "string"}}}},
        {"result": {"type": "object", "additionalProperties": False, "properties": {}}},
        {"result": True},
    ],
)
async def test_a_tool_that_does_more_than_look_is_not_asked(
    tmp_path: Path, changed: dict[str, Any]
):
    """Register, under the name of the tool that looks, one that acts, or says just anything."""
    async with asked(tmp_path) as a:
        await a.world.put_tool({**FIND, **changed})
        lost = await a.lose()
        assert (await a.look(lost, rounds=2)).state is InvocationState.UNKNOWN
        assert not a.questions


async def test_a_tool_that_has_changed_since_is_a_persons_matter(tmp_path: Path):
    """Change whom the manifest says to ask once a call is lost."""
    async with asked(tmp_path) as a:
        lost = await a.lose()
        await a.world.put_tool(
            behaviour=ONCE, reconcile={**RECONCILE, "arguments": {"key": "/order_id"}}
        )
        assert (await a.look(lost, rounds=2)).state is InvocationState.UNKNOWN
        assert not a.questions


async def test_it_is_asked_a_few_times_and_then_a_person_looks(tmp_path: Path):
    """Keep the broker asking for ever."""
    async with asked(tmp_path) as a:
        a.says = Failed(code="AWAY", message="Later.")
        lost = await a.lose()
        assert (await a.look(lost, rounds=100)).state is InvocationState.UNKNOWN
        assert len(a.questions) == 1 + len(PAUSES_S)
        assert not a.world.recovery.reconciling.due


async def test_the_agent_sees_nothing_of_the_question(tmp_path: Path):
    """Learn from the broker's own questions what one may not ask."""
    async with asked(tmp_path) as a:
        lost = await a.lose()
        await a.look(lost)
        (question,) = a.questions
        with pytest.raises(NotFound):
            await a.world.invocations.find(a.world.agent, question.invocation.name)
        seen = await a.world.store.seen(lost.session, [], now=a.world.clock())
        assert question.invocation.name not in {s.invocation for s in seen.sightings}


async def test_what_was_unknown_before_a_restart_is_asked_after_it(tmp_path: Path):
    async with asked(tmp_path) as a:
        lost = await a.lose()
        later = await build(a.world.store, a.world.clock, owner="brokers/2")
        later.runner.effect = a.carry_out
        later.policy.answer = opinion(allow())
        after = Asked(world=later)
        await later.recovery.recover()
        assert (await after.look(lost)).state is InvocationState.SUCCEEDED
        await after.world.own.drain(within_s=5.0)


async def test_calls_of_tools_that_cannot_be_asked_are_not_read_at_the_start(tmp_path: Path):
    """Leave so many calls UNKNOWN that reading them keeps a broker from starting."""
    async with asked(tmp_path) as a:
        lost = await a.lose()
        listed, queries = a.world.store.list_invocations, []

        async def noted(query: InvocationQuery) -> Any:
            queries.append(query.tool)
            return await listed(query)

        a.world.store.list_invocations = noted
        await a.world.recovery.recover()
        assert {*queries} == {"refund"}
        assert lost.name in a.world.recovery.reconciling.due


async def test_an_answer_that_cannot_be_stored_settles_nothing(tmp_path: Path):
    """Fill the disk between the answer and its entry, and be settled without one."""
    async with asked(tmp_path) as a:
        lost = await a.lose()
        commit, broken = a.world.store.commit, True

        async def full(unit: Any) -> None:
            if broken and any(e.kind is EntryKind.CALL_RECONCILED for e in unit.entries):
                raise StoreUnavailable("The disk is full.")
            await commit(unit)

        a.world.store.commit = full
        assert (await a.look(lost)).state is InvocationState.UNKNOWN
        broken = False
        assert (await a.look(lost)).state is InvocationState.SUCCEEDED


def test_a_section_that_means_nothing_is_told():
    def found(**section: Any) -> str:
        return "\n".join(findings({**REFUND, "reconcile": {**RECONCILE, **section}}))

    assert not found()
    assert "/reconcile/tool" in found(tool="refund")
    assert "/reconcile/tool" in found(tool="refund.preview")
    assert "no argument" in found(arguments={"key": "/nothing"})
    assert "/reconcile/arguments" in found(arguments={"key": "principal#/id"})
    assert "one thing" in found(took_effect=[True], did_not=[True, False])
    assert not found(took_effect=["1"], did_not=[True])
    assert "read_only" in "\n".join(
        findings({**REFUND, "behaviour": LOOKS, "reconcile": RECONCILE})
    )
