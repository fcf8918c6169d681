"""What observed families said of a call, wherever it is told what stopped it."""

from collections.abc import Iterable

from rich.text import Text

from broker.cli.json_output import enum_word
from broker.cli.screen import ours, state, theirs
from broker.v1.types_pb2 import Effect, Observed


def observed_lines(observed: Iterable[Observed]) -> list[Text]:
    """One line each, with the effect that it would have had."""
    return [
        state(enum_word(Effect.DESCRIPTOR, one.effect))
        + theirs(f"  {one.message} {one.code}")
        + ours(" (")
        + theirs(one.family)
        + ours(", observed only)")
        for one in observed
    ]
