"""How what is tried out is told: observed families, and a shadow.

It is said wherever somebody looks who might else take a rule for one that stops something.
"""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from broker.cli.hold_picture import digest
from broker.cli.json_output import enum_word
from broker.cli.names import short
from broker.cli.screen import Around, ours, state, table, theirs
from broker.cli.times import clock, epoch, length
from broker.v1.observing_pb2 import Observation, Shadow, ShadowDifference, ShadowExample
from broker.v1.types_pb2 import Effect

EXAMPLES_SHOWN_MAX: Final = 3
_HEADERS: Final = ("Family", "For", "Since", "Until", "By", "Reason")
_DIFFERENCES: Final = ("Was", "Would be", "Calls", "For example")


def observations_picture(
    observations: Sequence[Observation], shown: Around, *, width: int
) -> list[Text]:
    """The lines of `policy observe --list`."""
    rows = [
        [
            theirs(one.family, "bold yellow"),
            for_whom(one),
            ours(clock(epoch(one.create_time), now=shown.now, zone=shown.zone)),
            until(one, shown),
            theirs(one.observed_by),
            theirs(one.reason),
        ]
        for one in observations
    ]
    return table(_HEADERS, rows, width=width)


def observation_line(observation: Observation, shown: Around) -> Text:
    """`refunds for every agent, until 28 Nov 09:00 (6 d 23 h)`, with who says so and why."""
    head = theirs(observation.family, "bold yellow") + ours(" for ") + for_whom(observation)
    why = theirs(f", by {observation.observed_by}: {observation.reason}")
    return head + ours(", until ") + until(observation, shown) + why


def for_whom(observation: Observation) -> Text:
    """The agent, or all."""
    return theirs(observation.agent) if observation.agent else ours("every agent")


def until(observation: Observation, shown: Around) -> Text:
    """When it ends by itself."""
    end = epoch(observation.expire_time)
    left = length(end - shown.now)
    return ours(f"{clock(end, now=shown.now, zone=shown.zone)} ({left})")


def shadow_line(shadow: Shadow, shown: Around) -> Text:
    """Which it is, since when, and how much differs."""
    since = clock(epoch(shadow.start_time), now=shown.now, zone=shown.zone)
    name = theirs(digest(shadow.policy_revision), "bold")
    if shadow.policy_revision and shadow.beside_policy_revision == shadow.policy_revision:
        return name + ours(", in force itself now: callbroker policy shadow --off", "yellow")
    ready = ours("") if shadow.ready else ours(", does not answer", "bold red")
    beside = ours(" beside ") + theirs(digest(shadow.beside_policy_revision))
    beside = beside if shadow.beside_policy_revision else ours("")
    return name + beside + ready + ours(f", since {since}: {_otherwise(shadow)}")


def shadow_picture(shadow: Shadow, shown: Around, *, width: int) -> list[Text]:
    """The lines of `policy shadow`."""
    why = theirs(f"By {shadow.started_by}" + (f": {shadow.reason}" if shadow.reason else ""))
    lines = [ours("Shadow ") + shadow_line(shadow, shown), why]
    if shadow.dropped or shadow.unanswered:
        told = f"Not compared: {shadow.dropped} as too many waited, {shadow.unanswered} unanswered"
        lines.append(ours(told, "yellow"))
    rows = [row for one in shadow.differences for row in _rows(one)]
    return lines + (table(_DIFFERENCES, rows, width=width) if rows else [])


def _otherwise(shadow: Shadow) -> str:
    differing = sum(one.calls for one in shadow.differences)
    calls = "1 call" if shadow.decisions == 1 else f"{shadow.decisions} calls"
    return f"{calls} decided by both, {differing} of them otherwise"


def _rows(difference: ShadowDifference) -> list[list[Text]]:
    before = state(enum_word(Effect.DESCRIPTOR, difference.before))
    after = state(enum_word(Effect.DESCRIPTOR, difference.after))
    if difference.before == difference.after:
        terms = difference.after == Effect.Value("EFFECT_HOLD")
        after += ours(" on other terms" if terms else " with other duties")
    examples = [_example(one) for one in difference.examples[:EXAMPLES_SHOWN_MAX]] or [ours("")]
    calls = ours(str(difference.calls))
    rest = [[ours(""), ours(""), ours(""), example] for example in examples[1:]]
    return [[before, after, calls, examples[0]], *rest]


def _example(example: ShadowExample) -> Text:
    was, would_be = " ".join(example.codes_before), " ".join(example.codes_after)
    codes = theirs(f"{was or 'nothing stopped it'} -> {would_be or 'nothing stops it'}")
    return ours(f"{short(example.invocation)} ", "bold") + theirs(f"{example.tool} ") + codes
