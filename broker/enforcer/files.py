"""Files go to a tool as they were named when its call was decided, and come back as new ones.

What a call names cannot have changed since: an artefact is written once. It may be gone or damaged,
and then the tool is handed nothing at all. What a tool leaves gets names of chance and the worst
labels of all that went into it: its manifest's, its inputs', and those of the world outside.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.artefacts import (
    NAME_BYTES,
    Artefact,
    Stored,
    are_too_many,
    erased_at,
    file_names,
    is_name,
    named_in,
    new_name,
)
from broker.core.calls import Caller, Invocation
from broker.core.canonical import content_digest
from broker.core.decision import STAGE_SCREEN, Effect, Verdict
from broker.core.labels import BEST, Labels, join
from broker.core.manifest import Output, ToolManifest
from broker.ports import CarriedFile, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What a tool is handed besides its arguments, and the worst label among it."""

    files: tuple[CarriedFile, ...] = ()
    labels: Labels = BEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a tool left.

    Attributes:
        stored: what is kept and released, in the tool's order.
        withheld: digest and size of what is not.
    """

    stored: tuple[Stored, ...] = ()
    withheld: tuple[tuple[str, int], ...] = ()

    @property
    def thrown_away(self) -> "Left":
        """The same with nothing kept."""
        ones = (one.artefact for one in self.stored)
        return Left(withheld=(*self.withheld, *((one.sha256, one.size) for one in ones)))


NOTHING_LEFT: Final = Left()


class FileGone(Exception):
    """A file that the call names is not there as it was; `str()` says so for the log."""


def named_by(manifest: ToolManifest, arguments: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """What stands where the arguments name files, by JSON Pointer, in the manifest's order."""
    return named_in(manifest.sandbox.files_in, arguments) if manifest.sandbox else {}


async def find(
    store: Store,
    session: str,
    manifest: ToolManifest,
    arguments: Mapping[str, JsonValue],
    *,
    now: float,
) -> Mapping[str, Artefact | None]:
    """The session's artefacts that the arguments name, by JSON Pointer; None where there is none.

    Raises:
        StoreUnavailable: nobody knows.
    """
    named = named_by(manifest, arguments)
    if not named:
        return {}
    names = {name for name in named.values() if isinstance(name, str) and is_name(name)}
    found = await store.find_artefacts(session, sorted(names))
    good = {name: one for name, one in found.items() if now < one.expires_at}
    return {at: good.get(name) if isinstance(name, str) else None for at, name in named.items()}


def refusal(found: Mapping[str, Artefact | None]) -> Verdict | None:
    """Why a call that names these files cannot be carried out, if it cannot.

    Another session's file, one that is over and one that never was are refused alike.
    """
    absent = [at for at, artefact in found.items() if artefact is None]
    if absent:
        return _deny("ARTEFACT_UNKNOWN", f"{absent[0]}: this session has no such file.")
    if are_too_many([artefact for artefact in found.values() if artefact is not None]):
        return _deny("ARTEFACTS_TOO_LARGE", "The call names more files than one call is handed.")
    return None


async def load(
    store: Store, invocation: Invocation, manifest: ToolManifest, *, now: float
) -> Handed:
    """Read what a call names, whole and unchanged.

    Raises:
        FileGone: one of them is not there, or is not what was stored.
        StoreUnavailable: the store does not answer.
    """
    session = invocation.session
    found = await find(store, session, manifest, invocation.call.arguments, now=now)
    artefacts = [_there(one) for one in found.values()]
    contents = [await _content(store, session, one) for one in artefacts]
    names = file_names(one.file_name for one in artefacts)
    return Handed(
        files=tuple(
            CarriedFile(name=name, content=content)
            for name, content in zip(names, contents, strict=True)
        ),
        labels=join(*(one.labels for one in artefacts)),
    )


async def keep(
    files: Sequence[CarriedFile],
    withheld: Sequence[CarriedFile],
    *,
    invocation: Invocation,
    caller: Caller,
    labels: Labels,
    now: float,
) -> Left:
    """Make artefacts of what a tool left.

    Args:
        files: checked, and to be released.
        withheld: what is only counted.
        invocation: that left them.
        caller: whose session they will be of.
        labels: of each.
        now: POSIX seconds.
    """
    if not files and not withheld:
        return NOTHING_LEFT
    kept, not_kept = await asyncio.to_thread(lambda: (_digests(files), _digests(withheld)))
    stored = (
        Artefact(
            name=new_name(secrets.token_urlsafe(NAME_BYTES)),
            session=invocation.session,
            made_by=invocation.name,
            file_name=file.name,
            size=len(file.content),
            sha256=digest,
            labels=labels,
            created_at=now,
            expires_at=erased_at(caller.session.expires_at),
        )
        for file, digest in zip(files, kept, strict=True)
    )
    return Left(
        stored=tuple(
            Stored(artefact=artefact, content=file.content)
            for artefact, file in zip(stored, files, strict=True)
        ),
        withheld=tuple(
            (digest, len(file.content)) for file, digest in zip(withheld, not_kept, strict=True)
        ),
    )


def output_labels(output: Output, inputs: Labels, *, reached_outside: bool) -> Labels:
    """Of all that a tool gives back: no better than its manifest says, its inputs or the world."""
    declared = Labels(trust=output.trust, sensitivity=output.sensitivity)
    outside = Labels(trust="untrusted", sensitivity="none") if reached_outside else BEST
    return join(declared, inputs, outside)


def reached_outside(trail: Mapping[str, JsonValue]) -> bool:
    """Whether a run's trail shows, or does not rule out, that something outside answered."""
    if trail.get("requests_cut"):
        return True
    requests = trail.get("requests")
    return isinstance(requests, list) and any(
        not isinstance(request, dict) or request.get("allowed") is not False for request in requests
    )


def _deny(code: str, message: str) -> Verdict:
    return Verdict(effect=Effect.DENY, stage=STAGE_SCREEN, code=code, message=message)


def _there(artefact: Artefact | None) -> Artefact:
    if artefact is None:
        raise FileGone("a file that the call names is gone")
    return artefact


async def _content(store: Store, session: str, artefact: Artefact) -> bytes:
    content = await store.artefact_content(session, artefact.name)
    if content is None:
        raise FileGone(f"{artefact.name} is gone")
    if await asyncio.to_thread(content_digest, content) != artefact.sha256:
        raise FileGone(f"{artefact.name} is damaged: it is not what was stored")
    return content


def _digests(files: Sequence[CarriedFile]) -> list[str]:
    return [content_digest(file.content) for file in files]
