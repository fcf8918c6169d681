"""What a tool answered is looked at before anyone reads it: size, strict JSON, schema, duties.

Files beside a result are released with it or not at all; without a released result there are none.

A result that may not be released is withheld, and the call has still SUCCEEDED: it took effect, and
saying otherwise would invite the model to repeat it. What a tool says of its failure is brought
into bounds, because a model reads it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from broker.core import limits
from broker.core.arguments import JsonValue, MalformedJson, parse_value
from broker.core.artefacts import FileNameRefused, folded, require_file_name
from broker.core.canonical import canonical_bytes
from broker.core.decision import Obligation
from broker.core.plan import REDACT, SCAN, WITHHOLD
from broker.core.pointers import Pointer
from broker.core.redaction import Unreachable, redacted, scanned
from broker.core.schemas import Validator

TOOL_FAILED: Final = "TOOL_FAILED"
RESULT_INVALID: Final = "RESULT_INVALID"
RESULT_WITHHELD: Final = "RESULT_WITHHELD"
FILES_INVALID: Final = "FILES_INVALID"
FILES_WITHHELD: Final = "FILES_WITHHELD"

_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The canonical bytes that the caller may read."""

    result: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """It ran; the caller learns that, and this code and sentence, and no more."""

    code: str
    message: str


def failure(code: str, message: str) -> tuple[str, str]:
    """What of a tool's own code and sentence the caller may read.

    Returns:
        A code, TOOL_FAILED unless the tool's is UPPER_SNAKE; and plain text of at most
        `limits.TOOL_MESSAGE_CHARACTERS_MAX` characters.
    """
    said = plain(message).strip() or "The tool failed; nothing took effect."
    return code if _CODE.fullmatch(code) else TOOL_FAILED, said


def plain(text: str) -> str:
    """Text that a model or a person is told: bounded, and without characters that act.

    Any space but a newline or tab becomes U+0020, anything else that does not show U+FFFD.
    """
    shown = text[: limits.TOOL_MESSAGE_CHARACTERS_MAX]
    if shown.isprintable():
        return shown
    return "".join(
        c if c.isprintable() or c in "\n\t" else " " if c.isspace() else "\ufffd" for c in shown
    )


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
            code=RESULT_INVALID,
            message=f"The call ran. Its result is withheld: {malformed.code}.",
        )
    if schema is not None and not schema.is_valid(value):
        return Withheld(
            code=RESULT_INVALID,
            message="The call ran. Its result is withheld: it is not what the tool declares.",
        )
    for obligation in obligations:
        if obligation.kind == WITHHOLD:
            return Withheld(
                code=RESULT_WITHHELD,
                message="The call ran. Its result is withheld by policy.",
            )
        try:
            value = _discharged(value, obligation)
        except Unreachable:
            return Withheld(
                code=RESULT_WITHHELD,
                message="The call ran. Its result is withheld: it could not be redacted.",
            )
        except _Found:
            return Withheld(
                code=RESULT_WITHHELD,
                message="The call ran. Its result is withheld: it holds what nobody here may read.",
            )
    return Released(result=canonical_bytes(value))


def inspect_files(
    files: Sequence[tuple[str, int]],
    *,
    count_max: int,
    bytes_max: int,
    obligations: Iterable[Obligation],
) -> Withheld | None:
    """Decide whether the files beside a released result are released too: all of them, or none.

    Args:
        files: name and size of each, as the tool left them.
        count_max: how many the manifest allows.
        bytes_max: how many bytes of them all it allows.
        obligations: those of the decision, all of kinds that `plan` knows.

    Returns:
        Why they are withheld, or None.
    """
    if not files:
        return None
    if any(obligation.kind in {WITHHOLD, REDACT, SCAN} for obligation in obligations):
        # Nobody looks into files: what is to be redacted may be anywhere in there.
        return Withheld(
            code=FILES_WITHHELD, message="The call ran. Its files are withheld by policy."
        )
    why = _out_of_bounds(files, count_max=count_max, bytes_max=bytes_max)
    if not why:
        return None
    return Withheld(code=FILES_INVALID, message=f"The call ran. Its files are withheld: {why}")


class _Found(Exception):
    """It holds what policy would rather withhold the whole for."""


def _discharged(value: JsonValue, obligation: Obligation) -> JsonValue:
    """The value without what this duty takes out of it.

    Raises:
        Unreachable: what is to be taken out cannot be.
        _Found: it is all to be withheld.
    """
    parameters = obligation.parameters
    if obligation.kind == REDACT:
        pointers = parameters.get("pointers")
        texts = pointers if isinstance(pointers, list) else []
        return redacted(value, [Pointer.parse(str(text)) for text in texts])
    if obligation.kind == SCAN:
        kinds = parameters.get("for")
        left = scanned(value, map(str, kinds if isinstance(kinds, list) else []))
        if left != value and parameters.get("then") != REDACT:
            raise _Found
        return left
    return value


def _out_of_bounds(files: Sequence[tuple[str, int]], *, count_max: int, bytes_max: int) -> str:
    if len(files) > count_max:
        return f"its tool may leave at most {count_max}."
    if sum(size for _, size in files) > bytes_max:
        return f"its tool may leave at most {bytes_max} bytes."
    names = [name for name, _ in files]
    if len(set(map(folded, names))) < len(names):
        return "two of them have one name."
    try:
        for name in names:
            require_file_name(name)
    except FileNameRefused as refused:
        return str(refused)
    return ""
