"""What must hold of a stack whose processes were killed: ledger, log, rows and answers agree."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker.core import limits
from broker.core.audit import EntryKind
from broker.core.lifecycle import InvocationState
from tests.crash.ledger import Line
from tests.crash.stack import KNOWS_KEYS, SANDBOXED
from tests.crash.stack_agent import Answer

_OPEN = frozenset({"RUNNING", "HELD"})
_HAPPENED = frozenset({"SUCCEEDED", "UNKNOWN"})
_STATES = {
    "Succeeded": frozenset({InvocationState.SUCCEEDED}),
    "Failed": frozenset({InvocationState.FAILED}),
    "Unknown": frozenset({InvocationState.UNKNOWN}),
    "Refused": frozenset(
        {
            InvocationState.DENIED,
            InvocationState.REJECTED,
            InvocationState.EXPIRED,
            InvocationState.CANCELLED,
        }
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An invocation, as a stranger reads it in the database."""

    name: str
    tool: str
    request_id: str
    state: str
    attempt: int
    hold: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All that is compared.

    Attributes:
        entries: of the log, verified elsewhere.
    """

    rows: Mapping[str, Row]
    entries: Sequence[Mapping[str, Any]]
    lines: Sequence[Line]
    answers: Sequence[Answer]


def at_any_time(lines: Sequence[Line], answers: Iterable[Answer]) -> Iterator[str]:
    """What is wrong already, whatever else is under way."""
    effects = Counter(line.invocation for line in lines if line.is_effect)
    for name, count in effects.items():
        if count > 1:
            yield f"{name} had its effect {count} times"
    for line in lines:
        if (line.state, line.attempts) != ("RUNNING", line.attempt):
            yield (
                f"{line.invocation} took effect at attempt {line.attempt} while "
                f"{line.state or 'not there'} with {line.attempts} attempts in the log"
            )
    named: dict[str, str] = {}
    for answer in answers:
        if named.setdefault(answer.request_id, answer.invocation) != answer.invocation:
            yield f"{answer.request_id} is {named[answer.request_id]} and {answer.invocation}"
        yield from _disagreement(answer, effects)


def _disagreement(answer: Answer, effects: Mapping[str, int]) -> Iterator[str]:
    happened = effects.get(answer.invocation, 0)
    if answer.outcome in {"Refused", "Failed"} and happened:
        yield f"{answer.invocation} was told to be {answer.outcome} {answer.code}, and happened"
    if answer.outcome != "Succeeded":
        return
    if answer.tool != SANDBOXED and not happened:
        yield f"{answer.invocation} was told to have succeeded, and nothing happened"
    if answer.result != (answer.order if answer.tool == SANDBOXED else answer.invocation):
        yield f"{answer.invocation} was told another's result: {answer.result}"


def once_settled(books: Books) -> list[str]:
    """What is wrong of a stack in which nothing is under way any more."""
    return [
        *at_any_time(books.lines, books.answers),
        *_rows(books),
        *_lines(books),
        *_ends(books),
        *_answers(books),
    ]


def _rows(books: Books) -> Iterator[str]:
    effects = {line.invocation for line in books.lines if line.is_effect}
    for row in books.rows.values():
        if row.state in _OPEN:
            yield f"{row.name} is {row.state} for ever"
        has_line = row.tool != SANDBOXED
        if has_line and row.state == "SUCCEEDED" and row.name not in effects:
            yield f"{row.name} has SUCCEEDED, and nothing happened"
        if has_line and row.name in effects and row.state not in _HAPPENED:
            yield f"{row.name} took effect, and is {row.state}"
        if row.attempt > limits.ATTEMPTS_MAX:
            yield f"{row.name} was tried {row.attempt} times"


def _lines(books: Books) -> Iterator[str]:
    begun = _by_invocation(books, EntryKind.ATTEMPT_STARTED)
    handed: Counter[tuple[str, int]] = Counter()
    for line in books.lines:
        row = books.rows.get(line.invocation)
        if row is None:
            yield f"{line.invocation} took effect and is not recorded"
            continue
        handed[line.invocation, line.attempt] += 1
        attempts = [entry["body"]["attempt"] for entry in begun[line.invocation]]
        if attempts.count(line.attempt) != 1:
            yield f"{line.invocation}: attempt {line.attempt} is not in the log once: {attempts}"
        if line.attempt > 1 and line.tool not in KNOWS_KEYS:
            yield f"{line.invocation}: {line.tool} was handed over again"
    for (name, attempt), count in handed.items():
        if count > 1:
            yield f"{name}: attempt {attempt} was handed over {count} times"
    for row in books.rows.values():
        attempts = [entry["body"]["attempt"] for entry in begun[row.name]]
        if attempts != [*range(1, row.attempt + 1)]:
            yield f"{row.name}: attempts {attempts} in the log, and its row says {row.attempt}"


def _ends(books: Books) -> Iterator[str]:
    ended = _by_invocation(books, EntryKind.CALL_ENDED)
    for row in books.rows.values():
        states = [entry["body"]["state"] for entry in ended[row.name]]
        if len(states) > 1:
            yield f"{row.name} ended {len(states)} times: {states}"
        if states and states[-1] != row.state:
            yield f"{row.name} is {row.state}, and the log says {states[-1]}"
        if row.attempt and not states:
            yield f"{row.name} was begun, and the log has no end of it"


def _answers(books: Books) -> Iterator[str]:
    for answer in books.answers:
        row = books.rows.get(answer.invocation)
        if row is None:
            yield f"{answer.invocation} was told of, and is not recorded"
        elif row.state not in _STATES.get(answer.outcome, frozenset({row.state})):
            yield f"{row.name} was told to be {answer.outcome}, and is {row.state}"


def _by_invocation(books: Books, kind: EntryKind) -> Mapping[str, list[Mapping[str, Any]]]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in books.entries:
        if entry["kind"] == kind:
            found[entry["invocation"]].append(entry)
    return found
