"""A source answers one look-up with rows, or says by a code why it cannot; it never writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from broker.core.arguments import JsonValue
from broker.core.manifest import FactSpec

Code = Literal[
    "DEADLINE_EXCEEDED",
    "SOURCE_UNAVAILABLE",
    "SHAPE_INVALID",
    "PARAMETER_ABSENT",
    "TOO_MANY_ROWS",
    "QUERY_FAILED",
]

CONNECTIONS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """A system of record, as the configuration names it.

    Attributes:
        url: `sqlite:///path`, `postgresql+psycopg://...`, or an HTTP origin, `https://host:port`;
            plain http to loopback alone.
        headers: sent with every request to an HTTP source; a credential belongs here and nowhere
            in a manifest.
        connections: the most at a time.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    connections: int = CONNECTIONS


class LookUpFailed(Exception):
    """There is no answer. `detail` is for the operator's log alone."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code: Code = code
        self.detail = detail


class Source(Protocol):
    """One system of record."""

    def refuses(self, spec: FactSpec) -> str:
        """Why no look-up like this can ever work here; empty where it can."""
        ...

    async def look_up(
        self,
        spec: FactSpec,
        parameters: Mapping[str, JsonValue],
        *,
        rows_max: int,
    ) -> list[JsonValue]:
        """The rows, or the one body; nothing where there is no such thing.

        Whoever awaits this sets the deadline; cancelled, the look-up stops at the source as well.

        Raises:
            LookUpFailed: there is no answer, or more rows than `rows_max`.
        """
        ...

    async def close(self) -> None:
        """Give up connections and threads."""
        ...
