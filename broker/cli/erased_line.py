"""That what was said in a call is erased, when and by whose act."""

from collections.abc import Sequence

from rich.text import Text

from broker.cli.screen import Around, ours, theirs
from broker.cli.times import clock, epoch
from broker.v1.review_pb2 import Hold
from broker.v1.types_pb2 import Invocation


def erased_line(told: Hold | Invocation, shown: Around) -> Sequence[Text]:
    """One line; none where nothing is erased."""
    if not told.HasField("erase_time"):
        return []
    at = clock(epoch(told.erase_time), now=shown.now, zone=shown.zone)
    return [ours(f"what was said in it, {at}, by ", "yellow") + theirs(told.erased_by)]
