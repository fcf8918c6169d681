"""When and by whom contents were erased, as one column says it: JSON, or NULL for never."""

import json

from broker.core.erased import Erased
from broker.store.parts import erased_part, erased_part_of


def mark(value: Erased | None) -> str | None:
    """The column's value."""
    return None if value is None else json.dumps(erased_part(value), separators=(",", ":"))


def mark_of(value: str | None) -> Erased | None:
    """What it says."""
    return None if value is None else erased_part_of(json.loads(value))
