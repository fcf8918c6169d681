"""Having the log say that a call was decided in a way in which it was not."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.core.decision import Effect, Obligation, Opinion
from broker.core.lifecycle import InvocationState
from broker.core.manifest import ToolManifest, parse
from broker.core.recorded import RecordedDecision
from broker.core.reperforming import Reperformed, reperformed
from broker.ports import Succeeded
from tests.attacks.test_observing import observe
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.unit.core.trials import note
from tests.world import REFUND, World, reviewer, world

Change = Callable[[RecordedDecision], RecordedDecision]


async def refunded(w: World, *said: Any, amount_minor: int = 1_000) -> RecordedDecision:
    """The record of a refund of which policy said this."""
    await w.put_tool()
    w.policy.answer = opinion(*said)
    invocation = await w.refund(await w.caller(), amount_minor)
    return (await w.store.decisions_of(invocation.name))[-1]


def again(
    w: World,
    decision: RecordedDecision,
    *,
    manifest: ToolManifest | None = None,
    said: Opinion | None = None,
) -> Reperformed:
    kept = manifest or parse(REFUND)
    answer = said or dataclasses.replace(w.policy.answer, policy_revision=decision.policy_revision)
    return reperformed(decision, kept, answer if decision.question is not None else None)


def differing(told: Reperformed) -> set[str]:
    return {check.stage for check in told.checks if check.agrees is False}


@pytest.mark.parametrize(
    ("said", "effect"),
    [
        ((allow(),), Effect.ALLOW),
        ((allow(), deny("TOO_MUCH")), Effect.DENY),
        ((allow(), hold("LARGE")), Effect.HOLD),
        ((), Effect.DENY),
    ],
)
async def test_what_is_as_it_was_agrees(tmp_path: Path, said: tuple[Any, ...], effect: Effect):
    """Nothing is attacked: a check that differs from everything would prove nothing."""
    async with world(tmp_path) as w:
        decision = await refunded(w, *said)
        told = again(w, decision)
    assert (told.effect, differing(told)) == (effect, set())


def without(code: str) -> Change:
    return lambda d: dataclasses.replace(
        d, verdicts=tuple(v for v in d.verdicts if v.code != code), effect=Effect.ALLOW
    )


def loosened(decision: RecordedDecision) -> RecordedDecision:
    return dataclasses.replace(decision, effect=Effect.ALLOW)


def of_another_amount(decision: RecordedDecision) -> RecordedDecision:
    question: Any = dict(decision.question or {})
    arguments = {**question["call"]["arguments"], "amount_minor": 9}
    question["call"] = {**question["call"], "arguments": arguments}
    return dataclasses.replace(decision, question=question, arguments=arguments)


def told_otherwise(decision: RecordedDecision) -> RecordedDecision:
    question: Any = dict(decision.question or {})
    question["tool"] = {**question["tool"], "targets": ["/nobody"]}
    return dataclasses.replace(decision, question=question)


def of_somebody_elses_order(decision: RecordedDecision) -> RecordedDecision:
    question: Any = dict(decision.question or {})
    question["principal"] = {**question["principal"], "id": "customers/other"}
    return dataclasses.replace(decision, question=question)


def beyond_its_limit(decision: RecordedDecision) -> RecordedDecision:
    question: Any = dict(decision.question or {})
    question["usage"] = {
        name: {**usage, "used": usage["limit"]} for name, usage in question["usage"].items()
    }
    return dataclasses.replace(decision, question=question)


def without_scopes(decision: RecordedDecision) -> RecordedDecision:
    question: Any = dict(decision.question or {})
    question["scopes"] = {**question["scopes"], "effective": []}
    return dataclasses.replace(decision, question=question)


def merely_observed(decision: RecordedDecision) -> RecordedDecision:
    verdicts = tuple(
        dataclasses.replace(v, enforced=v.effect is not Effect.HOLD) for v in decision.verdicts
    )
    return dataclasses.replace(decision, verdicts=verdicts, effect=Effect.ALLOW)


def with_a_duty(decision: RecordedDecision) -> RecordedDecision:
    return dataclasses.replace(decision, obligations=(Obligation(kind="withhold"),))


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (without("LARGE"), {"policy", "settle"}),
        (loosened, {"settle"}),
        (of_another_amount, {"call"}),
        (told_otherwise, {"question"}),
        (of_somebody_elses_order, {"floor"}),
        (beyond_its_limit, {"floor"}),
        (without_scopes, {"screen", "floor"}),
        (merely_observed, {"observing"}),
        (with_a_duty, {"policy"}),
    ],
)
async def test_a_record_that_its_own_rules_do_not_lead_to_is_told(
    tmp_path: Path, change: Change, stages: set[str]
):
    """Write, with both keys of the log, a record of a decision that nobody took."""
    async with world(tmp_path) as w:
        decision = await refunded(w, allow(), hold("LARGE"))
        assert differing(again(w, change(decision))) == stages


async def test_another_policy_or_manifest_than_is_named_is_told(tmp_path: Path):
    """Put something else under the revision that the record names."""
    async with world(tmp_path) as w:
        decision = await refunded(w, allow())
        said = dataclasses.replace(w.policy.answer, policy_revision="sha256:other")
        assert differing(again(w, decision, said=said)) == {"policy"}
        other = parse({**REFUND, "summary": "Another."})
        assert differing(again(w, decision, manifest=other)) == {"call"}


async def test_what_reviewers_lifted_is_lifted_again_and_nothing_else(tmp_path: Path):
    """Have an approval of one hold lift another that was added to the record."""
    async with world(tmp_path) as w:
        await w.put_tool()
        w.policy.answer = opinion(allow(), hold("LARGE"))
        waiting = await w.refund(await w.caller())
        shown, _ = await w.store.find_hold(waiting.hold)  # type: ignore[misc]
        ann = reviewer("ann", "reviewers")
        await w.reviews.approve(ann, waiting.hold, etag=shown.etag, reason="fine")
        ended = await w.invocations.wait(waiting, wait_s=10.0)
        assert ended.state is InvocationState.SUCCEEDED, ended
        first, second = await w.store.decisions_of(waiting.name)
        assert differing(again(w, first)) == set()
        assert (again(w, second).effect, differing(again(w, second))) == (Effect.ALLOW, set())
        w.policy.answer = opinion(allow(), hold("LARGE"), hold("LARGER"))
        assert differing(again(w, second)) == {"policy", "settle"}


async def test_observing_is_taken_again_where_it_was_lawful(tmp_path: Path):
    """Say of any family that it was merely observed, also where that must not be."""
    async with world(tmp_path) as w:
        manifest = await w.put_tool(note())
        w.runner.effect = lambda _call: Succeeded(result_json=b"{}")
        careful = dataclasses.replace(hold("ODD"), family="careful")
        w.policy.answer = opinion(allow(), careful)
        await observe(w)
        asked = await w.enforcer.invoke(
            await w.caller(),
            request_id="r1",
            tool="note",
            arguments_json=b'{"order_id":"O-1001"}',
        )
        (decision,) = await w.store.decisions_of(asked.name)
        told = again(w, decision, manifest=manifest)
        assert (told.effect, differing(told)) == (Effect.ALLOW, set())
        destructive = dataclasses.replace(
            manifest, behaviour=dataclasses.replace(manifest.behaviour, destructive=True)
        )
        assert "observing" in differing(again(w, decision, manifest=destructive))


async def test_arguments_that_the_manifest_takes_were_not_refused_for_their_shape(tmp_path: Path):
    """Say that a call was malformed, so that nobody looks at why it was refused."""
    async with world(tmp_path) as w:
        await w.put_tool()
        refused = await w.refund(await w.caller(), -1)
        (decision,) = await w.store.decisions_of(refused.name)
        assert (decision.question, again(w, decision).agrees) == (None, True)
        fine = {**(decision.arguments or {}), "amount_minor": 1}
        assert "screen" in differing(again(w, dataclasses.replace(decision, arguments=fine)))


async def test_what_only_the_moment_knew_is_told_as_such(tmp_path: Path):
    """Pass what was taken from the record off as taken again."""
    async with world(tmp_path) as w:
        manifest = await w.put_tool()
        refused = await w.refund(await w.caller(scopes=("other:read",)))
        (decision,) = await w.store.decisions_of(refused.name)
        told = again(w, decision, manifest=manifest)
    (moment,) = [check for check in told.checks if check.stage == "moment"]
    assert (moment.agrees, "SCOPE_MISSING" in moment.told, told.agrees) == (None, True, True)
