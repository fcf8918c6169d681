"""A call is decided by the minimum of its verdicts, DENY < HOLD < ALLOW.

Every stage gives verdicts; `settle` combines them and is the only place where they are combined.
A stage can tighten and never loosen. A hold that reviewers lifted (a `Discharge`) counts as ALLOW
for exactly the code and terms that they were shown; a new code holds again, a deny still denies.
No verdict at all is DENY: silence allows nothing.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from broker.core.arguments import JsonValue

STAGE_SCREEN = "screen"
STAGE_FLOOR = "floor"
STAGE_POLICY = "policy"
STAGE_SETTLE = "settle"


class Effect(enum.IntEnum):
    """What may happen to a call. The order is the precedence: the smallest wins."""

    DENY = 0
    HOLD = 1
    ALLOW = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldTerms:
    """What lifting a hold takes.

    Attributes:
        reviewers: groups; a reviewer in any one of them counts.
        approvals_required: distinct Persons, at least 1.
        decide_within_s: seconds from the hold's opening until it expires undecided.
        run_within_s: seconds from approval until the approval expires unused.
        step_up: whether a fresh sign-in is needed.
    """

    reviewers: tuple[str, ...]
    approvals_required: int = 1
    decide_within_s: int
    run_within_s: int
    step_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One stage's answer.

    Attributes:
        code: UPPER_SNAKE and constant: rules, screens and tests name it.
        message: one plain sentence for people and for the model.
        family: the rule family that spoke, empty outside policy.
        terms: for HOLD, what lifting it takes.
        enforced: False where an operator merely observes the family; then it counts as ALLOW.
        concealed: the caller is told `CONCEALED` instead, so that refusals do not map what it
            may not see; reviewers and the log get the truth.
        told: what the caller reads instead of `message`, where that is for operators.
    """

    effect: Effect
    stage: str
    code: str
    message: str
    family: str = ""
    terms: HoldTerms | None = None
    enforced: bool = True
    concealed: bool = False
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """A duty that comes with a decision; one that cannot be discharged turns it into DENY."""

    kind: str
    family: str = ""
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What policy said, and which bundle said it."""

    verdicts: tuple[Verdict, ...]
    obligations: tuple[Obligation, ...] = ()
    policy_revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discharge:
    """A hold code, with the terms that reviewers were shown, that they have lifted."""

    code: str
    terms: HoldTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The combined answer: the effect, all verdicts (strictest first) and what is owed with it."""

    effect: Effect
    verdicts: tuple[Verdict, ...]
    obligations: tuple[Obligation, ...] = ()

    @property
    def reasons(self) -> tuple[Verdict, ...]:
        """The enforced verdicts that made the effect what it is."""
        return tuple(v for v in self.verdicts if v.enforced and v.effect == self.effect)

    @property
    def observed(self) -> tuple[Verdict, ...]:
        """What observed families said that would else have counted."""
        return tuple(v for v in self.verdicts if not v.enforced)

    @property
    def holds(self) -> tuple[Verdict, ...]:
        """The enforced HOLD verdicts, each of which needs its own terms met."""
        return tuple(v for v in self.verdicts if v.enforced and v.effect is Effect.HOLD)


NO_VERDICT = Verdict(
    effect=Effect.DENY,
    stage=STAGE_SETTLE,
    code="NO_VERDICT",
    message="Nothing speaks for this call.",
)

# Said to callers in place of any concealed reason: an unknown tool and one whose scope is missing,
# a stranger's row and an absent one must look alike.
CONCEALED_TOOL = ("TOOL_UNAVAILABLE", "This tool is not available to this task.")
CONCEALED_ROW = ("SCOPE_NOT_BOUND", "This is outside of what this task may reach.")


def settle(
    verdicts: Iterable[Verdict],
    *,
    obligations: Iterable[Obligation] = (),
    discharged: Iterable[Discharge] = (),
) -> Decision:
    """Combine verdicts into a decision: the strictest wins, whatever their order.

    Args:
        verdicts: every stage's answers.
        obligations: duties named by policy.
        discharged: what an approval lifts. A HOLD verdict whose code and terms are both among
            them is kept in the record as ALLOW with its own code.

    Returns:
        The decision. With no verdict at all its effect is DENY.
    """
    lifted = frozenset((d.code, d.terms) for d in discharged)
    counted = tuple(_lift(v, lifted) for v in verdicts)
    enforced = [v.effect for v in counted if v.enforced]
    if not counted:
        return Decision(effect=Effect.DENY, verdicts=(NO_VERDICT,))
    effect = min(enforced, default=Effect.ALLOW)
    ordered = tuple(sorted(counted, key=lambda v: (v.effect, v.stage, v.family, v.code)))
    return Decision(effect=effect, verdicts=ordered, obligations=tuple(obligations))


def _lift(verdict: Verdict, lifted: frozenset[tuple[str, HoldTerms]]) -> Verdict:
    if verdict.effect is not Effect.HOLD or verdict.terms is None:
        return verdict
    if (verdict.code, verdict.terms) not in lifted:
        return verdict
    return replace(verdict, effect=Effect.ALLOW)
