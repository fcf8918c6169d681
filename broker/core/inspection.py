"""What a tool answered is looked at before anyone reads it: size, strict JSON, schema, duties.

A result that may not be released is withheld, and the call has still SUCCEEDED: it took effect, and
saying otherwise would invite the model to repeat it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from broker.core import limits
from broker.core.arguments import JsonValue, MalformedJson, parse_value
from broker.core.canonical import canonical_bytes
from broker.core.decision import Obligation
from broker.core.plan import REDACT, WITHHOLD
from broker.core.pointers import MISSING, Pointer
from broker.core.schemas import Validator

REDACTED = "[REDACTED]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The canonical bytes that the caller may read."""

    result: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """It ran; the caller learns that, and this code and sentence, and no more."""

    code: str
    message: str


def inspect(
    answer: bytes,
    *,
    schema: Validator | None,
    obligations: Iterable[Obligation],
) -> Released | Withheld:
    """Decide what of a tool's answer is released.

    Args:
        answer: what the tool sent, at most `limits.RESULT_BYTES_MAX` bytes of JSON.
        schema: of the manifest's `result`; None declares nothing, and nothing is checked.
        obligations: those of the decision, all of kinds that `plan` knows.
    """
    try:
        value = parse_value(answer, bytes_max=limits.RESULT_BYTES_MAX)
    except MalformedJson as malformed:
        return Withheld(
            code="RESULT_INVALID",
            message=f"The call ran. Its result is withheld: {malformed.code}.",
        )
    if schema is not None and not schema.is_valid(value):
        return Withheld(
            code="RESULT_INVALID",
            message="The call ran. Its result is withheld: it is not what the tool declares.",
        )
    for obligation in obligations:
        if obligation.kind == WITHHOLD:
            return Withheld(
                code="RESULT_WITHHELD",
                message="The call ran. Its result is withheld by policy.",
            )
        if obligation.kind == REDACT:
            value = _redact(value, obligation.parameters.get("pointers"))
    return Released(result=canonical_bytes(value))


def _redact(value: JsonValue, pointers: JsonValue) -> JsonValue:
    for text in pointers if isinstance(pointers, list) else []:
        pointer = Pointer.parse(str(text))
        if pointer.resolve(value) is not MISSING:
            value = _replaced(value, pointer.tokens)
    return value


def _replaced(value: JsonValue, tokens: tuple[str, ...]) -> JsonValue:
    if not tokens:
        return REDACTED
    head, rest = tokens[0], tokens[1:]
    if isinstance(value, dict):
        return {k: _replaced(v, rest) if k == head else v for k, v in value.items()}
    if isinstance(value, list):
        return [_replaced(v, rest) if str(i) == head else v for i, v in enumerate(value)]
    return value
