"""What a call would change as its tool says, what reviewers made less of it, and who is at it.

The tool's words are nobody's to trust: a label that is more than plain words stands in quotes.
"""

import json
import re
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from broker.cli.screen import Around, ours, theirs
from broker.cli.shown_values import MONEY, quoted, value
from broker.cli.times import clock, epoch, length
from broker.core.previews import ChangeShown, Preview, changes_of
from broker.core.summary import format_amount
from broker.sdk.narrowed import differences
from broker.v1.review_pb2 import Hold, HoldArgument, HoldPreview

_PLAIN_LABEL: Final = re.compile(r"[A-Za-z0-9]+(?:[ _/-][A-Za-z0-9]+)*")


def narrowed_lines(hold: Hold) -> list[Text]:
    """What is there instead of what the agent asked for; none where nobody made it less."""
    if not hold.asked_arguments_json:
        return []
    asked, now = json.loads(hold.asked_arguments_json), json.loads(hold.arguments_json)
    return [
        theirs(pointer)
        + ours(" ")
        + _side(pointer, after, hold.arguments)
        + ours(" instead of ")
        + _side(pointer, before, hold.arguments)
        for pointer, before, after in differences(asked, now)
    ]


def preview_lines(hold: Hold) -> list[Text]:
    """What the tool says that it would change, or why it says nothing."""
    if not hold.HasField("preview"):
        return []
    told = hold.preview
    if told.error:
        return [ours("the tool could not say what would change: ") + theirs(told.error, "yellow")]
    changes = changes_of(_preview(told))
    if not changes:
        return [ours("nothing, says the tool")]
    return [_change(change) for change in changes]


def taken_line(hold: Hold, shown: Around) -> list[Text]:
    """Who is at it just now."""
    until = epoch(hold.taken_until_time)
    if hold.state != Hold.STATE_PENDING or not hold.taken_by or until <= shown.now:
        return []
    at = clock(until, now=shown.now, zone=shown.zone)
    left = ours(f" until {at} ({length(until - shown.now)}); nobody else approves it meanwhile")
    return [ours("by ") + theirs(hold.taken_by) + left]


def take_back_line(hold: Hold, shown: Around) -> list[Text]:
    """For how long an approval can be taken back; the call does not run before."""
    left_s = epoch(hold.run_from_time) - shown.now
    if hold.state != Hold.STATE_APPROVED or left_s <= 0:
        return []
    return [ours(f"in {length(max(left_s, 1.0))}; until then the approval can be taken back")]


def _side(pointer: str, one: object, arguments: Sequence[HoldArgument]) -> Text:
    """A value, as money where the argument in its place is money now."""
    for argument in arguments:
        money = MONEY.fullmatch(argument.rendered) if argument.pointer == pointer else None
        if money and isinstance(one, int):
            return theirs(f"{money[1]} {format_amount(one, money[1])}")
    return value(json.dumps(one))


def _preview(told: HoldPreview) -> Preview:
    return Preview(invocation=told.invocation, content=told.content_json, at=epoch(told.time))


def _change(change: ChangeShown) -> Text:
    plain = _PLAIN_LABEL.fullmatch(change.label) is not None
    label = theirs(change.label) if plain else quoted(change.label)
    before, after = (_amount(one, change) for one in (change.before, change.after))
    return label + ours(" ") + before + ours(" -> ") + after


def _amount(one: object, change: ChangeShown) -> Text:
    if change.is_money and isinstance(one, int):
        amount = format_amount(one, change.currency)
        return theirs(f"{change.currency} {amount}" if change.currency else amount)
    return value(json.dumps(one))
