"""A scope is a named permission that may bind values; absent scopes are none.

Effective = principal ∩ agent ∩ session. A bound value narrows: where the three say different
things of one value, all of them must hold. Nothing here adds a scope that one of the three lacks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A permission by name, such as `refunds:write`.

    Attributes:
        where: reference (`/currency`, `order#/customer_id`) to the values that it is good for.
            Empty: any value.
    """

    name: str
    where: Mapping[str, tuple[JsonValue, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A standing assignment of one scope.

    Attributes:
        name: `grants/{id}`.
        subject: a principal's id, a group (`groups/{name}`) or an agent's id.
        expires_at: POSIX seconds; 0 for no end.
        reason: why it was given, for the auditor.
        granted_by: the operator.
    """

    name: str
    subject: str
    scope: Scope
    expires_at: float
    reason: str
    granted_by: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveScope:
    """A scope that principal, agent and session all have, with every bound that any of them sets.

    Attributes:
        alternatives: per holder, the sets of bounds of which at least one must be met; a holder
            with two grants of a scope may use either. A call passes when, for each holder, some
            alternative matches in full.
    """

    name: str
    alternatives: Mapping[str, tuple[Mapping[str, tuple[JsonValue, ...]], ...]]


def held_by(grants: Iterable[Grant], subjects: Iterable[str], *, now: float) -> tuple[Scope, ...]:
    """The scopes that unexpired grants give to any of these subjects."""
    wanted = frozenset(subjects)
    return tuple(
        g.scope for g in grants if g.subject in wanted and (g.expires_at == 0 or now < g.expires_at)
    )


def effective(
    *,
    principal: Iterable[Scope],
    agent: Iterable[Scope],
    session: Iterable[Scope],
) -> Mapping[str, EffectiveScope]:
    """The intersection of the three, by scope name."""
    holders = {"principal": tuple(principal), "agent": tuple(agent), "session": tuple(session)}
    names = set.intersection(*({s.name for s in scopes} for scopes in holders.values()))
    return {
        name: EffectiveScope(
            name=name,
            alternatives={
                holder: tuple(s.where for s in scopes if s.name == name)
                for holder, scopes in holders.items()
            },
        )
        for name in names
    }


def covers(
    scope: EffectiveScope,
    values_of: Callable[[str], Sequence[JsonValue]],
) -> bool:
    """Whether a call lies within what the scope is good for.

    Args:
        scope: what principal, agent and session have of it.
        values_of: what a bound's reference stands for in this call (`Known.values_of`); empty
            where it is missing, and then nothing is covered.

    Returns:
        True where every holder has an alternative each of whose bounds names every value there.
        A scope that nobody holds covers nothing.
    """
    return bool(scope.alternatives) and all(
        any(_within(where, values_of) for where in alternatives)
        for alternatives in scope.alternatives.values()
    )


def same(left: JsonValue, right: JsonValue) -> bool:
    """JSON equality: 1 and 1.0 are one number, neither is true. What is no JSON equals nothing."""
    if isinstance(left, str) or isinstance(right, str):
        return left == right
    try:
        return canonical_bytes(left) == canonical_bytes(right)
    except ValueError:
        return False


def _within(
    where: Mapping[str, tuple[JsonValue, ...]],
    values_of: Callable[[str], Sequence[JsonValue]],
) -> bool:
    return all(_named(values_of(reference), good) for reference, good in where.items())


def _named(values: Sequence[JsonValue], good: Sequence[JsonValue]) -> bool:
    return bool(values) and all(any(same(v, g) for g in good) for v in values)
