"""What a worker and the broker tell each other, as values; `rpc` carries them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.ports import FrozenCall, NeverStarted, Outcome

SLOTS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOffer:
    """One implementation: JSON Schemas of its parameters and, where annotated, its result.

    Attributes:
        preview: what says what a call would change, under the name of the tool with
            PREVIEW_SUFFIX; None where there is none.
    """

    name: str
    parameters_schema: Mapping[str, JsonValue]
    result_schema: Mapping[str, JsonValue] | None = None
    preview: "ToolOffer | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A worker's hello."""

    slots: int
    tools: tuple[ToolOffer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A frozen call on its way to a worker. `deadline_at` in POSIX seconds."""

    call: FrozenCall
    deadline_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """An answer was taken, or refused for good; the worker forgets it."""

    invocation: str
    fencing_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined(NeverStarted):
    """All slots of the worker have calls of other brokers: another worker may be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How many of a worker's slots have calls of other brokers."""

    elsewhere: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """A broker that lives, and where workers reach it."""

    broker: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokersTold:
    """All brokers over one database; a worker keeps a stream to each."""

    brokers: tuple[BrokerAddress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a worker says that a call ended."""

    invocation: str
    fencing_token: str
    outcome: Outcome
