"""A report of cases as its reader sees it: what failed and why, then how well each family is known.

Paths are those that an editor opens: of the author's own tree where the file lies there.
"""

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from rich.text import Text

from broker.cli.screen import Around, beside, fold, ours, table, theirs
from broker.core.explanation import Condition
from broker.policy.cases.report import Failure, FamilyReport, Report

_WIDTH_MAX = 110
_INDENT = 5

Where = Callable[[str], str]
"""From a path in the bundle to the one that the author knows."""


def report_picture(
    report: Report, shown: Around, *, where: Where, took_s: float, opa: str
) -> list[Text]:
    """The lines of `policy test`.

    Args:
        report: what was found.
        shown: where it is shown.
        where: names files.
        took_s: seconds, building included.
        opa: its version.
    """
    width = min(shown.width, _WIDTH_MAX)
    lines: list[Text] = []
    for failure in report.failures:
        lines += _failure(failure, where=where, width=width)
    rows = [_row(family) for family in report.families]
    lines += table(("Family", "Cases", "Failed", "Lines", "Codes expected"), rows, width=width)
    told = f"{_count(report.cases)}, {len(report.failures)} failed, {took_s:.1f} s, OPA {opa}"
    return [*lines, ours(told)]


def lacking(report: Report, lines_min: float, *, where: Where) -> list[str]:
    """The families with fewer per cent of lines covered than wanted, one sentence each."""
    return [
        f"{family.family}: {_percent(family)} of its lines are covered, "
        f"the first that is not is {where(family.lines_missed[0][0])}:{family.lines_missed[0][1]}"
        for family in report.families
        if family.lines_percent < lines_min
    ]


def _failure(failure: Failure, *, where: Where, width: int) -> Iterable[Text]:
    case = failure.case
    failed = ours("FAIL ", "red")
    yield from beside(
        failed + theirs(f"{case.family}: ", "bold") + theirs(case.name),
        theirs(f"{where(case.file)}:{case.line}"),
        width=width,
    )
    for difference in failure.differences:
        yield from _indented(theirs(difference), width=width)
    for reason in failure.reasons:
        yield from _indented(_reason(reason), width=width)


def _reason(reason: Condition) -> Text:
    file = PurePosixPath(reason.place.file).name
    line = theirs(f"{file}:{reason.place.line}  {reason.source}")
    if reason.values != reason.source:
        line += ours("    ") + theirs(reason.values)
    return line if reason.held else line + ours(" is false")


def _indented(text: Text, *, width: int) -> Iterable[Text]:
    for part in fold(text, width - _INDENT):
        yield Text(" " * _INDENT) + part


def _row(family: FamilyReport) -> list[Text]:
    known = len(family.codes) - len(family.codes_missed)
    never = f", never {', '.join(family.codes_missed)}" if family.codes_missed else ""
    return [
        theirs(family.family),
        ours(f"{family.cases:>5}"),
        ours(f"{family.failed:>6}", "red" if family.failed else ""),
        ours(f"{_percent(family):>5}"),
        theirs(f"{known} of {len(family.codes)}{never}"),
    ]


def _percent(family: FamilyReport) -> str:
    """Rounded down: 100 % is all of them."""
    return f"{int(family.lines_percent)} %"


def _count(cases: int) -> str:
    return f"{cases} {'case' if cases == 1 else 'cases'}"
