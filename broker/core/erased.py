"""A mark on what has lost its contents: when, and by whose act."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """When contents were erased (POSIX seconds), and by whom: an operator, or `retention`."""

    at: float
    by: str
