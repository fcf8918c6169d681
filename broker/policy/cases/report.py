"""What a run of cases found, as values: a terminal, a program and a test read the same report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.explanation import Condition
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.coverage import Lines, lines_of
from broker.policy.cases.judging import differences
from broker.policy.cases.reasons import reasons
from broker.policy.cases.running import Outcome, run
from broker.policy.cases.tables import Case
from broker.policy.syntax import declared_codes, trees

REASONS_MAX: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A case that does not hold.

    Attributes:
        case: as it is written.
        outcome: what its family said.
        differences: one line each.
        reasons: conditions that decided; at most the first REASONS_MAX failures have any.
    """

    case: Case
    outcome: Outcome
    differences: tuple[str, ...]
    reasons: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyReport:
    """How well the cases of one family know it.

    Attributes:
        family: its name.
        cases: how many there are.
        failed: how many of them do not hold.
        lines: of its rules, those that say something.
        lines_missed: those of them that no case made hold, as (file, row).
        codes: all that its verdicts have, sorted.
        codes_missed: those that no case expects.
    """

    family: str
    cases: int
    failed: int
    lines: int
    lines_missed: tuple[tuple[str, int], ...]
    codes: tuple[str, ...]
    codes_missed: tuple[str, ...]

    @property
    def lines_percent(self) -> float:
        """Of the lines, those covered; 100 where there are none."""
        return 100 * (self.lines - len(self.lines_missed)) / self.lines if self.lines else 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it, failures in the order of the cases, families by name."""

    cases: int
    failures: tuple[Failure, ...]
    families: tuple[FamilyReport, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """With the names of the attributes."""
        return {
            "cases": self.cases,
            "failed": len(self.failures),
            "failures": [_failure(failure) for failure in self.failures],
            "families": [_family(family) for family in self.families],
        }


def report(
    opa: Path,
    bundle: PolicyBundle,
    cases: Sequence[Case],
    *,
    families: Iterable[str],
    explaining: Callable[[Path, PolicyBundle, Case, Outcome], tuple[Condition, ...]] = reasons,
) -> Report:
    """Run cases and judge them. Blocks while OPA is run: once, and a little for what failed.

    Args:
        opa: the pinned binary.
        bundle: the policy, as it was built.
        cases: of it.
        families: those that are reported, with cases or without.
        explaining: says why a case failed.

    Raises:
        CommandRefused: OPA does not take the question, which is a defect.
        PolicyUnavailable: OPA cannot be run.
    """
    outcomes, coverages = run(opa, bundle, cases)
    failures: list[Failure] = []
    for case, outcome in zip(cases, outcomes, strict=True):
        if told := differences(case.expected, outcome):
            explained = len(failures) < REASONS_MAX
            failures.append(
                Failure(
                    case=case,
                    outcome=outcome,
                    differences=tuple(told),
                    reasons=explaining(opa, bundle, case, outcome) if explained else (),
                )
            )
    wanted = sorted(set(families))
    codes = _codes(opa, bundle, wanted)
    lines = lines_of(coverages)
    return Report(
        cases=len(cases),
        failures=tuple(failures),
        families=tuple(
            _family_report(
                family,
                cases=[case for case in cases if case.family == family],
                failed=sum(1 for failure in failures if failure.case.family == family),
                lines={file: found for file, found in lines.items() if _is_of(file, family)},
                codes=codes[family],
            )
            for family in wanted
        ),
    )


def _family_report(
    family: str,
    *,
    cases: Sequence[Case],
    failed: int,
    lines: Mapping[str, Lines],
    codes: set[str],
) -> FamilyReport:
    expected = {code for case in cases for code in case.expected.codes}
    missed = [(file, row) for file, found in sorted(lines.items()) for row in found.missed]
    return FamilyReport(
        family=family,
        cases=len(cases),
        failed=failed,
        lines=len(missed) + sum(found.covered for found in lines.values()),
        lines_missed=tuple(missed),
        codes=tuple(sorted(codes)),
        codes_missed=tuple(sorted(codes - expected)),
    )


def _codes(opa: Path, bundle: PolicyBundle, families: Sequence[str]) -> dict[str, set[str]]:
    modules = {
        path: data
        for path, data in bundle.files.items()
        if path.endswith(".rego")
        and not path.endswith("_test.rego")
        and any(_is_of(path, family) for family in families)
    }
    found: dict[str, set[str]] = {family: set() for family in families}
    for path, tree in trees(opa, modules).items():
        found[path.split("/")[2]] |= declared_codes(tree).keys()
    return found


def _is_of(path: str, family: str) -> bool:
    return path.startswith(f"broker/rules/{family}/")


def _failure(failure: Failure) -> JsonValue:
    case = failure.case
    return {
        "family": case.family,
        "case": case.name,
        "file": case.file,
        "line": case.line,
        "expected": {"effect": case.expected.effect, "codes": [*case.expected.codes]},
        "got": {"effect": failure.outcome.effect, "codes": [*failure.outcome.codes]},
        "differences": [*failure.differences],
        "reasons": [reason.to_json() for reason in failure.reasons],
    }


def _family(found: FamilyReport) -> JsonValue:
    return {
        "family": found.family,
        "cases": found.cases,
        "failed": found.failed,
        "lines": found.lines,
        "lines_percent": round(found.lines_percent, 1),
        "lines_missed": [{"file": file, "line": row} for file, row in found.lines_missed],
        "codes": [*found.codes],
        "codes_missed": [*found.codes_missed],
    }
