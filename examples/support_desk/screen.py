"""One line a call: what was decided, of what, how long it took and why."""

import shutil
import sys

from broker.sdk import BrokerError, Failed, Held, Outcome, Refused, Succeeded, Unknown
from examples.support_desk.agents import Answered

_TOOL = 17
_ABOUT = 52
_ABOUT_MIN = 20
_BESIDE = 59
"""Columns of all else in a line, with the longest code."""


def decided(outcome: Outcome | BrokerError) -> str:
    """The decision in a word; `error` where there is none."""
    match outcome:
        case Succeeded() | Failed() | Unknown():
            return "ALLOW"
        case Refused():
            return "DENY"
        case Held():
            return "HOLD"
        case BrokerError():
            return "error"


def line(answered: Answered, about: str, *, count: int = 1) -> str:
    """A call for the screen.

    Args:
        answered: what came of it.
        about: what it was, in a few words.
        count: how many alike there were.
    """
    outcome = answered.outcome
    code = outcome.reason if isinstance(outcome, BrokerError) else outcome.code
    said = f"{count} times: {about}" if count > 1 else about
    room = _room()
    return (
        f"  {decided(outcome):5}  {answered.step.tool:{_TOOL}} {_cut(said, room):{room}}"
        f"{1000 * answered.took_s:5.0f} ms  {code}"
    ).rstrip()


def ended(outcome: Outcome, about: str) -> str:
    """A reviewed call for the screen: how it ended."""
    return f"  {outcome.state:9}  {outcome.tool:{_TOOL}} {about}"


def columns(wanted: int) -> int:
    """Columns that a line may have: `wanted`, or fewer in a terminal that has not so many."""
    if not sys.stdout.isatty():
        return wanted
    return min(wanted, shutil.get_terminal_size((wanted, 0)).columns)


def _room() -> int:
    """Columns for what a call was: a terminal's lines are not to be broken by it."""
    return max(_ABOUT_MIN, columns(_ABOUT + _BESIDE) - _BESIDE)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"
