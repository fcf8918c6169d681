"""What screen and floor compared when they let a call go on, told from the record of the call.

A stage that passes leaves no verdict. So that an explanation does not begin with policy, what it
compared is told here, of the recorded question and of the manifest that was in force: the same
references, the same counters. Nothing is compared anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.decision import STAGE_FLOOR, STAGE_SCREEN, Verdict
from broker.core.manifest import Limit, ToolManifest
from broker.core.pointers import MISSING, Missing, Pointer, Reference
from broker.core.summary import format_money
from broker.core.text import visible

_CALLER: Final = frozenset({"principal", "agent", "session"})
_WINDOWS: Final = {60: "a minute", 3_600: "an hour", 86_400: "a day", 604_800: "a week"}
_CURRENCY_CHARACTERS: Final = 3

Question = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A stage that let a call go on, and what it compared: one line, escaped already."""

    stage: str
    told: str

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        return {"stage": self.stage, "told": self.told}


def passed(
    manifest: ToolManifest, question: Question, verdicts: Iterable[Verdict]
) -> tuple[Passed, ...]:
    """The stages before policy that let a call go on.

    Args:
        manifest: of the tool, as it was when the call was decided.
        question: what policy was asked then.
        verdicts: of all stages; one that said something is not told of here.
    """
    spoke = {verdict.stage for verdict in verdicts}
    found = []
    if STAGE_SCREEN not in spoke:
        scopes = ", ".join(visible(scope.name) for scope in manifest.scopes)
        told = f"arguments fit the schema; {scopes} held; no freeze"
        found.append(Passed(stage=STAGE_SCREEN, told=told))
    if STAGE_FLOOR not in spoke:
        compared = [*_bindings(manifest), *_limits(manifest, question)]
        told = "; ".join(compared) or "nothing is bound and nothing is limited"
        found.append(Passed(stage=STAGE_FLOOR, told=told))
    return tuple(found)


def money_in(manifest: ToolManifest, question: Question) -> dict[str, str]:
    """The amounts of a question in minor units, each with its currency.

    Returns:
        ISO 4217 code by JSON Pointer into the question; what has no known currency is left out.
    """
    found = {}
    for amount, currency in manifest.review.money.items():
        code = _value(currency, question)
        if isinstance(code, str) and len(code) == _CURRENCY_CHARACTERS and code.isupper():
            found[str(pointer_in_question(amount))] = code
    return found


def pointer_in_question(reference: Reference) -> Pointer:
    """Where in a policy input a manifest's reference points."""
    if not reference.root:
        above: tuple[str, ...] = ("call", "arguments")
    elif reference.root in _CALLER:
        above = (reference.root,)
    else:
        above = ("facts", reference.root, "value")
    return Pointer((*above, *reference.pointer.tokens))


def _value(reference: Reference, question: Question) -> JsonValue | Missing:
    return pointer_in_question(reference).resolve(dict(question))


def _bindings(manifest: ToolManifest) -> Iterable[str]:
    pairs = (pair for scope in manifest.scopes for pair in scope.where.items())
    return (visible(f"{left} is {right}") for left, right in dict.fromkeys(pairs))


def _limits(manifest: ToolManifest, question: Question) -> Iterable[str]:
    for name, limit in manifest.limits.items():
        usage: Any = question.get("usage")
        counted = usage.get(name) if isinstance(usage, Mapping) else None
        used = counted.get("used") if isinstance(counted, Mapping) else None
        amount = 1 if limit.sum is None else _argument(limit.sum, question)
        if type(used) is int and type(amount) is int:
            yield visible(f"{name} {_of(limit, used + amount, question)} {_window(limit)}")


def _of(limit: Limit, used: int, question: Question) -> str:
    if limit.sum is None or limit.currency is None:
        return f"{used} of {limit.maximum}"
    currency = _argument(limit.currency, question)
    return f"{format_money(used, currency)} of {format_money(limit.maximum, currency)}"


def _window(limit: Limit) -> str:
    return _WINDOWS.get(limit.window_s, f"in {limit.window_s} s")


def _argument(pointer: Pointer, question: Question) -> JsonValue | Missing:
    return _value(Reference("", pointer), question) if question else MISSING
