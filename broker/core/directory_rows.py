"""A source of the directory is one control row and, by the digest of what it says, one document.

Reading is exact, as of every control row: what this release does not understand is a Defect.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes, content_digest
from broker.core.control import ControlRow
from broker.core.directory import (
    EMPTY,
    KINDS,
    SENSITIVITIES,
    Directory,
    Entry,
    Provision,
    Source,
    compose,
    order,
)
from broker.core.errors import Defect
from broker.core.unit import AddDocument, PutControl

DIRECTORY: Final = "directory"
"""The kind of the rows, each of whose key is a source's name, and of the documents."""

_T = TypeVar("_T")


def said(provision: Provision) -> bytes:
    """What a source says, as canonical JSON."""
    return canonical_bytes(_document(provision))


def source_of(provision: Provision, *, put_at: float, put_by: str) -> Source:
    """What there is to say of a source that is put."""
    content = said(provision)
    return Source(
        name=provision.source,
        digest=content_digest(content),
        count=len(provision.entries),
        size=len(content),
        put_at=put_at,
        put_by=put_by,
    )


def source_changes(source: Source, provision: Provision) -> tuple[AddDocument, PutControl]:
    """The document that keeps what a source says and the row that puts it in force."""
    content = _document(provision)
    body = canonical_bytes(
        {**content, "digest": source.digest, "put_at": source.put_at, "put_by": source.put_by}
    )
    document = AddDocument(
        digest=source.digest, kind=DIRECTORY, at=source.put_at, body=canonical_bytes(content)
    )
    row = PutControl(kind=DIRECTORY, key=source.name, digest=content_digest(body), body=body)
    return document, row


def directory_in(rows: Iterable[ControlRow]) -> Directory:
    """All that is known.

    Raises:
        Defect: a row is not one of ours.
    """
    found = [_read(row) for row in rows if row.kind == DIRECTORY]
    return compose(found) if found else EMPTY


def _document(provision: Provision) -> dict[str, JsonValue]:
    """By kind, then subject, then sensitivity: the values."""
    known: dict[str, dict[str, dict[str, list[str]]]] = {}
    for entry in sorted(provision.entries, key=order):
        subjects = known.setdefault(entry.kind, {})
        subjects.setdefault(entry.subject, {}).setdefault(entry.sensitivity, []).append(entry.value)
    return {"source": provision.source, "known": cast("JsonValue", known)}


def _read(row: ControlRow) -> tuple[Source, Provision]:
    try:
        body = cast("Mapping[str, Any]", json.loads(row.body))
        provision = _provision(body)
        source = source_of(provision, put_at=float(body["put_at"]), put_by=str(body["put_by"]))
        told = (body["source"], body["digest"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Defect(f"The control row {DIRECTORY} {row.key} cannot be read.") from error
    if told != (row.key, source.digest):
        raise Defect(f"The control row {DIRECTORY} {row.key} is not what its key and digest say.")
    return source, provision


def _provision(body: Mapping[str, Any]) -> Provision:
    source = str(body["source"])
    entries = [
        Entry(
            kind=_one_of(KINDS, kind),
            value=str(value),
            subject=str(subject),
            sensitivity=_one_of(SENSITIVITIES, sensitivity),
            source=source,
        )
        for kind, subjects in body["known"].items()
        for subject, sensitivities in subjects.items()
        for sensitivity, values in sensitivities.items()
        for value in values
    ]
    return Provision(source=source, entries=tuple(sorted(entries, key=order)))


def _one_of(known: Sequence[_T], found: object) -> _T:
    """The one among the known that this is; ValueError where it is none."""
    return known[known.index(cast("_T", found))]
