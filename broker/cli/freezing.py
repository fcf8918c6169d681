"""What the three freeze commands share: how a freeze is shown."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from broker.cli.json_output import enum_word
from broker.cli.names import short
from broker.cli.screen import Around, ours, table, theirs
from broker.cli.times import clock, epoch, length
from broker.v1.admin_pb2 import Freeze

_HEADERS: Final = ("Freeze", "Stops", "Since", "Until", "By", "Reason")


def freezes_picture(freezes: Sequence[Freeze], shown: Around, *, width: int) -> list[Text]:
    """The lines of `freezes`."""
    rows = [
        [
            ours(short(freeze.name), "bold"),
            subject(freeze),
            ours(clock(epoch(freeze.create_time), now=shown.now, zone=shown.zone)),
            ours(_until(freeze, shown)),
            theirs(freeze.frozen_by),
            theirs(freeze.reason),
        ]
        for freeze in freezes
    ]
    return table(_HEADERS, rows, width=width)


def subject(freeze: Freeze) -> Text:
    """`tool refund`, or `everything`."""
    if freeze.kind == Freeze.KIND_ALL:
        return ours("everything", "bold red")
    kind = enum_word(Freeze.Kind.DESCRIPTOR, freeze.kind).lower()
    return ours(f"{kind} {short(freeze.subject)}", "red")


def _until(freeze: Freeze, shown: Around) -> str:
    end = epoch(freeze.expire_time)
    if not end:
        return "it is lifted"
    left = length(end - shown.now)
    return f"{clock(end, now=shown.now, zone=shown.zone)} ({left})"
