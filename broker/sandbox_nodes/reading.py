"""What a node's answer means: an end that it did not see is UNKNOWN, whatever else it says.

FAILED needs a proof that nothing took effect. A profile without a way out is one, however the run
ended; with a way out it is the tool's own word, and only where no request was let through. A node
that contradicts itself proves nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.limits import INTEGER_MAX
from broker.core.profiles import OfferedProfile
from broker.ports import CarriedFile, Failed, Lost, Outcome, Succeeded
from sandboxes.v1 import sandboxes_pb2 as pb

REQUESTS_MAX: Final = 256
_TEXT_CHARACTERS_MAX: Final = 512
_SEEN_BAD_ENDS: Final = frozenset({pb.ENDING_BROKEN, pb.ENDING_KILLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that a node has a container ready for.

    Attributes:
        node: its address.
        name: the node's own name of the run.
        image: digest of what runs.
        profile: what was decided on, as the node told it.
        warm: whether the container had been started before it was asked for.
    """

    node: str
    name: str
    image: str
    profile: OfferedProfile
    warm: bool


def profiles_in(message: pb.ListProfilesResponse) -> tuple[OfferedProfile, ...]:
    """A node's profiles. One without a name or digest is none; each is as tight as itself."""
    return tuple(
        OfferedProfile(
            name=profile.name,
            digest=profile.digest,
            available=profile.available,
            unavailable_because=profile.unavailable_because,
            tightens=frozenset({profile.name, *profile.tightens}),
            isolated=profile.isolated,
        )
        for profile in message.profiles
        if profile.name and profile.digest
    )


def outcome_in(message: pb.Result, run: Run) -> Outcome:
    """How a run ended, as far as the node shows it."""
    trail = trail_in(message, run)
    is_untouched = run.profile.isolated and not message.requests and not message.requests_cut
    is_unreached = not message.requests_cut and not any(r.allowed for r in message.requests)
    if message.ending == pb.ENDING_ANSWERED:
        return Succeeded(
            result_json=message.result_json,
            files=_files(message.files),
            trail=trail,
        )
    is_proved = (message.ending == pb.ENDING_TOOL_FAILED and is_unreached) or (
        message.ending in _SEEN_BAD_ENDS and is_untouched
    )
    if is_proved:
        return Failed(code=message.code, message=message.message, trail=trail)
    said = f"{_ending(message.ending)} {message.code}"[:_TEXT_CHARACTERS_MAX].strip()
    return Lost(why=f"the sandbox node said {said}", trail=trail)


def trail_in(message: pb.Result, run: Run) -> dict[str, JsonValue]:
    """What the node saw of a run, for the log; bounded, whatever the node sends."""
    requests: list[JsonValue] = [_request(one) for one in message.requests[:REQUESTS_MAX]]
    trail: dict[str, JsonValue] = {
        "node": run.node,
        "run": _text(run.name),
        "image": run.image,
        "profile": run.profile.name,
        "profile_digest": run.profile.digest,
        "warm": run.warm,
        "ending": _ending(message.ending),
        "ended_with": _text(message.code),
        "took_ms": _count(message.took.seconds * 1_000 + message.took.nanos // 1_000_000),
        "out_of_memory": message.out_of_memory,
        "requests": requests,
        "requests_cut": message.requests_cut or len(message.requests) > REQUESTS_MAX,
    }
    if message.HasField("exit_code"):
        trail["exit_code"] = message.exit_code
    return trail


def _files(files: Iterable[pb.File]) -> tuple[CarriedFile, ...]:
    return tuple(CarriedFile(name=file.name, content=file.content) for file in files)


def _request(message: pb.EgressRequest) -> JsonValue:
    return {
        "at_ms": _count(message.at.seconds * 1_000 + message.at.nanos // 1_000_000),
        "method": _text(message.method),
        "host": _text(message.host),
        "port": message.port,
        "path": _text(message.path),
        "address": _text(message.address),
        "allowed": message.allowed,
        "code": _text(message.code),
        "response_code": message.response_code,
        "sent_bytes": _count(message.sent_bytes),
        "received_bytes": _count(message.received_bytes),
        "credential": _text(message.credential),
    }


def _ending(number: int) -> str:
    """The name of an ending; `ENDING_7` of one that this release does not know."""
    known: Sequence[int] = pb.Ending.values()
    return pb.Ending.Name(pb.Ending.ValueType(number)) if number in known else f"ENDING_{number}"


def _text(text: str) -> str:
    return text[:_TEXT_CHARACTERS_MAX]


def _count(number: int) -> int:
    """Canonical JSON has no integers beyond this (RFC 7493)."""
    return min(max(number, 0), INTEGER_MAX)
