"""Past decisions taken again under a candidate policy: what it would change, loosest first.

Both sides are what rules and checks say. What screen and floor said is taken from the record, since
no policy changes it; a call that they refused stays refused. Approvals and observing are left out
of both, and so is what sandbox nodes could give, which nobody knows afterwards. A question that
cannot be put again (erased, or of another form) is counted, never guessed.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from broker.core.arguments import JsonValue
from broker.core.decision import (
    STAGE_POLICY,
    STAGE_SETTLE,
    Decision,
    Effect,
    HoldTerms,
    Opinion,
    Verdict,
    settle,
)
from broker.core.plan import unsupported
from broker.core.question_schema import QUESTION_VERSION
from broker.core.recorded import RecordedDecision, spoken
from broker.policy.replay_tally import ChangeClass, ClassTally, Example, Replay, Side

BATCH_MAX: Final = 1_000
EXAMPLES_MAX: Final = 5
_WORKERS_MAX: Final = 8
_UNSUPPORTED: Final = "OBLIGATION_UNSUPPORTED"
_BY_EFFECTS: Final = {
    (Effect.DENY, Effect.ALLOW): ChangeClass.DENY_TO_ALLOW,
    (Effect.HOLD, Effect.ALLOW): ChangeClass.HOLD_TO_ALLOW,
    (Effect.DENY, Effect.HOLD): ChangeClass.DENY_TO_HOLD,
    (Effect.ALLOW, Effect.HOLD): ChangeClass.ALLOW_TO_HOLD,
    (Effect.ALLOW, Effect.DENY): ChangeClass.ALLOW_TO_DENY,
    (Effect.HOLD, Effect.DENY): ChangeClass.HOLD_TO_DENY,
}


class Asked(Protocol):
    """A candidate policy: see `policy.many.ManyQuestions`."""

    def ask(self, questions: Sequence[Mapping[str, JsonValue]]) -> list[Opinion]:
        """What it says of each."""
        ...


def replay(
    decisions: Iterable[RecordedDecision],
    candidate: Asked,
    *,
    examples_max: int = EXAMPLES_MAX,
    batch_max: int = BATCH_MAX,
    progress: Callable[[int], None] = lambda _: None,
) -> Replay:
    """Take decisions again. Reads them as they come, and keeps of each no more than a count.

    Args:
        decisions: in any order.
        candidate: asked from several threads.
        examples_max: of each class.
        batch_max: questions in one batch.
        progress: told how many have been taken again so far, after each batch.

    Raises:
        PolicyUnavailable: OPA cannot be run.
    """
    result = Replay()
    workers = min(os.cpu_count() or 1, _WORKERS_MAX)
    waiting: deque[tuple[list[RecordedDecision], Future[list[Opinion]]]] = deque()

    def take() -> None:
        batch, answers = waiting.popleft()
        for decision, opinion in zip(batch, answers.result(), strict=True):
            _count(result, decision, opinion, examples_max=examples_max)
        progress(result.decisions)

    with ThreadPoolExecutor(workers, thread_name_prefix="replay") as threads:
        for batch in _batches(_askable(decisions, result), batch_max):
            questions = [d.question for d in batch if d.question is not None]
            waiting.append((batch, threads.submit(candidate.ask, questions)))
            if len(waiting) > workers:
                take()
        while waiting:
            take()
    return result


def compared(decision: RecordedDecision, opinion: Opinion) -> tuple[Side, Side, ChangeClass | None]:
    """One decision beside what a candidate's opinion makes of it; no class: nothing changes."""
    before = settle(
        spoken(v for v in decision.verdicts if v.stage != STAGE_SETTLE or v.code == _UNSUPPORTED),
        obligations=decision.obligations,
    )
    after = _decided_anew(decision, opinion)
    return _side(before), _side(after), _class_of(before, after)


def _decided_anew(decision: RecordedDecision, opinion: Opinion) -> Decision:
    kept = [v for v in decision.verdicts if v.stage not in {STAGE_POLICY, STAGE_SETTLE}]
    tool = (decision.question or {}).get("tool")
    is_sandboxed = isinstance(tool, Mapping) and "sandbox" in tool
    refused: tuple[Verdict, ...] = ()
    settled = settle((*spoken(kept), *opinion.verdicts), obligations=opinion.obligations)
    if settled.effect is not Effect.DENY:
        refused = unsupported(opinion.obligations, is_sandboxed=is_sandboxed)
    if not refused:
        return settled
    return settle((*settled.verdicts, *refused), obligations=opinion.obligations)


def _class_of(before: Decision, after: Decision) -> ChangeClass | None:
    if before.effect != after.effect:
        return _BY_EFFECTS[before.effect, after.effect]
    if before.effect is not Effect.DENY and _duties(before) != _duties(after):
        return ChangeClass.OTHER_DUTIES
    if before.effect is Effect.HOLD and _are_other_terms(before, after):
        return ChangeClass.OTHER_TERMS
    if before.effect is not Effect.ALLOW and _side(before) != _side(after):
        return ChangeClass.OTHER_CODES
    return None


def _duties(decision: Decision) -> frozenset[tuple[str, str]]:
    return frozenset((o.family, o.kind) for o in decision.obligations)


def _are_other_terms(before: Decision, after: Decision) -> bool:
    """Whether reviewers would have to bring something else for a code that holds on both sides."""
    codes = {v.code for v in before.holds} & {v.code for v in after.holds}
    return any(_terms(before, code) != _terms(after, code) for code in codes)


def _terms(decision: Decision, code: str) -> frozenset[HoldTerms | None]:
    return frozenset(v.terms for v in decision.holds if v.code == code)


def _side(decision: Decision) -> Side:
    reasons = {f"{v.family or v.stage} {v.code}" for v in decision.reasons}
    return Side(effect=decision.effect, reasons=tuple(sorted(reasons)))


def _askable(decisions: Iterable[RecordedDecision], result: Replay) -> Iterator[RecordedDecision]:
    for decision in decisions:
        result.decisions += 1
        if decision.is_erased:
            result.erased += 1
        elif decision.question is None:
            result.spared += 1
        elif decision.question.get("version") != QUESTION_VERSION:
            result.other_form += 1
        else:
            result.asked += 1
            yield decision


def _batches(
    decisions: Iterable[RecordedDecision], batch_max: int
) -> Iterator[list[RecordedDecision]]:
    batch: list[RecordedDecision] = []
    for decision in decisions:
        batch.append(decision)
        if len(batch) >= batch_max:
            yield batch
            batch = []
    if batch:
        yield batch


def _count(
    result: Replay, decision: RecordedDecision, opinion: Opinion, *, examples_max: int
) -> None:
    before, after, kind = compared(decision, opinion)
    if kind is None:
        return
    tally = result.changes.setdefault(kind, ClassTally())
    tally.count += 1
    tally.groups[before, after] += 1
    tally.tools[decision.tool] += 1
    if len(tally.examples) < examples_max:
        tally.examples.append(
            Example(
                invocation=decision.invocation,
                entry=decision.entry,
                tool=decision.tool,
                summary=decision.summary,
                before=before,
                after=after,
            )
        )
