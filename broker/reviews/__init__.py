"""The reviewer's use cases: what waits, what exactly it is, and one Person's yes or no to it."""

from broker.reviews.deciding import Reviews
from broker.reviews.docket import Docket
from broker.reviews.handling import Handling
from broker.reviews.showing import EarlierView, FileView, HoldView, HoldViews, QueueRow
from broker.reviews.together import Left, Shown, Together

__all__ = [
    "Docket",
    "EarlierView",
    "FileView",
    "Handling",
    "HoldView",
    "HoldViews",
    "Left",
    "QueueRow",
    "Reviews",
    "Shown",
    "Together",
]
