"""What a tool says that a call would change, before it runs: its words, bound to consent.

A preview is the answer of a read-only tool of the same worker (`{tool}.preview`), in an invocation
of its own. Its text is untrusted. Its digest is among what an approval is for: before the effect it
is asked again, and another answer sends the hold back.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PREVIEW_SUFFIX: Final = ".preview"
CHANGES_MAX: Final = 20
LABEL_CHARACTERS_MAX: Final = 120
VALUE_CHARACTERS_MAX: Final = 300

PREVIEW_HELD: Final = "PREVIEW_HELD"
PREVIEW_CHANGED: Final = "PREVIEW_CHANGED"
PREVIEW_LOST: Final = "PREVIEW_LOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What was answered, or why nothing was.

    Attributes:
        invocation: `invocations/{uuid}` of the preview itself; empty where none was recorded.
        content: RFC 8785 bytes of the answer; empty where there is none.
        digest: "sha256:" of the content; empty where there is none.
        error: why there is none: a code such as RUNNER_UNAVAILABLE; else empty.
        at: when it was asked, POSIX seconds.
    """

    invocation: str
    content: bytes = b""
    digest: str = ""
    error: str = ""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeShown:
    """One line of a preview. All of it is the tool's word: untrusted, and to be shown as text.

    Attributes:
        label: what changes.
        before, after: a text, number, boolean or None, as the tool gave it; minor units of money
            where `is_money`.
        is_money: whether both are amounts.
        currency: of the amounts, where the tool says it; else empty.
    """

    label: str
    before: str | int | float | bool | None
    after: str | int | float | bool | None
    is_money: bool
    currency: str


def previewed(tool: str) -> str:
    """The tool that a preview is of; any other tool's name as it is."""
    return tool.removesuffix(PREVIEW_SUFFIX)


def changes_of(preview: Preview) -> tuple[ChangeShown, ...]:
    """The lines of a preview, in the tool's order; none where there is no answer."""
    return tuple(_change(line) for line in json.loads(preview.content or b"[]"))


def _change(line: Mapping[str, Any]) -> ChangeShown:
    is_money = "before_minor" in line or "after_minor" in line
    before, after = ("before_minor", "after_minor") if is_money else ("before", "after")
    return ChangeShown(
        label=line["label"],
        before=line.get(before),
        after=line.get(after),
        is_money=is_money,
        currency=line.get("currency", ""),
    )
