"""What a source says is taken whole, or refused with every finding and where it is.

A value is taken as it is written, never mended: whoever compares it later compares what an operator
saw. So what cannot be seen, has two spellings or is no such thing at all is a finding.
"""

import functools
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from broker.core.arguments import JsonValue
from broker.core.directory import (
    EVERYBODY,
    KINDS,
    SENSITIVITIES,
    Entry,
    Kind,
    Provision,
    order,
)
from broker.core.limits import (
    DIRECTORY_ENTRIES_MAX,
    DIRECTORY_VALUE_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
)
from broker.core.text import visible

_MEMBERS: Final = frozenset({"kind", "value", "for", "sensitivity"})
_DOMAIN_CHARACTERS_MAX: Final = 253
_LABEL_CHARACTERS_MAX: Final = 63
_LOCAL_CHARACTERS_MAX: Final = 64
_ASCII_FORM: Final = "xn--"
_MAILBOX_BYTES_MAX: Final = 254
# RFC 5322 §3.2.3, a dot-atom; beyond ASCII, letters and digits alone (RFC 6531 allows more).
_DOT_ATOM: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem.

    Attributes:
        at: JSON Pointer into the document.
        told: what is wrong there and what to do.
    """

    at: str
    told: str

    def __str__(self) -> str:
        return f"{self.at}: {self.told}"


class DirectoryRefused(ValueError):
    """The document is no source; `findings` has every problem."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(map(str, findings)))
        self.findings = findings


def parse(document: JsonValue) -> Provision:
    """Read all that one source says.

    Args:
        document: `{source, entries: [{kind, value, for, sensitivity}]}`, the last two of an entry
            `*` and `none` where left out.

    Raises:
        DirectoryRefused: with every problem found.
    """
    found = list(_outer(document))
    if found:
        raise DirectoryRefused(tuple(found))
    given = cast("Mapping[str, Any]", document)
    entries: list[Entry] = []
    seen: dict[tuple[str, str, str], int] = {}
    for number, one in enumerate(given["entries"]):
        if problems := tuple(_entry(one)):
            found += [Finding(at=f"/entries/{number}{at}", told=told) for at, told in problems]
            continue
        entry = Entry(
            kind=one["kind"],
            value=one["value"],
            subject=one.get("for", EVERYBODY),
            sensitivity=one.get("sensitivity", "none"),
            source=given["source"],
        )
        first = seen.setdefault(_identity(entry), number)
        if first != number:
            found.append(
                Finding(
                    at=f"/entries/{number}", told=f"is /entries/{first} once more: leave it out"
                )
            )
        entries.append(entry)
    if found:
        raise DirectoryRefused(tuple(found))
    return Provision(source=given["source"], entries=tuple(sorted(entries, key=order)))


def is_source(name: object) -> bool:
    """Whether this can be what a source is called."""
    return _is_name(name, NAME_CHARACTERS_MAX)


def _outer(document: JsonValue) -> Iterator[Finding]:
    if not isinstance(document, dict):
        yield Finding(at="", told="write an object with `source` and `entries`")
        return
    for name in sorted(document.keys() - {"source", "entries"}):
        yield Finding(at=f"/{visible(name)}", told="nothing is called so: `source` and `entries`")
    if not is_source(document.get("source")):
        yield Finding(
            at="/source",
            told=f"say where these are from, in 1 to {NAME_CHARACTERS_MAX} visible characters",
        )
    entries = document.get("entries")
    if not isinstance(entries, list) or not entries:
        yield Finding(at="/entries", told="write a list of one entry at least")
    elif len(entries) > DIRECTORY_ENTRIES_MAX:
        yield Finding(
            at="/entries", told=f"{len(entries)} entries, at most {DIRECTORY_ENTRIES_MAX}"
        )


def _entry(one: object) -> Iterator[tuple[str, str]]:
    if not isinstance(one, dict):
        yield "", "write an object with `kind` and `value`"
        return
    for name in sorted(one.keys() - _MEMBERS):
        yield "", f"`{visible(name)}` is no member: {', '.join(sorted(_MEMBERS))}"
    kind = one.get("kind")
    if kind not in KINDS:
        yield "/kind", f"one of {', '.join(KINDS)}"
    if problem := _value_problem(kind if kind in KINDS else "", one.get("value")):
        yield "/value", problem
    subject = one.get("for", EVERYBODY)
    if subject != EVERYBODY and not _is_subject(subject):
        yield "/for", 'a principal\'s id, "groups/NAME" or "*", in visible characters'
    if one.get("sensitivity", "none") not in SENSITIVITIES:
        yield "/sensitivity", f"one of {', '.join(SENSITIVITIES)}"


def _value_problem(kind: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        return "is empty" if value == "" else "write a text"
    if len(value) > DIRECTORY_VALUE_CHARACTERS_MAX:
        return f"{len(value)} characters, at most {DIRECTORY_VALUE_CHARACTERS_MAX}"
    if not unicodedata.is_normalized("NFC", value):
        return "write it in Unicode's normal form NFC"
    if not _is_visible(value):
        return "holds what cannot be seen: a control character, another space or the like"
    if value != value.strip():
        return "begins or ends with a space"
    is_one = _SYNTAX.get(kind)
    return f"is no {kind}: {_EXAMPLES[kind]}" if is_one and not is_one(value) else ""


def _is_subject(given: object) -> bool:
    return _is_name(given, NAME_CHARACTERS_MAX) and given not in {"groups/", "groups/*"}


def _is_name(given: object, characters_max: int) -> bool:
    return (
        isinstance(given, str)
        and 0 < len(given) <= characters_max
        and given == given.strip()
        and unicodedata.is_normalized("NFC", given)
        and _is_visible(given)
    )


def _is_visible(text: str) -> bool:
    if text.isascii():
        return text.isprintable()
    # A backslash is escaped when it is shown, and can be seen all the same.
    bare = text.replace("\\", "/")
    return visible(bare) == bare


def _is_host(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return _is_host_name(value)
    # RFC 5952 has one spelling of each; a zone is of this machine alone.
    return str(address) == value and "%" not in value


def _is_domain(value: str) -> bool:
    return "." in value and _is_host_name(value)


# The same few hosts come again and again in one export.
@functools.lru_cache(maxsize=1_024)
def _is_host_name(value: str) -> bool:
    labels = value.split(".")
    # Whatever ends in a number is an IPv4 address to somebody (WHATWG URL, "ends in a number").
    return (
        len(value) <= _DOMAIN_CHARACTERS_MAX
        and all(map(_is_label, labels))
        and re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", labels[-1]) is None
    )


def _is_label(label: str) -> bool:
    """A label as it is written: in letters, or in the ASCII form that IDNA gives those."""
    if not label.lower().startswith(_ASCII_FORM):
        return _is_written(label)
    letters = _letters(label.lower())
    return len(label) <= _LABEL_CHARACTERS_MAX and letters != label.lower() and _is_written(letters)


def _letters(label: str) -> str:
    """The letters of an ASCII form (RFC 5890, section 2.3.2.1); itself where it is none.

    A form that is not the one of its letters is none: it would be a second spelling.
    """
    try:
        letters = label.removeprefix(_ASCII_FORM).encode("ascii").decode("punycode")
        again = _ASCII_FORM + letters.encode("punycode").decode("ascii")
    except UnicodeError:
        return label
    is_one = label.startswith(_ASCII_FORM) and not letters.isascii()
    return letters if is_one and again == label and letters == letters.lower() else label


def _host_letters(name: str) -> str:
    """A host's name as one of its spellings: small letters, and none in their ASCII form."""
    return ".".join(map(_letters, unicodedata.normalize("NFC", name.lower()).split(".")))


def _is_written(label: str) -> bool:
    return (
        0 < len(label) <= _LABEL_CHARACTERS_MAX
        and not label.startswith("-")
        and not label.endswith("-")
        # IDNA would fold what NFKC folds, and the name would be another's.
        and unicodedata.is_normalized("NFKC", label)
        and all(c == "-" or unicodedata.category(c)[0] in "LMN" for c in label)
    )


def _is_mailbox(value: str) -> bool:
    local, at, domain = value.partition("@")
    return (
        bool(at)
        and len(local) <= _LOCAL_CHARACTERS_MAX
        and len(value.encode()) <= _MAILBOX_BYTES_MAX
        and _DOT_ATOM.fullmatch(local) is not None
        and _is_host_name(domain)
    )


_SYNTAX: Final[Mapping[str, Callable[[str], bool]]] = {
    "mailbox": _is_mailbox,
    "domain": _is_domain,
    "host": _is_host,
}
_EXAMPLES: Final = {
    "mailbox": "such as ada@shop.example, without a name or brackets around it",
    "domain": "such as shop.example, without a scheme, a star or a dot at the end",
    "host": "such as files.shop.example or 192.0.2.7, without a scheme, a port or brackets",
}


def _identity(entry: Entry) -> tuple[Kind, str, str]:
    """What two entries have in common that are one.

    The case of a host's name says nothing, nor does whether it is in letters or in ASCII form.
    """
    value = entry.value
    if entry.kind == "mailbox":
        local, _, domain = value.partition("@")
        value = f"{local}@{_host_letters(domain)}"
    elif entry.kind in {"domain", "host"}:
        value = _host_letters(value)
    return (entry.kind, value, entry.subject)
