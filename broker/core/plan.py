"""A decision becomes a plan: Refuse, Suspend or Run. Duties that nobody can discharge refuse.

The obligations that the broker knows are listed here; any other kind, or one with parameters that
it does not understand, turns the decision into DENY (XACML 3.0 §7.18). The isolation of a sandbox
is one of them: it comes with every call of such a tool, and policy can only tighten it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from broker.core.decision import (
    STAGE_SETTLE,
    Decision,
    Effect,
    Obligation,
    Verdict,
)
from broker.core.detection import KINDS
from broker.core.holds import Requirement
from broker.core.manifest import ToolManifest
from broker.core.pointers import Pointer
from broker.core.profiles import (
    NO_PROFILE,
    UNSUPPORTED_TOLD,
    ChosenProfile,
    OfferedProfile,
    choose_profile,
)
from broker.core.text import visible_value

WITHHOLD: Final = "withhold"
REDACT: Final = "redact"
SCAN: Final = "scan"
PROFILE: Final = "profile"
_KIND_CHARACTERS_MAX: Final = 64


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
        profile: the sandbox profile that it runs under; empty for tools that run elsewhere, and
            where no sandbox node is known, so that nobody can be asked to run it.
    """

    decision: Decision
    obligations: tuple[Obligation, ...]
    profile: ChosenProfile = NO_PROFILE


Plan = Refuse | Suspend | Run


def make_plan(
    decision: Decision,
    *,
    manifest: ToolManifest | None = None,
    offered: Sequence[OfferedProfile] = (),
) -> Plan:
    """What to do about a decision.

    Args:
        decision: the combined answer.
        manifest: of the tool; None where there is none, which only a denial can come from.
        offered: the sandbox profiles that nodes tell of; none where no node is known.
    """
    if decision.effect is Effect.DENY:
        return Refuse(decision=decision)
    sandbox = manifest.sandbox if manifest is not None else None
    unknown = unsupported(decision.obligations, is_sandboxed=sandbox is not None)
    if unknown:
        return _refuse(decision, *unknown)
    profile: ChosenProfile | Verdict = NO_PROFILE
    if sandbox is not None:
        tightened = [o for o in decision.obligations if o.kind == PROFILE]
        profile = choose_profile(sandbox, tightened, offered)
    if isinstance(profile, Verdict):
        return _refuse(decision, profile)
    if any(v.terms is None for v in decision.holds):
        # Nobody could ever lift it.
        return _refuse(decision, _without_terms())
    if decision.effect is Effect.HOLD:
        return Suspend(decision=decision, requirements=_requirements(decision))
    return Run(decision=decision, obligations=decision.obligations, profile=profile)


def unsupported(obligations: Iterable[Obligation], *, is_sandboxed: bool) -> tuple[Verdict, ...]:
    """A denial for each duty that nobody can discharge, of a tool that runs in a sandbox or not."""
    return tuple(
        _undischargeable(obligation)
        for obligation in obligations
        if not _understood(obligation, is_sandboxed=is_sandboxed)
    )


def _refuse(decision: Decision, *because: Verdict) -> Refuse:
    verdicts = (*because, *decision.verdicts)
    return Refuse(decision=replace(decision, effect=Effect.DENY, verdicts=verdicts))


def _understood(obligation: Obligation, *, is_sandboxed: bool) -> bool:
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
        case "scan":
            kinds = obligation.parameters.get("for")
            return (
                set(obligation.parameters) == {"for", "then"}
                and isinstance(kinds, list)
                and bool(kinds)
                and all(isinstance(kind, str) and kind in KINDS for kind in kinds)
                and obligation.parameters["then"] in (REDACT, WITHHOLD)
            )
        case "profile":
            # A tool that runs elsewhere cannot be shut in.
            return (
                is_sandboxed
                and set(obligation.parameters) == {"profile"}
                and isinstance(obligation.parameters["profile"], str)
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
    kind = visible_value(obligation.kind, characters_max=_KIND_CHARACTERS_MAX)
    return Verdict(
        effect=Effect.DENY,
        stage=STAGE_SETTLE,
        code="OBLIGATION_UNSUPPORTED",
        message=f"Policy asks for {kind} as neither this broker nor the tool's runner can do it.",
        told=UNSUPPORTED_TOLD,
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
