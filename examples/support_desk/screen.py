"""One line a call: what was decided, of what, how long it took and why."""

import shutil
import sys
import textwrap

from broker.sdk import BrokerError, Failed, Held, Outcome, Refused, Succeeded, Unknown
from examples.support_desk.agents import Answered

_LABEL = 15
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


def line(answered: Answered, about: str, *, count: int = 1, width: int = 0) -> str:
    """A call for the screen; in a narrow terminal what does not fit stands beneath, nothing is cut.

    Args:
        answered: what came of it.
        about: what it was, in a few words.
        count: how many alike there were.
        width: in columns; the terminal's own where 0.
    """
    outcome = answered.outcome
    code = outcome.reason if isinstance(outcome, BrokerError) else outcome.code
    said = f"{count} times: {about}" if count > 1 else about
    head = f"  {decided(outcome):5}  {answered.step.tool:{_TOOL}} "
    took = f"{1000 * answered.took_s:5.0f} ms"
    width = width or columns(_ABOUT + _BESIDE)
    if width >= _ABOUT + _BESIDE:
        return f"{head}{_cut(said, _ABOUT):{_ABOUT}}{took}  {code}".rstrip()
    room = max(_ABOUT_MIN, width - len(head) - len(took))
    first, *more = _wrapped(said, room) or [""]
    below = _wrapped("  ".join([*more[-1:], *filter(None, [code])]), room)
    beneath = [f"{'':{len(head)}}{part}" for part in (*more[:-1], *below)]
    return "\n".join([f"{head}{first:{room}}{took}", *beneath])


def ended(outcome: Outcome, about: str) -> str:
    """A reviewed call for the screen: how it ended."""
    return f"  {outcome.state:9}  {outcome.tool:{_TOOL}} {about}"


def noted(line: str, note: str) -> str:
    """A line with a note behind it, or beneath it where a terminal has no room for both."""
    both = f"{line}   {note}"
    return both if columns(len(both)) == len(both) else f"{line}\n{'':{_LABEL}}{note}"


def columns(wanted: int) -> int:
    """Columns that a line may have: `wanted`, or fewer in a terminal that has not so many."""
    if not sys.stdout.isatty():
        return wanted
    return min(wanted, shutil.get_terminal_size((wanted, 0)).columns)


def _wrapped(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, room, break_on_hyphens=False)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"
