"""Reads OPA's account of an evaluation into the queries that it was made of.

An account is flat: each event names its query and the query that this one was asked in. A query is
a rule's body, or a body within one (of a comprehension, an `every`, a `not`). It ended well if it
has an Exit; if not, the expression that failed last is why. OPA rewrites expressions, may change
their order, and answers a rule a second time from memory, without a word.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from broker.core.arguments import JsonValue

RULE: Final = "rule"
EVERY: Final = "every"
BODY: Final = "body"


class Undefined:
    """What a name stands for that stands for nothing."""


UNDEFINED: Final = Undefined()
Value = JsonValue | Undefined


class At(NamedTuple):
    """Where something stands; rows and columns count from 1."""

    file: str
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Event:
    """One step. `node` is the rewritten expression or rule, `raw_locals` what is bound then."""

    op: str
    query: int
    parent: int
    at: At
    node: Any
    raw_locals: Sequence[Mapping[str, Any]]
    names: Mapping[str, Mapping[str, Any]]

    @property
    def index(self) -> int:
        """Of the expression in its body, as OPA runs it."""
        return int(self.node.get("index", 0)) if isinstance(self.node, dict) else 0

    def bound(self) -> dict[str, JsonValue]:
        """Values by OPA's own names of the variables."""
        return {local["name"]: plain(local) for local in self.raw_locals}

    def named(self) -> dict[str, JsonValue]:
        """Values by the names that the author gave."""
        own = {key: str(about.get("name", key)) for key, about in self.names.items()}
        return {own.get(name, name): value for name, value in self.bound().items()}


@dataclass(slots=True, kw_only=True)
class Query:
    """One query: its events without those of the queries within it.

    Attributes:
        path: of a rule, `broker.rules.mail._known`; else empty.
        at: of a rule, its head; of a body, its first expression.
    """

    number: int
    kind: str
    path: str
    at: At
    above: "Query | None"
    events: list[Event] = field(default_factory=list)
    within: list["Query"] = field(default_factory=list)

    def exits(self) -> list[Event]:
        """One for each time that it ended well."""
        return [event for event in self.events if event.op == "Exit"]

    def last_failures(self) -> list[Event]:
        """The failures of the expression that was reached last, one for each way to it."""
        failed = [event for event in self.events if event.op == "Fail"]
        furthest = max((event.index for event in failed), default=0)
        return [event for event in failed if event.index == furthest]

    def rule(self) -> "Query":
        """The rule that it is part of."""
        query = self
        while query.kind != RULE and query.above is not None:
            query = query.above
        return query


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All queries, in the order in which they began."""

    queries: tuple[Query, ...]

    def of_rule(self, path: str) -> Iterator[Query]:
        """Every body of a rule that was tried, whoever asked first."""
        return (query for query in self.queries if query.kind == RULE and query.path == path)

    def rules(self) -> Iterator[Query]:
        """Every body of any rule."""
        return (query for query in self.queries if query.kind == RULE)


def read_account(events: Iterable[Mapping[str, Any]]) -> Account:
    """Sort an account's events into its queries."""
    queries: dict[int, Query] = {}
    for raw in events:
        event = _event(raw)
        query = queries.get(event.query)
        if query is None:
            query = _query(event, queries.get(event.parent))
            queries[event.query] = query
            if query.above is not None:
                query.above.within.append(query)
        query.events.append(event)
    return Account(queries=tuple(queries.values()))


def plain(term: Mapping[str, Any]) -> JsonValue:
    """The JSON value of a ground term; sets become arrays."""
    value = term.get("value")
    match term.get("type"):
        case "array" | "set":
            return [plain(item) for item in value or ()]
        case "object":
            return {_key(key): plain(member) for key, member in value or ()}
        case "string" | "number" | "boolean":
            scalar: JsonValue = value
            return scalar
        case _:
            return None


def path_of(term: object) -> str:
    """`broker.rules.mail._known` of a reference into data; empty for any other term."""
    if not isinstance(term, dict) or term.get("type") != "ref":
        return ""
    head, *steps = term["value"]
    if head.get("value") != "data":
        return ""
    names: list[str] = []
    for step in steps:
        if step.get("type") != "string":
            break
        names.append(str(step["value"]))
    return ".".join(names)


def _event(raw: Mapping[str, Any]) -> Event:
    place = raw.get("Location") or {}
    return Event(
        str(raw.get("Op", "")),
        int(raw.get("QueryID", 0)),
        int(raw.get("ParentID", 0)),
        At(str(place.get("file", "")).lstrip("/"), place.get("row", 0), place.get("col", 0)),
        raw.get("Node"),
        raw.get("Locals") or (),
        raw.get("LocalMetadata") or {},
    )


def _query(first: Event, above: Query | None) -> Query:
    node = first.node
    kind, path = BODY, ""
    if isinstance(node, dict) and "head" in node:
        kind = RULE
        path = _rule_path(node["head"], first.at.file)
    elif isinstance(node, dict) and isinstance(node.get("terms"), dict) and "body" in node["terms"]:
        kind = EVERY
    return Query(number=first.query, kind=kind, path=path, at=first.at, above=above)


def _rule_path(head: Mapping[str, Any], file: str) -> str:
    """A file lies in its package's folder, so that its path says the package."""
    reference = head.get("ref") or [{"value": head.get("name", "")}]
    folders = file.split("/")[:-1]
    return ".".join((*folders, str(reference[0].get("value", ""))))


def _key(term: Mapping[str, Any]) -> str:
    value = plain(term)
    return value if isinstance(value, str) else str(value)
