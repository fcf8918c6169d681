"""Facts as a decision sees them: each has a canonical form, and all of them together a digest.

A value without one (NaN, half a character, a huge integer) could be shown to nobody exactly, so it
is a fact that failed; rules that need it cannot allow.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.calls import Fact
from broker.core.canonical import canonical_bytes, digest

NO_FACTS: Final = digest({})


def sound(facts: Mapping[str, Fact]) -> Mapping[str, Fact]:
    """The facts, with a failure in place of each value that has no canonical form."""
    return {name: fact if _is_sound(fact) else _failed(fact) for name, fact in facts.items()}


def digest_of(facts: Mapping[str, Fact]) -> str:
    """What an approval is bound to: every value, failure and absence, and where each is from."""
    return digest({name: _json(fact) for name, fact in facts.items()})


def _is_sound(fact: Fact) -> bool:
    try:
        canonical_bytes(fact.value)
    except ValueError:
        return False
    return True


def _failed(fact: Fact) -> Fact:
    return replace(fact, value=None, error="SHAPE_INVALID")


def _json(fact: Fact) -> JsonValue:
    return {
        "value": fact.value,
        "error": fact.error,
        "absent": fact.absent,
        "source": fact.source,
    }
