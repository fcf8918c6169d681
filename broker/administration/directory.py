"""The directory is replaced source by source, whole, and only by operators.

A source is where the operator has it from: an export, a team's list. What it says comes into force
together, or not at all; what it said before goes, and is kept by its digest for the log.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from broker.administration.changes import (
    ControlChanges,
    InForce,
    Planned,
    optional_reason,
    refused,
    required_reason,
)
from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.credentials import Credential
from broker.core.directory import Directory, Entry, Provision, Source
from broker.core.directory_checks import DirectoryRefused, parse
from broker.core.directory_rows import DIRECTORY, source_changes, source_of
from broker.core.errors import LimitExceeded, NotFound
from broker.core.limits import (
    DIRECTORY_BYTES_MAX,
    DIRECTORY_ENTRIES_MAX,
    DIRECTORY_SOURCES_MAX,
)
from broker.core.unit import DropControl


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryPut:
    """What came of putting a source.

    Attributes:
        source: as it is in force now, or would be.
        added: entries that it did not have before; one of another sensitivity is another entry.
        removed: entries that it has no more.
    """

    source: Source
    added: int
    removed: int


class DirectoryAdministration:
    """Puts sources in force and takes them out."""

    def __init__(self, *, changes: ControlChanges) -> None:
        self._changes = changes

    def in_force(self) -> Directory:
        """All that is known now."""
        return self._changes.room.current().directory

    async def put(
        self,
        operator: Credential,
        document: JsonValue,
        *,
        validate_only: bool = False,
        reason: str = "",
    ) -> DirectoryPut:
        """Put all that one source says in force, in place of what it said before.

        The same content put once more renews its time: it has been looked at again.

        Args:
            operator: who does it.
            document: as `core.directory_checks.parse` reads it.
            validate_only: check alone.
            reason: for the log; may be empty.

        Raises:
            MalformedRequest: with every finding.
            LimitExceeded: all sources together say too much.
        """
        why = optional_reason(reason)
        try:
            provision = await asyncio.to_thread(parse, document)
        except DirectoryRefused as wrong:
            told = tuple(map(str, wrong.findings))
            raise refused("This source was not taken:", told, field="entries") from wrong

        async def plan(in_force: InForce) -> Planned[DirectoryPut]:
            directory = in_force.control.directory
            now = self._changes.clock()
            put = await asyncio.to_thread(_compared, directory, provision, now, operator.subject)
            require_room(directory, put.source)
            if validate_only:
                return Planned(changes=(), entries=(), answer=put)
            before = _found(directory, provision.source)
            entry = self._changes.entry(
                EntryKind.DIRECTORY_PUT,
                operator,
                {
                    "source": put.source.name,
                    "digest": put.source.digest,
                    "before": before.digest if before else "",
                    "entries": put.source.count,
                    "added": put.added,
                    "removed": put.removed,
                    "reason": why,
                },
            )
            changes = await asyncio.to_thread(source_changes, put.source, provision)
            return Planned(changes=changes, entries=(entry,), answer=put)

        return await self._changes.make(plan)

    async def delete(self, operator: Credential, source: str, *, reason: str) -> None:
        """Take a whole source out.

        Raises:
            NotFound: there is no such source.
            MalformedRequest: no reason.
        """
        why = required_reason(reason)

        async def plan(in_force: InForce) -> Planned[None]:
            gone = _found(in_force.control.directory, source)
            if gone is None:
                raise NotFound("The directory has no such source.")
            entry = self._changes.entry(
                EntryKind.DIRECTORY_DELETED,
                operator,
                {
                    "source": gone.name,
                    "digest": gone.digest,
                    "entries": gone.count,
                    "reason": why,
                },
            )
            drop = DropControl(kind=DIRECTORY, key=gone.name)
            return Planned(changes=(drop,), entries=(entry,), answer=None)

        await self._changes.make(plan)


def selected(
    directory: Directory, *, subjects: Iterable[str] = (), source: str = ""
) -> tuple[Entry, ...]:
    """Entries in the order of subject, source, kind and value.

    Args:
        directory: what is in force.
        subjects: only what is known to one of these, or to everybody; all where there is none.
        source: only of this one; of all where empty.
    """
    asked = tuple(subjects)
    found = (
        directory.known_to(asked)
        if asked
        else (e for subject in sorted(directory.entries) for e in directory.entries[subject])
    )
    return tuple(entry for entry in found if source in {"", entry.source})


def _found(directory: Directory, name: str) -> Source | None:
    return next((source for source in directory.sources if source.name == name), None)


def _compared(directory: Directory, provision: Provision, now: float, by: str) -> DirectoryPut:
    after = set(provision.entries)
    before = set(selected(directory, source=provision.source))
    return DirectoryPut(
        source=source_of(provision, put_at=now, put_by=by),
        added=len(after - before),
        removed=len(before - after),
    )


def require_room(directory: Directory, source: Source) -> None:
    """Check that a source fits beside the others, in place of what it said before.

    Raises:
        LimitExceeded: with what there would be too much of.
    """
    others = [one for one in directory.sources if one.name != source.name]
    for what, most, together in (
        ("sources", DIRECTORY_SOURCES_MAX, len(others) + 1),
        ("entries", DIRECTORY_ENTRIES_MAX, source.count + sum(one.count for one in others)),
        ("bytes", DIRECTORY_BYTES_MAX, source.size + sum(one.size for one in others)),
    ):
        if together > most:
            raise LimitExceeded(
                f"The directory would have {together} {what}; it has room for {most}."
            )
