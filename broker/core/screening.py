"""Before anything is looked up: is there such a tool, may this caller use it, is the call in form.

An unknown tool and one whose scope is missing get one refusal, and nothing more is said of either,
so that an agent cannot map what it may not use by its mistakes.
"""

from collections.abc import Iterable, Mapping

from broker.core.calls import Caller, ToolCall
from broker.core.decision import (
    CONCEALED_ROW,
    CONCEALED_TOOL,
    STAGE_SCREEN,
    Decision,
    Effect,
    Verdict,
)
from broker.core.floor import exclusive_keys
from broker.core.freezes import Freeze, covering
from broker.core.limits import EXCLUSIVE_KEYS_MAX
from broker.core.manifest import ToolManifest
from broker.core.schemas import Validator
from broker.core.scopes import EffectiveScope
from broker.core.text import visible
from broker.core.violations import Violation

ARGUMENTS_INVALID = "ARGUMENTS_INVALID"
MESSAGE_CHARACTERS_MAX = 1_000


def screen(
    call: ToolCall,
    manifest: ToolManifest | None,
    validator: Validator | None,
    effective: Mapping[str, EffectiveScope],
    freezes: Iterable[Freeze],
    caller: Caller,
    now: float,
) -> tuple[Verdict, ...]:
    """What refuses the call at once.

    Args:
        call: the frozen call.
        manifest: of its tool; None where that is unknown.
        validator: of the tool's arguments; None likewise.
        effective: the scopes that principal, agent and session all have, by name.
        freezes: all that are in force.
        caller: who asks.
        now: POSIX seconds.

    Returns:
        DENY verdicts, or nothing; silence is no consent.
    """
    if manifest is None or validator is None:
        return (_deny("TOOL_UNKNOWN", "There is no such tool.", concealed=True),)
    missing = sorted({scope.name for scope in manifest.scopes} - effective.keys())
    if missing or not manifest.scopes:
        names = ", ".join(missing) or "any scope"
        return (_deny("SCOPE_MISSING", f"Not all of the three hold {names}.", concealed=True),)
    return (*_frozen(freezes, call, caller, now), *in_form(call, manifest, validator))


def visible_reasons(decision: Decision) -> tuple[tuple[str, str, str], ...]:
    """What the caller is told: (code, message, JSON Pointer or empty) of each reason.

    Where any reason is concealed, one that says nothing stands for all of them.
    """
    for verdict in decision.reasons:
        if verdict.concealed:
            concealed = CONCEALED_TOOL if verdict.stage == STAGE_SCREEN else CONCEALED_ROW
            return ((*concealed, ""),)
    told = ((v.code, v.told or v.message, _pointer(v)) for v in decision.reasons)
    return tuple(dict.fromkeys(told))


def _frozen(
    freezes: Iterable[Freeze],
    call: ToolCall,
    caller: Caller,
    now: float,
) -> tuple[Verdict, ...]:
    freeze = covering(
        freezes,
        tool=call.tool,
        agent=caller.agent.id,
        principal=caller.principal.id,
        session=caller.session.name,
        now=now,
    )
    # Why it is frozen is for operators and the log.
    return (_deny("FROZEN", "This is stopped for now."),) if freeze else ()


def in_form(call: ToolCall, manifest: ToolManifest, validator: Validator) -> tuple[Verdict, ...]:
    """What refuses arguments for their shape alone."""
    violations = validator.violations(dict(call.arguments))
    if violations:
        return (_deny(ARGUMENTS_INVALID, _told(violations)),)
    if len(exclusive_keys(manifest, call)) > EXCLUSIVE_KEYS_MAX:
        return (_deny(ARGUMENTS_INVALID, f": names more than {EXCLUSIVE_KEYS_MAX} at once"),)
    return ()


def _told(violations: Iterable[Violation]) -> str:
    """Where and what, never the value; the keys in a pointer may be the sender's own."""
    told = ""
    for violation in violations:
        next_one = f"{visible(violation.pointer)}: {violation.message}"
        if told and len(told) + len(next_one) > MESSAGE_CHARACTERS_MAX:
            return f"{told}; and more"
        told = f"{told}; {next_one}" if told else next_one
    return told


def _pointer(verdict: Verdict) -> str:
    """Of a reason that is about one leaf alone."""
    if verdict.code != ARGUMENTS_INVALID or "; " in verdict.message:
        return ""
    return verdict.message.partition(": ")[0]


def _deny(code: str, message: str, *, concealed: bool = False) -> Verdict:
    return Verdict(
        effect=Effect.DENY, stage=STAGE_SCREEN, code=code, message=message, concealed=concealed
    )
