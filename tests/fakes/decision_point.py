"""A decision point in memory: answers what a test tells it to, in order or by a function."""

import asyncio
from collections.abc import Callable, Mapping

from broker.core.arguments import JsonValue
from broker.core.decision import STAGE_POLICY, Effect, HoldTerms, Obligation, Opinion, Verdict
from broker.core.errors import PolicyUnavailable
from broker.policy.opinion import denied

REVISION = f"sha256:{'f' * 64}"
TERMS = HoldTerms(
    reviewers=("reviewers",), approvals_required=1, decide_within_s=14_400, run_within_s=3_600
)

Answer = Callable[[Mapping[str, JsonValue]], Opinion]


def opinion(
    *verdicts: Verdict, obligations: tuple[Obligation, ...] = (), revision: str = REVISION
) -> Opinion:
    return Opinion(verdicts=verdicts, obligations=obligations, policy_revision=revision)


def allow(code: str = "ALLOWED") -> Verdict:
    return _verdict(Effect.ALLOW, code)


def hold(code: str = "NEEDS_PERSON", terms: HoldTerms = TERMS) -> Verdict:
    return _verdict(Effect.HOLD, code, terms)


def deny(code: str = "FORBIDDEN") -> Verdict:
    return _verdict(Effect.DENY, code)


class FakeDecisionPoint:
    """Implements `ports.DecisionPoint`.

    Attributes:
        answer: what it says of a question; tests replace it.
        away: while true nobody can be asked.
        answering: while clear, it keeps everybody waiting (until their deadline).
        asked: every question, in order.
    """

    def __init__(self, answer: Answer | Opinion, *, revision: str = REVISION) -> None:
        self.answer = answer
        self.away = False
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked: list[Mapping[str, JsonValue]] = []
        self._revision = revision

    @property
    def revision(self) -> str:
        return self._revision

    async def evaluate(self, question: Mapping[str, JsonValue], *, deadline_s: float) -> Opinion:
        if self.away:
            raise PolicyUnavailable("Policy cannot be asked now.")
        self.asked.append(question)
        try:
            async with asyncio.timeout(deadline_s):
                await self.answering.wait()
        except TimeoutError:
            return denied("POLICY_LATE", revision=self._revision)
        return self.answer if isinstance(self.answer, Opinion) else self.answer(question)

    async def is_answering(self) -> bool:
        return not self.away

    async def close(self) -> None:
        self.away = True


def _verdict(effect: Effect, code: str, terms: HoldTerms | None = None) -> Verdict:
    return Verdict(
        effect=effect,
        stage=STAGE_POLICY,
        code=code,
        message=f"The test says {code}.",
        family="test",
        terms=terms,
    )
