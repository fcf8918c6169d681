"""What pages read besides what waits: everything of it without an effect."""

from collections.abc import Callable
from dataclasses import dataclass

from broker.administration import Administration
from broker.administration.looking import Looking
from broker.core.control import Control
from broker.ports import Browsing, Store
from broker.reviews.browsing import Browse
from broker.reviews.stories import Stories


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Reads for pages: decided holds and sessions, stories of calls, what is in force."""

    browse: Browse
    stories: Stories
    looking: Looking


def records_of(
    store: Store,
    *,
    browsing: Browsing,
    control: Callable[[], Control],
    administration: Administration,
) -> Records:
    """What pages read of these parts."""
    clock = administration.changes.clock
    return Records(
        browse=Browse(store=store, browsing=browsing, control=control, clock=clock),
        stories=Stories(store=store, control=control),
        looking=Looking(
            changes=administration.changes,
            policies=administration.policies,
            shadow=administration.shadow,
            recorded=administration.recorded,
            explaining=administration.explaining,
            browsing=browsing,
            about=administration.overview.about,
        ),
    )
