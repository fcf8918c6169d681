"""The reviewer's use cases: what waits, what exactly it is, and one Person's yes or no to it."""

from broker.reviews.deciding import Reviews
from broker.reviews.showing import EarlierView, FileView, HoldView, HoldViews

__all__ = ["EarlierView", "FileView", "HoldView", "HoldViews", "Reviews"]
