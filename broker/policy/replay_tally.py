"""What replaying decisions came to: counts by class and reason, and a few calls of each class."""

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Effect


class ChangeClass(enum.StrEnum):
    """What became of a decision, in the order in which somebody should look."""

    DENY_TO_ALLOW = "deny-to-allow"
    HOLD_TO_ALLOW = "hold-to-allow"
    DENY_TO_HOLD = "deny-to-hold"
    ALLOW_TO_HOLD = "allow-to-hold"
    ALLOW_TO_DENY = "allow-to-deny"
    HOLD_TO_DENY = "hold-to-deny"
    OTHER_DUTIES = "other-duties"
    OTHER_TERMS = "other-terms"
    OTHER_CODES = "other-codes"


LOOSENING: Final = frozenset(
    {ChangeClass.DENY_TO_ALLOW, ChangeClass.HOLD_TO_ALLOW, ChangeClass.DENY_TO_HOLD}
)
"""Where somebody may now do what they could not."""

MEANINGS: Final[Mapping[ChangeClass, str]] = {
    ChangeClass.DENY_TO_ALLOW: "was denied and would run",
    ChangeClass.HOLD_TO_ALLOW: "waited for a person and would run",
    ChangeClass.DENY_TO_HOLD: "was denied and would wait for a person",
    ChangeClass.ALLOW_TO_HOLD: "ran and would wait for a person",
    ChangeClass.ALLOW_TO_DENY: "ran and would be denied",
    ChangeClass.HOLD_TO_DENY: "waited for a person and would be denied",
    ChangeClass.OTHER_DUTIES: "same effect, with other duties",
    ChangeClass.OTHER_TERMS: "would wait too, on other terms",
    ChangeClass.OTHER_CODES: "same effect, for another reason",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One policy's answer to one call: the effect, and `family CODE` of each reason for it."""

    effect: Effect
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One call whose decision would be another."""

    invocation: str
    entry: str
    tool: str
    summary: str
    before: Side
    after: Side


@dataclass(slots=True, kw_only=True)
class ClassTally:
    """Every change of one class: how many, for which reasons, and a few of them.

    Attributes:
        groups: by the reasons before and after.
        tools: by the tool's name.
    """

    count: int = 0
    groups: Counter[tuple[Side, Side]] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Replay:
    """What taking decisions again came to.

    Attributes:
        decisions: all that were read.
        spared: screen or floor had refused, so that policy was not asked, nor is now.
        erased: contents are erased.
        other_form: the question is of another version.
        changes: by class; a class without any is not there.
    """

    decisions: int = 0
    asked: int = 0
    spared: int = 0
    erased: int = 0
    other_form: int = 0
    changes: dict[ChangeClass, ClassTally] = field(default_factory=dict)

    @property
    def unchanged(self) -> int:
        """Asked again, with the same answer."""
        return self.asked - sum(tally.count for tally in self.changes.values())

    def to_json(self) -> dict[str, JsonValue]:
        """All of it, classes in their order."""
        return {
            "decisions": self.decisions,
            "asked": self.asked,
            "unchanged": self.unchanged,
            "spared": self.spared,
            "erased": self.erased,
            "other_form": self.other_form,
            "changes": {
                kind.value: _tally_json(self.changes[kind])
                for kind in ChangeClass
                if kind in self.changes
            },
        }


def _tally_json(tally: ClassTally) -> JsonValue:
    return {
        "count": tally.count,
        "tools": dict(tally.tools.most_common()),
        "groups": [
            {"count": count, "before": _side_json(before), "after": _side_json(after)}
            for (before, after), count in tally.groups.most_common()
        ],
        "examples": [
            {
                "invocation": example.invocation,
                "entry": example.entry,
                "tool": example.tool,
                "summary": example.summary,
                "before": _side_json(example.before),
                "after": _side_json(example.after),
            }
            for example in tally.examples
        ],
    }


def _side_json(side: Side) -> JsonValue:
    return {"effect": side.effect.name, "reasons": [*side.reasons]}
