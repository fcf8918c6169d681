"""What a principal may do, through which agent, and why: the same intersection that decides calls.

Shown is what a session could at most do; its mandate narrows further. Grants that no agent can use
are shown too, since they look like access and are none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from broker.core.control import Control
from broker.core.scopes import Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """One scope through one agent.

    Attributes:
        principal_grants, agent_grants: those that give it; a call needs one of each.
        tools: those that need the scope and have all their other scopes met too.
    """

    scope: str
    agent: str
    principal_grants: tuple[Grant, ...]
    agent_grants: tuple[Grant, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a session could at most do.

    Attributes:
        lines: by agent and scope.
        unused: the principal's grants that no agent can use.
    """

    lines: tuple[AccessLine, ...]
    unused: tuple[Grant, ...]


def access_of(
    control: Control, *, principal: str, groups: Iterable[str] = (), agent: str = "", now: float
) -> Access:
    """What a principal may do.

    Args:
        control: what is in force.
        principal: its id.
        groups: as a host would say them; their grants count as the principal's.
        agent: only through this one; every known agent where empty.
        now: POSIX seconds; expired grants give nothing.
    """
    subjects = {principal, *(f"groups/{group}" for group in groups)}
    good = [g for g in control.grants if not g.expires_at or now < g.expires_at]
    own = [g for g in good if g.subject in subjects]
    agents = [agent] if agent else sorted(control.agents)
    needed = {
        name: {scope.name for scope in tool.manifest.scopes}
        for name, tool in sorted(control.tools.items())
    }
    lines = tuple(line for a in agents for line in _lines(needed, a, own, good))
    used = {grant.name for line in lines for grant in line.principal_grants}
    return Access(lines=lines, unused=tuple(g for g in own if g.name not in used))


def _lines(
    needed: Mapping[str, set[str]], agent: str, own: Sequence[Grant], good: Sequence[Grant]
) -> list[AccessLine]:
    lent = [g for g in good if g.subject == agent]
    scopes = {g.scope.name for g in own} & {g.scope.name for g in lent}
    usable = [(name, needs) for name, needs in needed.items() if needs <= scopes]
    return [
        AccessLine(
            scope=scope,
            agent=agent,
            principal_grants=tuple(g for g in own if g.scope.name == scope),
            agent_grants=tuple(g for g in lent if g.scope.name == scope),
            tools=tuple(n for n, needs in usable if scope in needs),
        )
        for scope in sorted(scopes)
    ]
