"""What pages read besides what waits: everything of it without an effect."""

from dataclasses import dataclass

from broker.administration.looking import Looking
from broker.reviews.browsing import Browse
from broker.reviews.stories import Stories


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Reads for pages: decided holds and sessions, stories of calls, what is in force."""

    browse: Browse
    stories: Stories
    looking: Looking
