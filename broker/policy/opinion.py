"""Reads OPA's answer; whatever is not exactly the agreed shape, from the agreed bundle, is DENY.

OPA answers `{}` for an undefined document and gladly serves an older bundle, so nothing is taken on
trust: revision first, then a closed shape with every type checked. One odd part spoils the whole
answer, as the part that would have denied may be the odd one.
"""

import re
from collections.abc import Mapping
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import (
    STAGE_POLICY,
    Effect,
    HoldTerms,
    Obligation,
    Opinion,
    Verdict,
)

VERDICTS_MAX: Final = 1_000
_COUNT_MAX: Final = 2**31 - 1  # int32 on the wire: more would break every list that shows it
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}", re.ASCII)
_TERMS: Final = frozenset(
    {"reviewers", "approvals_required", "decide_within_s", "run_within_s", "step_up"}
)


class _Fault(Exception):
    """Some part of the answer is not what was agreed."""

    def __init__(self, code: str = "POLICY_MALFORMED") -> None:
        super().__init__(code)
        self.code = code


def opinion_of(answer: object, *, revision: str) -> Opinion:
    """Read the body of an answer of OPA's Data API.

    Args:
        answer: the decoded body, `{"result": …}`.
        revision: of the bundle that was asked.

    Returns:
        What policy said, or one DENY: POLICY_UNDEFINED, POLICY_WRONG_REVISION, POLICY_MALFORMED.
    """
    try:
        return _read(answer, revision=revision)
    except _Fault as fault:
        return denied(fault.code, revision=revision)


def opinions_of(answers: Mapping[str, object], count: int, *, revision: str) -> list[Opinion]:
    """Read what a group was answered: each question's answer is under its number, from 0.

    Returns:
        What policy said of each, or one DENY: POLICY_UNDEFINED where there is no such number.
    """
    numbers = (str(number) for number in range(count))
    return [
        opinion_of({"result": answers[n]} if n in answers else {}, revision=revision)
        for n in numbers
    ]


_MESSAGES: Final = {
    "POLICY_LATE": "Policy did not answer in time.",
    "POLICY_ERROR": "A rule failed on this call.",
    "POLICY_UNDEFINED": "Policy has no answer to this call.",
    "POLICY_MALFORMED": "Policy gave an answer that means nothing.",
    "POLICY_WRONG_REVISION": "Another policy answered than the one asked.",
}

NO_OPINION: Final = frozenset(_MESSAGES)
"""Codes that say that policy said nothing that counts."""


def denied(code: str, *, revision: str) -> Opinion:
    """The opinion that stands in for none: one DENY.

    Args:
        code: POLICY_LATE, POLICY_ERROR, POLICY_UNDEFINED, POLICY_MALFORMED or
            POLICY_WRONG_REVISION.
        revision: of the bundle that was asked.
    """
    verdict = Verdict(effect=Effect.DENY, stage=STAGE_POLICY, code=code, message=_MESSAGES[code])
    return Opinion(verdicts=(verdict,), policy_revision=revision)


def _read(answer: object, *, revision: str) -> Opinion:
    if not isinstance(answer, dict):
        raise _Fault
    if "result" not in answer:
        raise _Fault("POLICY_UNDEFINED")
    result = answer["result"]
    if not isinstance(result, dict) or result.keys() != {"revision", "verdicts", "obligations"}:
        raise _Fault
    if result["revision"] != revision:
        raise _Fault("POLICY_WRONG_REVISION")
    verdicts = tuple(_verdict(item) for item in _items(result["verdicts"]))
    obligations = tuple(_obligation(item) for item in _items(result["obligations"]))
    if not verdicts:
        raise _Fault("POLICY_UNDEFINED")
    return Opinion(verdicts=verdicts, obligations=obligations, policy_revision=revision)


def _items(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) > VERDICTS_MAX:
        raise _Fault
    return value


def _verdict(item: object) -> Verdict:
    if not isinstance(item, dict):
        raise _Fault
    match item.get("effect"):
        case "DENY":
            effect = Effect.DENY
        case "HOLD":
            effect = Effect.HOLD
        case "ALLOW":
            effect = Effect.ALLOW
        case _:
            raise _Fault
    wanted = {"effect", "code", "message", "family"}
    if item.keys() != (wanted | {"hold"} if effect is Effect.HOLD else wanted):
        raise _Fault
    code = _text(item["code"])
    if not _CODE.fullmatch(code):
        raise _Fault
    return Verdict(
        effect=effect,
        stage=STAGE_POLICY,
        code=code,
        message=_text(item["message"]),
        family=_text(item["family"]),
        terms=_terms(item["hold"]) if effect is Effect.HOLD else None,
    )


def _terms(value: object) -> HoldTerms:
    if not isinstance(value, dict) or value.keys() != _TERMS:
        raise _Fault
    reviewers = value["reviewers"]
    if not isinstance(reviewers, list) or not reviewers or not isinstance(value["step_up"], bool):
        raise _Fault
    return HoldTerms(
        reviewers=tuple(_text(group) for group in reviewers),
        approvals_required=_positive(value["approvals_required"]),
        decide_within_s=_positive(value["decide_within_s"]),
        run_within_s=_positive(value["run_within_s"]),
        step_up=value["step_up"],
    )


def _obligation(item: object) -> Obligation:
    if not isinstance(item, dict) or not {"kind", "family"} <= item.keys():
        raise _Fault
    parameters: dict[str, JsonValue] = {
        name: value for name, value in item.items() if name not in {"kind", "family"}
    }
    return Obligation(kind=_text(item["kind"]), family=_text(item["family"]), parameters=parameters)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Fault
    return value


def _positive(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _COUNT_MAX:
        raise _Fault
    return value
