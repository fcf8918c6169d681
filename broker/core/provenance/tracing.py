"""Each leaf of a call's arguments, and where it is known to come from.

To trust, a leaf is exactly and wholly something that the user typed, that a fact or the operator's
directory says, or that a trusted tool released. To distrust, likeness is enough. It says who and
where, never that the deed was asked for.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from broker.core.arguments import JsonValue
from broker.core.calls import Fact
from broker.core.directory import Entry
from broker.core.labels import BEST, Labels, Sensitivity, join
from broker.core.pointers import Missing, Pointer, Reference
from broker.core.provenance.folding import decoded, folded
from broker.core.provenance.memory import Memory, exact, remembered, spelled
from broker.core.schema_paths import described
from broker.core.summary import leaves

Source = Literal[
    "words",
    "fact",
    "directory",
    "trusted_result",
    "untrusted_result",
    "weak",
    "lookalike",
    "unseen",
]
TRUSTED: Final[frozenset[Source]] = frozenset({"words", "fact", "directory", "trusted_result"})
_CLEAN_ENOUGH: Final[frozenset[Source]] = frozenset({"weak", "unseen"})
TEXT_CHARACTERS_MIN: Final = 4
NUMBER_DIGITS_MIN: Final = 5
LOOSE_CHARACTERS_MIN: Final = 5
TRACED_CHARACTERS_MAX: Final = 65_536

_MAILBOX: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9.-]{1,253})", re.ASCII
)
_URL_HOST: Final = re.compile(r"https?://([A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?(?:/.*)?", re.ASCII)
_JOINING: Final = frozenset(".-@+/:_%&=?#~\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one value is known to come from.

    Attributes:
        origins: invocations, facts or sources of the directory, as far as there are any.
        carries: the most sensitive content that is found in it.
        approved: of a value of the directory, the most sensitive content that it may receive.
    """

    source: Source
    origins: tuple[str, ...] = ()
    carries: Sensitivity = "none"
    approved: Sensitivity = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known besides what the session has seen.

    Attributes:
        words: what the user typed.
        facts: value by name, of facts that nothing untrusted selected.
        entries: of the directory, for this principal.
    """

    words: Sequence[str] = ()
    facts: Mapping[str, JsonValue] | None = None
    entries: Sequence[Entry] = ()


def trace(
    arguments: Mapping[str, JsonValue],
    schema: JsonValue,
    *,
    memory: Memory,
    known: Known,
) -> dict[str, Origin]:
    """The origin of every leaf that is not empty, by JSON Pointer.

    Args:
        arguments: of the call.
        schema: of its arguments; what it enumerates is weak.
        memory: what the session has seen.
        known: what else is known.
    """
    find = _finder(memory, known)
    traced: dict[str, Origin] = {}
    for pointer, value in leaves(arguments):
        if value in (None, "", [], {}) and not isinstance(value, bool | int | float):
            continue
        if _is_weak(value) or _is_enumerated(schema, pointer):
            traced[pointer] = Origin(source="weak")
        else:
            traced[pointer] = find(exact(spelled(value))[:TRACED_CHARACTERS_MAX])
    return traced


def unselected(
    facts: Mapping[str, Fact],
    selected_by: Mapping[str, Sequence[Reference]],
    traced: Mapping[str, Origin],
    memory: Memory,
) -> dict[str, JsonValue]:
    """Values of the facts that nothing untrusted selected, by name.

    Args:
        facts: as they were looked up.
        selected_by: what each was looked up by, in an order in which each comes after those that
            it was looked up by.
        traced: the arguments' origins, found without any fact.
        memory: what the session has seen.
    """
    sound: dict[str, JsonValue] = {}
    good: frozenset[Source] = TRUSTED if memory.is_untrusted else TRUSTED | _CLEAN_ENOUGH
    for name, references in selected_by.items():
        fact = facts.get(name)
        if fact is None or fact.error or fact.absent:
            continue
        if all(_is_sound(reference, facts, sound, traced, good) for reference in references):
            sound[name] = fact.value
    return sound


def _is_sound(
    reference: Reference,
    facts: Mapping[str, Fact],
    sound: Mapping[str, JsonValue],
    traced: Mapping[str, Origin],
    good: frozenset[Source],
) -> bool:
    if reference.root in facts:
        return reference.root in sound
    if reference.root:
        return True  # of the caller, whom the broker knows
    below = f"{reference.pointer}/"
    return all(
        origin.source in good
        for pointer, origin in traced.items()
        if f"{pointer}/".startswith(below) or below.startswith(f"{pointer}/")
    )


def input_labels(traced: Mapping[str, Origin], memory: Memory) -> Labels:
    """What the arguments make of whatever a tool does with them.

    A value that nobody has seen, or that says too little, may be anything that the model was told.
    """
    doubtful = {"untrusted_result", "lookalike"}
    if memory.is_untrusted:
        doubtful |= {"unseen", "weak"}
    is_doubtful = any(origin.source in doubtful for origin in traced.values())
    carried = (Labels(trust="trusted", sensitivity=one.carries) for one in traced.values())
    return join(Labels(trust="untrusted", sensitivity="none") if is_doubtful else BEST, *carried)


def _finder(memory: Memory, known: Known) -> Callable[[str], Origin]:
    words = remembered(known.words)
    words_folded = [folded(text) for text in known.words]
    facts = _fact_texts(known.facts or {})
    entries: dict[str, Entry] = {}
    for entry in known.entries:
        entries.setdefault(_compared(entry.value), entry)
    alike = {folded(text) for text in (*facts, *entries)}

    def trusted(text: str) -> Origin | None:
        if _stands_in(text, words):
            return Origin(source="words")
        if text in facts:
            return Origin(source="fact", origins=(facts[text],))
        entry = _entry(text, entries)
        if entry is not None:
            return Origin(source="directory", origins=(entry.source,), approved=entry.sensitivity)
        by = memory.trusted(text)
        return Origin(source="trusted_result", origins=(by,)) if by else None

    def distrusted(text: str, carried: Sequence[tuple[str, Labels]]) -> Origin:
        loose = folded(text)
        if len(loose) >= LOOSE_CHARACTERS_MIN and (
            loose in alike
            or memory.is_like_trusted(loose)
            or any(loose in typed for typed in words_folded)
        ):
            return Origin(source="lookalike")
        untrusted = tuple(by for by, labels in carried if labels.trust == "untrusted")
        return Origin(source="untrusted_result" if untrusted else "unseen", origins=untrusted)

    def find(text: str) -> Origin:
        carried = _carried(text, memory)
        carries = join(*(labels for _, labels in carried)).sensitivity
        return replace(trusted(text) or distrusted(text, carried), carries=carries)

    return find


def _carried(text: str, memory: Memory) -> tuple[tuple[str, Labels], ...]:
    """Results that this has something of, in whichever form."""
    found: dict[tuple[str, Labels], None] = {}
    for form in decoded(text):
        loose = folded(form) if len(form) < LOOSE_CHARACTERS_MIN * 100 else _fold_long(form)
        found.update(dict.fromkeys(memory.carriers(loose)))
    return tuple(found)


def _fold_long(text: str) -> str:
    return folded.__wrapped__(text)


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


def _is_enumerated(schema: JsonValue, pointer: str) -> bool:
    shown = described(schema, Pointer.parse(pointer))
    return (
        not isinstance(shown, Missing)
        and isinstance(shown, dict)
        and ("enum" in shown or "const" in shown)
    )


def _stands_in(text: str, words: str) -> bool:
    """Whether it stands in the words as a whole, and is not a piece of something longer."""
    start = words.find(text)
    while start >= 0:
        end = start + len(text)
        if _ends(words[:start][::-1][:2]) and _ends(words[end : end + 2]):
            return True
        start = words.find(text, start + 1)
    return False


def _ends(beyond: str) -> bool:
    """Whether a value ends before these characters, read away from it."""
    if not beyond:
        return True
    if beyond[0].isalnum() or beyond[0] == "_":
        return False
    return not (beyond[0] in _JOINING and len(beyond) > 1 and beyond[1].isalnum())


def _fact_texts(facts: Mapping[str, JsonValue]) -> dict[str, str]:
    return {
        exact(spelled(value)): name
        for name, fact in facts.items()
        for _, value in leaves({"value": fact})
        if spelled(value)
    }


def _entry(text: str, entries: Mapping[str, Entry]) -> Entry | None:
    """By the value itself; a mailbox or URL also by its domain or host, where those are known."""
    compared = _compared(text)
    found = entries.get(compared)
    if found is not None:
        return found if found.kind not in ("domain", "host") or compared == text else None
    mailbox, url = _MAILBOX.fullmatch(text), _URL_HOST.fullmatch(text)
    if mailbox is not None:
        domain = entries.get(mailbox[1].lower())
        return domain if domain is not None and domain.kind == "domain" else None
    if url is not None:
        host = entries.get(url[1].lower())
        return host if host is not None and host.kind == "host" else None
    return None


def _compared(text: str) -> str:
    """Mailboxes and hosts are the same in any case of ASCII; nothing else is."""
    text = exact(text)
    return text.lower() if text.isascii() and _MAILBOX.fullmatch(text) else text
