"""What an entry of the log says of its place in it; read from its own bytes, believed by nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from broker.core.arguments import JsonValue

_TEXTS: Final = (
    "id", "instance", "kind", "actor", "invocation", "session", "contents", "previous",
)  # fmt: skip
_MEMBERS: Final = frozenset({*_TEXTS, "sequence", "at_us", "body"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Whose chain it is in, where there, after what, and the digest of its contents."""

    instance: str
    sequence: int
    contents: str
    previous: str


def well_formed(said: Mapping[str, JsonValue]) -> Said | None:
    """What it says, or None where it does not have an entry's members."""
    texts = all(isinstance(said.get(name), str) for name in _TEXTS)
    numbers = type(said.get("sequence")) is int and type(said.get("at_us")) is int
    if said.keys() != _MEMBERS or not texts or not numbers or not isinstance(said["body"], dict):
        return None
    return Said(
        instance=cast("str", said["instance"]),
        sequence=cast("int", said["sequence"]),
        contents=cast("str", said["contents"]),
        previous=cast("str", said["previous"]),
    )
