"""A decision becomes a plan: Refuse, Suspend or Run. Duties that nobody can discharge refuse.

The obligations that the broker knows are listed here; any other kind, or one with parameters that
it does not understand, turns the decision into DENY (XACML 3.0 §7.18).
"""

from dataclasses import dataclass, replace
from typing import Final

from broker.core.decision import (
    STAGE_SETTLE,
    Decision,
    Effect,
    Obligation,
    Verdict,
)
from broker.core.holds import Requirement
from broker.core.pointers import Pointer

WITHHOLD: Final = "withhold"
REDACT: Final = "redact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Nothing will run."""

    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend:
    """The call waits until every requirement is met."""

    decision: Decision
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The call is handed over, and its result is released under these duties.

    Attributes:
        profile: the sandbox profile that it runs under; empty for tools that run elsewhere.
    """

    decision: Decision
    obligations: tuple[Obligation, ...]
    profile: str = ""


Plan = Refuse | Suspend | Run


def make_plan(decision: Decision) -> Plan:
    """What to do about a decision."""
    if decision.effect is Effect.DENY:
        return Refuse(decision=decision)
    unknown = tuple(_undischargeable(o) for o in decision.obligations if not _understood(o))
    if unknown:
        return Refuse(
            decision=replace(
                decision,
                effect=Effect.DENY,
                verdicts=(*unknown, *decision.verdicts),
            ),
        )
    if any(v.terms is None for v in decision.holds):
        # Nobody could ever lift it.
        return Refuse(
            decision=replace(
                decision,
                effect=Effect.DENY,
                verdicts=(_without_terms(), *decision.verdicts),
            ),
        )
    if decision.effect is Effect.HOLD:
        return Suspend(decision=decision, requirements=_requirements(decision))
    return Run(decision=decision, obligations=decision.obligations)


def _understood(obligation: Obligation) -> bool:
    match obligation.kind:
        case "withhold":
            return not obligation.parameters
        case "redact":
            pointers = obligation.parameters.get("pointers")
            return (
                set(obligation.parameters) == {"pointers"}
                and isinstance(pointers, list)
                and bool(pointers)
                and all(isinstance(p, str) and _is_pointer(p) for p in pointers)
            )
        case _:
            return False


def _is_pointer(text: str) -> bool:
    try:
        Pointer.parse(text)
    except ValueError:
        return False
    return True


def _undischargeable(obligation: Obligation) -> Verdict:
    return Verdict(
        effect=Effect.DENY,
        stage=STAGE_SETTLE,
        code="OBLIGATION_UNSUPPORTED",
        message="Policy asks for something that this broker cannot do.",
        family=obligation.family,
    )


def _without_terms() -> Verdict:
    return Verdict(
        effect=Effect.DENY,
        stage=STAGE_SETTLE,
        code="HOLD_WITHOUT_TERMS",
        message="This waits for a person, and nothing says for whom.",
    )


def _requirements(decision: Decision) -> tuple[Requirement, ...]:
    """One requirement per distinct (code, terms): two families may stop a call for one reason."""
    distinct = {(v.code, v.terms): v for v in decision.holds if v.terms is not None}
    return tuple(
        Requirement(code=code, message=verdict.message, terms=terms)
        for (code, terms), verdict in distinct.items()
    )
