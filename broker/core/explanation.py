"""What an explanation says: values alone, so that a terminal and a page can show the same one.

Nothing in here is a guess: an `Alternative` was asked of the policy and answered, and where
nothing was found the tuple is empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.core.arguments import JsonValue
from broker.core.decision import Effect, Verdict
from broker.core.passing import Passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A line of a rule: the file's path in the bundle, and the line, counted from 1."""

    file: str
    line: int

    def to_json(self) -> dict[str, JsonValue]:
        """`{file, line}`."""
        return {"file": self.file, "line": self.line}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """An expression that decided.

    Attributes:
        place: where it stands.
        source: as it is written, on one line.
        values: the same with what its names stood for in this question; long values are cut.
        held: whether it was true.
    """

    place: Place
    source: str
    values: str
    held: bool

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        return {
            **self.place.to_json(),
            "source": self.source,
            "values": self.values,
            "held": self.held,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One verdict, and why it was given.

    Attributes:
        place: of the rule that gives it; None for what the entry point adds, such as silence.
        conditions: those that decided, in the order of the rules; empty where the rules say no
            more than that they apply, or where they could not be followed.
    """

    verdict: Verdict
    place: Place | None = None
    conditions: tuple[Condition, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        verdict = self.verdict
        document: dict[str, JsonValue] = {
            "family": verdict.family,
            "effect": verdict.effect.name,
            "code": verdict.code,
            "message": verdict.message,
            "conditions": [condition.to_json() for condition in self.conditions],
        }
        if self.place is not None:
            document["place"] = self.place.to_json()
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value of the question, otherwise.

    Attributes:
        pointer: JSON Pointer (RFC 6901) into the question.
        value: what was asked instead, and answered as the alternative says.
        otherwise: the value stands for any that differs from the one in the question.
        lowest: of the integers around `value` that were answered alike, or less strictly; None
            where no lower end was met.
        highest: likewise. Both None where it is no integer, or no end was met at all.
    """

    pointer: str
    value: JsonValue
    otherwise: bool = False
    lowest: int | None = None
    highest: int | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        return {
            "pointer": self.pointer,
            "value": self.value,
            "otherwise": self.otherwise,
            "lowest": self.lowest,
            "highest": self.highest,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """All of these changes together, and what policy then said.

    What else the question holds is as it was: facts and provenance of a changed value were not
    looked up again.
    """

    changes: tuple[Change, ...]
    effect: Effect

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        return {
            "changes": [change.to_json() for change in self.changes],
            "effect": self.effect.name,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What rids a question of one verdict that stops it; None where nothing was found."""

    family: str
    code: str
    alternative: Alternative | None

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        found = None if self.alternative is None else self.alternative.to_json()
        return {"family": self.family, "code": self.code, "alternative": found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Integers that are answered alike; None where no end was met on that side."""

    effect: Effect
    lowest: int | None
    highest: int | None

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        return {"effect": self.effect.name, "lowest": self.lowest, "highest": self.highest}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How the answer depends on one integer of the question alone; bands in rising order."""

    pointer: str
    value: int
    bands: tuple[Band, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        return {
            "pointer": self.pointer,
            "value": self.value,
            "bands": [band.to_json() for band in self.bands],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What policy says of one question, and why.

    Attributes:
        policy_revision: of the bundle that was asked.
        effect: the strictest of what was said; screens and limits are not policy's.
        spoken: strictest first, then by family and code.
        silent: families that said nothing.
        allowed_if: what was found that would be ALLOW, fewest changes first; empty where it is
            allowed as it is, and where nothing was found.
        removals: for each verdict that stops the call, in the order of `spoken`.
        scales: of the numbers among the arguments that the answer turns on.
        problem: why the rules could not be followed further, or empty.
        money: of the question's amounts in minor units, the currency of each (ISO 4217), by JSON
            Pointer. Numbers here are minor units; in the `values` of a condition they are not.
        passed: the stages before policy that let the call go on; none of what never was a call.
    """

    policy_revision: str
    effect: Effect
    spoken: tuple[Spoken, ...]
    silent: tuple[str, ...] = ()
    allowed_if: tuple[Alternative, ...] = ()
    removals: tuple[Removal, ...] = ()
    scales: tuple[Scale, ...] = ()
    problem: str = ""
    money: Mapping[str, str] = field(default_factory=dict)
    passed: tuple[Passed, ...] = ()

    def to_json(self) -> Mapping[str, JsonValue]:
        """With the names of the attributes."""
        return {
            "policy_revision": self.policy_revision,
            "effect": self.effect.name,
            "spoken": [spoken.to_json() for spoken in self.spoken],
            "silent": [*self.silent],
            "allowed_if": [alternative.to_json() for alternative in self.allowed_if],
            "removals": [removal.to_json() for removal in self.removals],
            "scales": [scale.to_json() for scale in self.scales],
            "problem": self.problem,
            "money": dict(self.money),
            "passed": [one.to_json() for one in self.passed],
        }
