"""A freeze is a kill switch; it holds from the next decision on, at claims and at hand-over."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from broker.core.calls import Invocation
from broker.core.previews import previewed


class FreezeKind(enum.StrEnum):
    """What a freeze stops."""

    TOOL = "tool"
    AGENT = "agent"
    PRINCIPAL = "principal"
    SESSION = "session"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """One kill switch.

    Attributes:
        name: `freezes/{id}`.
        subject: the tool's name, the agent's or principal's id, the session's name; empty for all.
        expires_at: POSIX seconds; 0 for never.
    """

    name: str
    kind: FreezeKind
    subject: str
    reason: str
    frozen_by: str
    created_at: float
    expires_at: float = 0.0

    def is_in_force(self, *, now: float) -> bool:
        """Whether it stops anything now."""
        return not self.expires_at or now < self.expires_at


def covering(
    freezes: Iterable[Freeze],
    *,
    tool: str,
    agent: str,
    principal: str,
    session: str,
    now: float,
) -> Freeze | None:
    """The first unexpired freeze that covers this call, or None. A tool's covers its preview."""
    subjects = {
        FreezeKind.TOOL: previewed(tool),
        FreezeKind.AGENT: agent,
        FreezeKind.PRINCIPAL: principal,
        FreezeKind.SESSION: session,
        FreezeKind.ALL: "",
    }
    for freeze in freezes:
        if freeze.is_in_force(now=now) and subjects[freeze.kind] == freeze.subject:
            return freeze
    return None


def covering_call(
    freezes: Iterable[Freeze],
    invocation: Invocation,
    *,
    now: float,
) -> Freeze | None:
    """The same for a call that was recorded."""
    return covering(
        freezes,
        tool=invocation.call.tool,
        agent=invocation.agent,
        principal=invocation.principal,
        session=invocation.session,
        now=now,
    )
