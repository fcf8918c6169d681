"""What an application and its tools say and are told, as plain values; nothing here talks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Scope:
    """A permission by name that may bind values.

    Attributes:
        name: such as `refunds:write`.
        where: reference (`/currency`, `order#/customer_id`) to the list of values it is good for.
    """

    name: str
    where: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose authority a session uses, as the host knows it.

    Attributes:
        id: the host's name for it, such as `customers/c-204`; 1 to 200 characters.
        groups: whose grants count too.
        attributes: a JSON object that rules may read; at most 16 KiB.
        assurance: how the host knows who it is, such as `password`.
    """

    id: str
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    assurance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that this session may use.

    Attributes:
        arguments_schema: JSON Schema 2020-12.
        result_schema: the same; None where the manifest declares none.
        revision: digest of the whole manifest.
        read_only: whether the operator says that it only reads.
        executed_by_caller: whether this process executes it: `session.run_local`.
    """

    name: str
    description: str
    arguments_schema: dict[str, Any]
    result_schema: dict[str, Any] | None
    revision: str
    read_only: bool
    executed_by_caller: bool = False

    def for_model(self) -> dict[str, Any]:
        """The shape that model APIs take: name, description, input_schema."""
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": self.arguments_schema,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A file of a session, without what is in it: `session.read` and `session.save` get that.

    Attributes:
        name: `artefacts/…`; what an argument that names a file holds. Good in its session alone.
        made_by: `agent` where it was uploaded, else the `invocations/{uuid}` that left it.
        file_name: one plain name.
        size: bytes.
        sha256: `sha256:` and hex of what is in it.
        trust: `trusted` or `untrusted`, the worst of all that went into it.
        sensitivity: `none`, `personal` or `secret`, likewise.
        expires_at: it is erased then.
    """

    name: str
    session: str
    made_by: str
    file_name: str
    size: int
    sha256: str
    trust: str
    sensitivity: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The frozen call that a tool carries out: who for, through whom, until when.

    Attributes:
        invocation: `invocations/{uuid}`. The idempotency key: the same at a second delivery.
        tool_revision: digest of the manifest that it was decided under.
        digest: of tool and arguments.
        principal: whose authority it uses, for the tool's own per-user checks.
        principal_groups: the principal's groups.
        deadline: an answer after this changes nothing; timezone-aware.
        attempt: 1 for the first.
        traceparent: W3C Trace Context of the broker's span of this attempt, for a tool that tells
            of its own work to go on below; empty unless the broker tells of this call.
    """

    invocation: str
    tool: str
    tool_revision: str
    digest: str
    principal: str
    principal_groups: tuple[str, ...]
    agent: str
    session: str
    deadline: datetime
    attempt: int
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a preview: what a call would change.

    Attributes:
        label: for the reviewer, such as "left on the payment".
        before: the value now; `before_minor` where it is money in minor units.
        after: the value then; `after_minor` likewise. Texts, numbers, booleans or None; texts of at
            most 300 characters.
        currency: ISO 4217 code of the amounts, where it is not that of the call.

    Raises:
        ValueError: both a value and an amount.
    """

    label: str
    before: Any = field(default=None, kw_only=True)
    after: Any = field(default=None, kw_only=True)
    before_minor: int | None = field(default=None, kw_only=True)
    after_minor: int | None = field(default=None, kw_only=True)
    currency: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        is_value = (self.before, self.after) != (None, None)
        is_money = (self.before_minor, self.after_minor, self.currency) != (None, None, None)
        if is_value and is_money:
            raise ValueError(f"{self.label}: a change is of a value or of an amount, not of both.")
