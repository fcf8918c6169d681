"""With whom a question is asked, told to whoever wants to know, beside the answer.

The answer itself does not have it: what else is asked changes nothing of what policy says.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Company:
    """Of one question.

    Attributes:
        questions: how many were asked together the last time, this one too; 0 where questions are
            not put together.
        rounds: how often the engine was asked it: more than once where a group was spoilt, or it
            was late.
    """

    questions: int = 0
    rounds: int = 0


_wanted: ContextVar[Company | None] = ContextVar("company", default=None)


@contextlib.contextmanager
def told() -> Iterator[Company]:
    """Have the question that is asked in the block tell of its company."""
    company = Company()
    token = _wanted.set(company)
    try:
        yield company
    finally:
        _wanted.reset(token)


def wanted() -> Company | None:
    """Where the question that this task asks tells of it; None where nobody wants to know."""
    return _wanted.get()
