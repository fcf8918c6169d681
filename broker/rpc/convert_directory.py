"""What operators send and see of the directory."""

from typing import Final

from broker.administration.directory import DirectoryPut
from broker.core.arguments import JsonValue
from broker.core.directory import EVERYBODY, KINDS, SENSITIVITIES, Entry, Source
from broker.rpc.convert import timestamp
from broker.v1 import admin_pb2, types_pb2

_Kind = admin_pb2.DirectoryEntry.Kind
_Sensitivity = types_pb2.Artefact.Sensitivity
_KIND_OUT: Final = {kind: _Kind.Value(f"KIND_{kind.upper()}") for kind in KINDS}
_SENSITIVITY_OUT: Final = {
    one: _Sensitivity.Value(f"SENSITIVITY_{one.upper()}") for one in SENSITIVITIES
}
_KIND_IN: Final[dict[int, str]] = {number: kind for kind, number in _KIND_OUT.items()}
_SENSITIVITY_IN: Final[dict[int, str]] = {
    _Sensitivity.SENSITIVITY_UNSPECIFIED: "none",
    **{number: one for one, number in _SENSITIVITY_OUT.items()},
}


def document_in(request: admin_pb2.PutDirectoryRequest) -> JsonValue:
    """The document that `core.directory_checks.parse` reads; what means nothing is a finding."""
    return {"source": request.source, "entries": [_entry_in(entry) for entry in request.entries]}


def entry_out(entry: Entry) -> admin_pb2.DirectoryEntry:
    """One known value."""
    return admin_pb2.DirectoryEntry(
        kind=_KIND_OUT[entry.kind],
        value=entry.value,
        subject=entry.subject,
        sensitivity=_SENSITIVITY_OUT[entry.sensitivity],
        source=entry.source,
    )


def source_out(source: Source) -> admin_pb2.Directory:
    """A source in force, or as it would be."""
    return admin_pb2.Directory(
        source=source.name,
        digest=source.digest,
        entries=source.count,
        put_time=timestamp(source.put_at),
        put_by=source.put_by,
    )


def put_out(put: DirectoryPut) -> admin_pb2.PutDirectoryResponse:
    """What came of putting a source."""
    return admin_pb2.PutDirectoryResponse(
        directory=source_out(put.source), added=put.added, removed=put.removed
    )


def _entry_in(entry: admin_pb2.DirectoryEntry) -> JsonValue:
    return {
        "kind": _KIND_IN.get(entry.kind, ""),
        "value": entry.value,
        "for": entry.subject or EVERYBODY,
        "sensitivity": _SENSITIVITY_IN.get(entry.sensitivity, ""),
    }
