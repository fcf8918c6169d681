"""The story of one call, as its audit entries tell it: what happened, in order, in plain words.

Pure: entries in, moments out. The words of a moment are ours; whatever somebody else wrote (an
agent, a tool, a reviewer) is in `said`, apart, and has yet to be escaped. What an entry says and no
moment has words for is not left out: it is in `details`, as JSON.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.caller_word import BY_AGENT, CALLER

K = EntryKind
_HIDDEN: Final = frozenset({"verdicts", "effect", "state", "counted"})
_TEXTS: Final = ("message", "reason", "evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictTold:
    """One stage's answer; `is_lifted`: it was a hold that an approval lifted."""

    effect: str
    stage: str
    family: str
    code: str
    message: str
    is_enforced: bool
    is_lifted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened.

    Attributes:
        at: POSIX seconds.
        kind: of the entry, such as `call.decided`.
        title: what happened, in our words.
        tone: `good`, `bad`, `wait` or empty.
        actor: who did it: an agent, a reviewer, an operator, or the broker.
        said: label and text of what somebody wrote.
        details: label and value of all else that the entry says.
        hold: that it is about; or empty.
        entry, instance, sequence: which entry of the log says so.
        contents_digest: what the entry commits to its contents with; empty where it has none.
        is_erased: whether it had contents that are erased.
    """

    at: float
    kind: str
    title: str
    tone: str
    actor: str
    verdicts: tuple[VerdictTold, ...]
    said: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, JsonValue], ...]
    hold: str
    entry: str
    instance: str
    sequence: int
    contents_digest: str
    is_erased: bool


ASKED: Final = "call.asked"
PREVIEWED: Final = "call.previewed"
"""Moments that no entry of this call tells of: its record does, and its hold's."""


def asked(at: float, agent: str) -> Moment:
    """That an agent asked for it."""
    return _plain(at, ASKED, "Asked for", agent)


def previewed(at: float, preview: str, error: str) -> Moment:
    """That the tool was asked what would change; `preview` is the invocation that asked."""
    title = f"The tool {'could not say' if error else 'said'} what would change"
    details: list[tuple[str, JsonValue]] = [("preview", preview)] if preview else []
    if error:
        details.append(("code", error))
    return replace(_plain(at, PREVIEWED, title, "broker"), details=tuple(details))


def placed(told: Iterable[Moment], others: Iterable[Moment]) -> tuple[Moment, ...]:
    """The others each before the first of the told that is no earlier; the told stay in order."""
    story = list(told)
    for other in others:
        at = next((n for n, one in enumerate(story) if one.at >= other.at), len(story))
        story.insert(at, other)
    return tuple(story)


def _plain(at: float, kind: str, title: str, actor: str) -> Moment:
    return Moment(
        at=at,
        kind=kind,
        title=title,
        tone="",
        actor=actor,
        verdicts=(),
        said=(),
        details=(),
        hold="",
        entry="",
        instance="",
        sequence=0,
        contents_digest="",
        is_erased=False,
    )


Body = Mapping[str, Any]
Worded = tuple[str, str]
"""Title and tone."""


def moments(entries: Iterable[Mapping[str, JsonValue]]) -> tuple[Moment, ...]:
    """Each entry as a moment, in the order of the log.

    Args:
        entries: as `ports.Store.entries` gives them.
    """
    told: list[Moment] = []
    decided = 0
    for entry in entries:
        is_decision = entry.get("kind") == K.CALL_DECIDED
        told.append(_moment(entry, is_again=is_decision and decided > 0))
        decided += is_decision
    return tuple(told)


def _moment(entry: Mapping[str, Any], *, is_again: bool) -> Moment:
    kind, body = str(entry.get("kind", "")), _mapping(entry.get("body"))
    contents = entry.get("contents")
    kept = _mapping(contents)
    title, tone = _worded(kind, body)
    digest = str(entry.get("contents_digest") or "")
    return Moment(
        at=_number(entry.get("at_us")) / 1_000_000,
        kind=kind,
        title=f"{title} again" if is_again else title,
        tone=tone,
        actor=str(entry.get("actor", "")),
        verdicts=tuple(_verdict(one) for one in _items(body.get("verdicts"))),
        said=tuple((name, kept[name]) for name in _TEXTS if _is_text(kept.get(name))),
        details=tuple(_details(kind, body)),
        hold=str(body.get("hold") or ""),
        entry=str(entry.get("id", "")),
        instance=str(entry.get("instance", "")),
        sequence=int(_number(entry.get("sequence"))),
        contents_digest=digest,
        is_erased=bool(digest) and contents is None,
    )


def _worded(kind: str, body: Body) -> Worded:
    words = _WORDS.get(kind)
    return words(body) if words else (kind.replace(".", " ").replace("_", " "), "")


def _decided(body: Body) -> Worded:
    told: dict[object, Worded] = {
        "ALLOW": ("Allowed", "good"),
        "HOLD": ("Stopped for a person", "wait"),
        "DENY": ("Denied", "bad"),
    }
    return told.get(body.get("effect"), ("Decided", ""))


def _reviewed(body: Body) -> Worded:
    told: dict[object, Worded] = {
        "APPROVE": ("Approved", "good"),
        "REJECT": ("Rejected", "bad"),
        "NARROW": ("Made less by a reviewer", "wait"),
        "SECOND": ("A second reviewer asked for", "wait"),
        "UNDO": ("Approval taken back", "wait"),
    }
    title, tone = told.get(body.get("effect"), ("Reviewed", ""))
    if body.get("counted") is False:
        return f"{title}, too late: it changed nothing", ""
    return title, tone


def _taken(body: Body) -> Worded:
    is_return = body.get("effect") == "RETURN"
    return ("Given back by the reviewer" if is_return else "Taken by a reviewer"), ""


def _hold_changed(body: Body) -> Worded:
    told: dict[object, Worded] = {
        "CLAIMED": ("The approval was used", "good"),
        "EXPIRED": ("Nobody decided, or used the approval, in time", "bad"),
        "WITHDRAWN": ("Taken back by the agent's side", ""),
        "VOID": ("The hold is void: what was shown had changed", "wait"),
        "REJECTED": ("The hold is rejected", "bad"),
    }
    return told.get(body.get("state"), (f"The hold is {body.get('state')}", ""))


def _ended(body: Body) -> Worded:
    if _mapping(body.get("run")).get("reported_by") == BY_AGENT:
        return _said(body)
    told: dict[object, Worded] = {
        "SUCCEEDED": ("The tool ran and answered", "good"),
        "FAILED": ("Failed: nothing took effect", "bad"),
        "UNKNOWN": ("It may have run; nobody knows", "bad"),
        "CANCELLED": ("Cancelled before it began", ""),
    }
    return told.get(body.get("state"), (f"Ended {body.get('state')}", ""))


def _reconciled(body: Body) -> Worded:
    who = f"the answer of {body['tool']}" if "tool" in body else "a person"
    return f"Settled by {who} as {body.get('state')}", ""


def _said(body: Body) -> Worded:
    """What the agent's own process says of what it executed; nothing else shows it."""
    told: dict[object, Worded] = {
        "SUCCEEDED": ("Reported by the agent: it ran", "wait"),
        "FAILED": ("Reported by the agent: nothing took effect", "bad"),
        "UNKNOWN": ("Reported by the agent: it may have run", "bad"),
    }
    return told.get(body.get("state"), (f"Reported by the agent: {body.get('state')}", ""))


def _attempt(body: Body) -> Worded:
    if body.get("runner") == CALLER:
        return f"Permitted to the agent's own process, attempt {body.get('attempt', '?')}", ""
    return f"Handed to the tool, attempt {body.get('attempt', '?')}", ""


def _answered_late(body: Body) -> Worded:
    is_its_word = body.get("reported_by") == BY_AGENT
    told = "Reported by the agent too late" if is_its_word else "The tool answered too late"
    return f"{told}; kept as evidence", ""


_WORDS: Final[Mapping[str, Callable[[Body], Worded]]] = {
    K.CALL_DECIDED: _decided,
    K.REVIEW_GIVEN: _reviewed,
    K.HOLD_TAKEN: _taken,
    K.HOLD_CHANGED: _hold_changed,
    K.CALL_ENDED: _ended,
    K.ATTEMPT_STARTED: _attempt,
    K.HOLD_OPENED: lambda _: ("Held: it waits for a person", "wait"),
    K.ATTEMPT_ANSWERED_LATE: _answered_late,
    K.CALL_RECONCILED: _reconciled,
    K.ARTEFACT_CREATED: lambda _: ("A file was kept", ""),
    K.REQUEST_MALFORMED: lambda _: ("Refused: it was no call", "bad"),
    K.REQUEST_REFUSED: lambda _: ("Refused", "bad"),
}


def _details(kind: str, body: Body) -> Iterable[tuple[str, JsonValue]]:
    for name, value in body.items():
        is_told = name in _HIDDEN and (kind in _WORDS)
        if not is_told and value not in ("", None, [], {}):
            yield name.replace("_", " "), value


def _verdict(item: Mapping[str, Any]) -> VerdictTold:
    return VerdictTold(
        effect=str(item.get("effect", "")),
        stage=str(item.get("stage", "")),
        family=str(item.get("family", "")),
        code=str(item.get("code", "")),
        message=str(item.get("message", "")),
        is_enforced=item.get("enforced") is not False,
        is_lifted=item.get("effect") == "ALLOW" and "hold" in item,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0
