"""A past decision becomes a case: what differs from a question that asks for nothing, and matters.

A member is left out where the question without it has the same outcome, and only if what takes its
place is neutral or no rule of the family reads it: that a fact is missing is another story than
the fact that was there. The case is tried before it is given; where leaving out changes what the
family says, everything stays.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from broker.core.arguments import JsonValue
from broker.core.decision import STAGE_POLICY, Verdict
from broker.core.pointers import Pointer
from broker.core.question_schema import EXAMPLE
from broker.core.recorded import RecordedDecision, spoken, verdict_record
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.patches import merge_patch
from broker.policy.cases.running import Outcome, run
from broker.policy.cases.tables import Case, Expected
from broker.yaml_documents import read_yaml

_Object: TypeAlias = dict[str, JsonValue]

# What a case is about, whether or not leaving it out changes the outcome.
_TOLD: Final = frozenset({("call", "tool"), ("call", "arguments")})
# Where nothing takes the place of a member: then it is missing, as where a look-up failed.
_MISSED: Final = frozenset({"facts", "usage", "artefacts", "provenance", "reached"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCase:
    """A case to paste below `cases:`.

    Attributes:
        given: a merge patch over what the family's file gives.
        expect: what the family said then: `effect` (left out where it was silent), `codes`, `hold`.
        found: what the family says here and now; None where there is no such family here.
        inexpressible: pointers of members that are null, which no merge patch can say.
    """

    family: str
    given: Mapping[str, JsonValue]
    expect: Mapping[str, JsonValue]
    found: Outcome | None
    inexpressible: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the case holds here and now."""
        if self.found is None:
            return False
        expected = (self.expect.get("effect"), self.expect["codes"])
        return (self.found.effect, [*self.found.codes]) == expected


def families_of(decision: RecordedDecision) -> tuple[str, ...]:
    """The families that spoke, those that made the decision first."""
    ordered = sorted(_policy(decision), key=lambda verdict: verdict.effect)
    return tuple(dict.fromkeys(v.family for v in ordered if v.family))


def make_case(
    decision: RecordedDecision, family: str, *, bundle: PolicyBundle, opa: Path
) -> MadeCase:
    """The case that one decision is for one family.

    Args:
        decision: with its question.
        family: that is judged.
        bundle: that the case is tried on and whose tables it is to be pasted into.
        opa: the pinned binary.

    Raises:
        ValueError: the decision has no question.
        PolicyUnavailable: OPA cannot be run.
    """
    if decision.question is None:
        raise ValueError("Policy was not asked.")
    trial = _Trial(family=family, bundle=bundle, opa=opa)
    question: _Object = dict(decision.question)
    patch = difference(trial.base, question)
    found = None
    if family in bundle.families:
        found, patch = _reduced(trial, patch)
    return MadeCase(
        family=family,
        given=patch,
        expect=_expect(decision, family, bundle),
        found=found,
        inexpressible=tuple(_nulls(question, Pointer.parse(""))),
    )


def difference(base: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> _Object:
    """The merge patch that makes `wanted` of `base` (RFC 7396), as small as it can be.

    A member of `wanted` that is null is left out: a patch cannot say it.
    """
    patch: _Object = {}
    for name in (*base, *(name for name in wanted if name not in base)):
        value, below = wanted.get(name), base.get(name)
        if value is None:
            if name in base:
                patch[name] = None
        elif isinstance(value, dict):
            changed = difference(below if isinstance(below, dict) else {}, value)
            if changed or not isinstance(below, dict):
                patch[name] = changed
        elif name not in base or _text(below) != _text(value):
            patch[name] = value
    return patch


class _Trial:
    """Asks one family, on top of what its file of cases gives."""

    def __init__(self, *, family: str, bundle: PolicyBundle, opa: Path) -> None:
        self.family, self.bundle, self.opa = family, bundle, opa
        name = f"broker/rules/{family}/{family}_cases.yaml"
        table = read_yaml(bundle.files[name]) if name in bundle.files else {}
        given = table.get("given", {}) if isinstance(table, dict) else {}
        own = table.get("parameters", {}) if isinstance(table, dict) else {}
        base = merge_patch(EXAMPLE, given)
        self.base: _Object = base if isinstance(base, dict) else dict(EXAMPLE)
        parameters: JsonValue = json.loads(bundle.files["parameters/data.json"])
        self.parameters = merge_patch(parameters, {family: own}) if own else parameters

    def outcomes(self, patches: Iterable[Mapping[str, JsonValue]]) -> list[Outcome]:
        """What the family says of each."""
        cases = [
            Case(
                family=self.family,
                name="",
                file="",
                line=0,
                question=merge_patch(self.base, dict(patch)),
                parameters=self.parameters,
                expected=Expected(effect=None, codes=()),
            )
            for patch in patches
        ]
        return run(self.opa, self.bundle, cases)[0]

    def reads(self, name: str) -> bool:
        """Whether the family's rules, or any that families share, name a member."""
        word = re.compile(rf"\b{re.escape(name)}\b")
        return any(
            word.search(data.decode("utf-8", "replace"))
            for path, data in self.bundle.files.items()
            if path.endswith(".rego") and path.startswith((f"broker/rules/{self.family}/", "lib/"))
        )


def _reduced(trial: _Trial, patch: _Object) -> tuple[Outcome, _Object]:
    """The patch without what does not matter, and what the family says of it."""
    paths = [path for path in _paths(patch) if _may_go(trial, path)]
    whole, *without = trial.outcomes([patch, *(_without(patch, [path]) for path in paths)])
    idle = [path for path, outcome in zip(paths, without, strict=True) if outcome == whole]
    reduced = _without(patch, idle)
    if trial.outcomes([reduced])[0] == whole:
        return whole, reduced
    # Two that do not matter alone may matter together: take one after the other.
    reduced = patch
    for path in idle:
        smaller = _without(reduced, [path])
        if trial.outcomes([smaller])[0] == whole:
            reduced = smaller
    return whole, reduced


def _paths(patch: Mapping[str, JsonValue]) -> Iterator[tuple[str, ...]]:
    """What may be left out: the members of each part of the question, one by one."""
    for name, value in patch.items():
        if isinstance(value, dict) and name not in _MISSED:
            yield from ((name, member) for member in value)
        else:
            yield (name,)


def _may_go(trial: _Trial, path: tuple[str, ...]) -> bool:
    if path in _TOLD:
        return False
    return path[0] not in _MISSED or not trial.reads(path[0])


def _without(patch: Mapping[str, JsonValue], paths: Sequence[tuple[str, ...]]) -> _Object:
    left: _Object = {}
    for name, value in patch.items():
        if (name,) in paths:
            continue
        if not isinstance(value, dict) or name in _MISSED:
            left[name] = value
        elif kept := {m: one for m, one in value.items() if (name, m) not in paths}:
            left[name] = kept
    return left


def _expect(decision: RecordedDecision, family: str, bundle: PolicyBundle) -> _Object:
    said = [verdict for verdict in _policy(decision) if verdict.family == family]
    if not said:
        return {"codes": []}
    effect = min(verdict.effect for verdict in said)
    strictest = [verdict for verdict in said if verdict.effect == effect]
    expect: _Object = {
        "effect": effect.name,
        "codes": [*sorted({verdict.code for verdict in strictest})],
    }
    if terms := _terms(strictest, bundle):
        expect["hold"] = terms
    return expect


def _terms(holds: Iterable[Verdict], bundle: PolicyBundle) -> _Object:
    """What all of them ask of reviewers beyond what the preset says."""
    usual = json.loads(bundle.files["callbroker/data.json"])["hold"]
    told = [verdict_record(verdict).get("hold") for verdict in holds]
    first = told[0]
    if not isinstance(first, dict):
        return {}
    return {
        name: value
        for name, value in first.items()
        if value != usual.get(name)
        and all(isinstance(one, dict) and one.get(name) == value for one in told)
    }


def _policy(decision: RecordedDecision) -> list[Verdict]:
    return [v for v in spoken(decision.verdicts) if v.stage == STAGE_POLICY]


def _nulls(value: JsonValue, at: Pointer) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if member is None:
                yield str(at / name)
            yield from _nulls(member, at / name)


def _text(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True)
