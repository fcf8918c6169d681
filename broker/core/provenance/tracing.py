"""Each leaf of a call's arguments, and where it is known to come from.

It says who and where, never that the deed was asked for. A fact counts where nothing untrusted has
selected it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.calls import Fact
from broker.core.labels import BEST, Labels, join
from broker.core.pointers import Reference
from broker.core.provenance.effort import Effort
from broker.core.provenance.finding import FactTexts, Finder, Known
from broker.core.provenance.leaves import Leaf, leaves_of
from broker.core.provenance.memory import Memory, exact, spelled
from broker.core.provenance.origins import TRUSTED, WEAK, Origin, Source, worst

TEXT_CHARACTERS_MIN: Final = 4
NUMBER_DIGITS_MIN: Final = 5
EMPTY_MAX: Final = 4
"""So many empty values of a call say nothing; which of more are null and which are empty might."""
_CLEAN_ENOUGH: Final[frozenset[Source]] = frozenset({"weak", "unseen"})
_UNTRUSTED: Final = Labels(trust="untrusted", sensitivity="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What was found of a call's arguments.

    Attributes:
        origins: of every leaf that is not empty, or that names of the model's own lead to, by JSON
            Pointer.
        empty: how many leaves are neither.
    """

    origins: Mapping[str, Origin]
    empty: int = 0


def trace(
    arguments: Mapping[str, JsonValue],
    schema: JsonValue,
    *,
    memory: Memory,
    known: Known,
    facts: Mapping[str, Fact] | None = None,
    selected_by: Mapping[str, Sequence[Reference]] | None = None,
    effort: Effort | None = None,
) -> Trace:
    """The origin of every leaf.

    Args:
        arguments: of the call.
        schema: of its arguments; what it enumerates is weak, names that it declares are nobody's.
        memory: what the session has seen.
        known: what else is known.
        facts: as they were looked up for the call, by name.
        selected_by: what each was looked up by, in an order in which each comes after those that
            it was looked up by.
        effort: what may be read of what the session has seen; as much as for any call, where left
            out.
    """
    finder = Finder(memory=memory, known=known, effort=effort or Effort())
    leaves = list(leaves_of(arguments, schema))
    found = _origins(leaves, finder.find, known)
    sound = unselected(facts or {}, selected_by or {}, found, memory)
    if sound:
        texts = FactTexts(sound)

        def find(text: str, *, is_number: bool = False) -> Origin:
            return texts.judge(text, finder.find(text, is_number=is_number))

        found = _origins(leaves, find, known)
    return Trace(origins=found, empty=len(leaves) - len(found))


def unselected(
    facts: Mapping[str, Fact],
    selected_by: Mapping[str, Sequence[Reference]],
    traced: Mapping[str, Origin],
    memory: Memory,
) -> dict[str, JsonValue]:
    """Values of the facts that nothing untrusted selected, by name.

    Args:
        facts: as they were looked up.
        selected_by: what each was looked up by.
        traced: the arguments' origins, found without any fact.
        memory: what the session has seen.
    """
    sound: dict[str, JsonValue] = {}
    good: frozenset[Source] = TRUSTED if memory.is_untrusted else TRUSTED | _CLEAN_ENOUGH
    for name, references in selected_by.items():
        fact = facts.get(name)
        if fact is None or fact.error or fact.absent:
            continue
        arguments = [one for one in references if not one.root]
        others = {one.root for one in references if one.root in selected_by}
        if others <= sound.keys() and all(
            _is_sound(reference, traced, good) for reference in arguments
        ):
            sound[name] = fact.value
    return sound


def _is_sound(reference: Reference, traced: Mapping[str, Origin], good: frozenset[Source]) -> bool:
    """Whether all that is there is good; of nothing at all, that it was left out was a choice."""
    below = f"{reference.pointer}/"
    found = [
        origin.source in good
        for pointer, origin in traced.items()
        if f"{pointer}/".startswith(below) or below.startswith(f"{pointer}/")
    ]
    return all(found) and (bool(found) or "unseen" in good)


def input_labels(trace: Trace, memory: Memory) -> Labels:
    """What the arguments make of whatever a tool does with them.

    A value that nobody has seen, or that says too little, may be anything that the model was told.
    """
    doubtful: set[Source] = {"untrusted_result", "lookalike"}
    if memory.is_untrusted:
        doubtful |= _CLEAN_ENOUGH
    is_doubtful = any(origin.source in doubtful for origin in trace.origins.values())
    is_doubtful = is_doubtful or (memory.is_untrusted and trace.empty > EMPTY_MAX)
    carried = (Labels(trust="trusted", sensitivity=one.carries) for one in trace.origins.values())
    return join(_UNTRUSTED if is_doubtful else BEST, *carried)


def _origins(
    leaves: Iterable[Leaf], find: Callable[..., Origin], known: Known
) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for leaf in leaves:
        names = [find(exact(name)) for name in leaf.names if len(name) >= TEXT_CHARACTERS_MIN]
        if not leaf.is_empty:
            found[leaf.pointer] = worst([_origin(leaf, find, known), *names])
        elif leaf.names:
            found[leaf.pointer] = worst(names or [WEAK])
    return found


def _origin(leaf: Leaf, find: Callable[..., Origin], known: Known) -> Origin:
    value = leaf.value
    if leaf.is_enumerated or (_is_weak(value) and not _is_known(value, known)):
        return WEAK
    return find(exact(spelled(value)), is_number=not isinstance(value, str))


def _is_known(value: JsonValue, known: Known) -> bool:
    """What is known wholly is found, however short: there are people called Bo."""
    return isinstance(value, str) and bool(value) and known.places.find(exact(value)) is not None


def _is_weak(value: JsonValue) -> bool:
    match value:
        case bool():
            return True
        case int() | float():
            return sum(c.isdigit() for c in spelled(value)) < NUMBER_DIGITS_MIN
        case str():
            return len(exact(value)) < TEXT_CHARACTERS_MIN
        case _:
            return False
