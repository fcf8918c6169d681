"""Who asks, for whom, and what: the values that every stage is handed and none may change.

Whose authority a call uses comes from a mandate, never from the call. Times are POSIX seconds as
float, UTC, from the broker's injected clock.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from broker.core.arguments import JsonValue
from broker.core.artefacts import Artefact
from broker.core.caller_word import BY_AGENT, CALLER, RECONCILED
from broker.core.canonical import call_digest, canonical_bytes
from broker.core.decision import Decision
from broker.core.erased import Erased
from broker.core.lifecycle import InvocationState
from broker.core.scopes import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A human by (issuer, subject). Separation of duties and quorum compare Persons only."""

    issuer: str
    subject: str

    def __str__(self) -> str:
        return f"{self.issuer}#{self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The Person or service whose authority a call uses (OAuth's subject).

    Attributes:
        id: the host's name for it, such as `customers/c-204`.
        person: whom separation of duties compares.
        groups: what grants to groups match.
        attributes: what the host says of it; JSON.
        assurance: how the host knows it, such as `password` or `phishing-resistant`; may be empty.
    """

    id: str
    person: Person
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)
    assurance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The software that acts for the principal (RFC 8693 actor), and who answers for it."""

    id: str
    owner: Person
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)


class Context(enum.StrEnum):
    """What the model of a session reads besides the user's words."""

    OPEN = "open"
    MEDIATED = "mediated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One task of one agent for one principal.

    Attributes:
        name: `sessions/{uuid}`.
        words: what the user typed, first to last, as the host told it.
        scopes: what the mandate narrows to; it can grant nothing.
        expires_at: absolute end.
        idle_expires_at: end unless a call comes before.
        state: OPEN, CLOSED or REVOKED.
        ancestors: the sessions that this one goes on from, and what their models read; the eldest
            first. What was seen there was seen here.
    """

    name: str
    mandate: str
    principal: Principal
    agent: Agent
    context: Context
    words: tuple[str, ...]
    scopes: tuple[Scope, ...]
    opened_at: float
    expires_at: float
    idle_expires_at: float
    state: str
    secret_digest: bytes
    ancestors: tuple[tuple[str, Context], ...] = ()
    erased: Erased | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Principal, agent and session, authenticated together."""

    session: Session
    credential: str

    @property
    def principal(self) -> Principal:
        """Whose authority is used."""
        return self.session.principal

    @property
    def agent(self) -> Agent:
        """Who acts."""
        return self.session.agent


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """What was asked. Never changes after `convert`.

    Attributes:
        canonical: RFC 8785 bytes of the arguments; these go to reviewer, tool and log alike.
        digest: of tool and arguments together (`canonical.call_digest`).
    """

    tool: str
    arguments: Mapping[str, JsonValue]
    canonical: bytes
    digest: str
    request_id: str

    @classmethod
    def of(cls, tool: str, arguments: dict[str, JsonValue], request_id: str) -> Self:
        """The call with its canonical form and its digest."""
        return cls(
            tool=tool,
            arguments=arguments,
            canonical=canonical_bytes(arguments),
            digest=call_digest(tool, arguments),
            request_id=request_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that the broker itself looked up for this call.

    Attributes:
        value: what was found; None where the row is absent or `error` is set.
        error: empty, or why there is no answer: DEADLINE_EXCEEDED, SOURCE_UNAVAILABLE,
            SHAPE_INVALID, PARAMETER_ABSENT, TOO_MANY_ROWS, QUERY_FAILED.
        absent: the query ran and found nothing.
        source: the system of record.
    """

    name: str
    source: str
    value: JsonValue = None
    error: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a counter had counted before this call.

    Attributes:
        used: calls, or the sum in minor units, inside the window.
        limit: the most that the manifest allows, the present call included.
        window_s: length of the sliding window, seconds.
        key: what is counted for whom; the store's name of the counter.
        version: rises with every reservation and release; `record` checks that it stood still.
    """

    used: int
    limit: int
    window_s: int
    key: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How often a tool had which decision in this session, and when first and last."""

    tool: str
    effect: str
    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How often a principal has reached a target by a tool, and when first and last."""

    tool: str
    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """The durable record of one mediated call.

    Attributes:
        name: `invocations/{uuid}`; also the tool's idempotency key.
        tool_revision, policy_revision: what decided; empty where it never got that far.
        message: for people and the model: why it was refused, or what failed.
        code: the caller's code of the same: a refusal's, or the tool's own failure code.
        result: RFC 8785 bytes, None until released.
        artefacts: files that the tool left, released with the result.
        asked: what the agent asked for, where a reviewer has narrowed it to `call`; else None.
        hold: the name of the latest hold, or empty.
        attempt: how many times it was handed to a runner.
        runner: what has it carried out, as the manifest said; empty before anything does.
        etag: rises with every change.
    """

    name: str
    session: str
    principal: str
    agent: str
    request_id: str
    call: ToolCall
    asked: ToolCall | None = None
    state: InvocationState
    decision: Decision | None
    tool_revision: str
    policy_revision: str
    control_revision: int
    code: str = ""
    message: str = ""
    result: bytes | None = None
    artefacts: tuple[Artefact, ...] = ()
    erased: Erased | None = None
    hold: str = ""
    attempt: int = 0
    runner: str = ""
    owner: str = ""
    lease_expires_at: float = 0.0
    deadline_at: float = 0.0
    created_at: float
    updated_at: float
    etag: int = 1

    @property
    def is_preview(self) -> bool:
        """The broker itself asked, before a call of the agent's (`core.previews`).

        Its own name is its request id: no agent knows a name before there is a call of it.
        """
        return self.request_id == self.name

    @property
    def is_with_caller(self) -> bool:
        """RUNNING, and the agent's own process is to say how it ended."""
        return self.state is InvocationState.RUNNING and self.runner == CALLER

    @property
    def reported_by(self) -> str:
        """`agent` where how it ended is the agent's own word alone; else empty."""
        ended = self.state in {InvocationState.SUCCEEDED, InvocationState.FAILED}
        is_its_word = ended and self.runner == CALLER and self.code != RECONCILED
        return BY_AGENT if is_its_word else ""
