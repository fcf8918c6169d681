"""What policy is asked: one closed, versioned JSON document, and everything that a rule may see.

Rules are pure, so whatever they weigh is in here: time, counters and facts too. The document is
built from values alone and holds nothing of an approval: lifting a hold is the broker's part. A
fact that failed or is absent has no `value`, so that a rule which needs it is undefined.
"""

import datetime as dt
from collections.abc import Iterable, Mapping

from broker.core.arguments import JsonValue
from broker.core.artefacts import Artefact
from broker.core.calls import Caller, Fact, History, Reached, ToolCall, Usage
from broker.core.labels import BEST, Labels
from broker.core.manifest import Output, ToolManifest, bound, carried, reached
from broker.core.provenance.origins import Origin
from broker.core.question_schema import QUESTION_VERSION, WEEKDAYS
from broker.core.summary import leaves


def question(
    *,
    call: ToolCall,
    manifest: ToolManifest,
    caller: Caller,
    scopes_required: Iterable[str],
    scopes_effective: Iterable[str],
    facts: Mapping[str, Fact],
    usage: Mapping[str, Usage],
    history: Iterable[History] = (),
    reach: Mapping[str, Iterable[Reached]] | None = None,
    artefacts: Mapping[str, Artefact] | None = None,
    output: Output | None = None,
    provenance: Mapping[str, Origin] | None = None,
    labels: Labels = BEST,
    now: float,
) -> dict[str, JsonValue]:
    """Build the policy input for one call.

    Args:
        call: the frozen call.
        manifest: the revision of the tool that the call was resolved to.
        caller: principal, agent and session.
        scopes_required: names of the scopes that the tool needs.
        scopes_effective: names of the scopes that principal, agent and session all hold.
        facts: by the manifest's name of each.
        usage: by counter; `used` counts what came before this call.
        history: of this session, per tool and effect.
        reach: how often the principal has reached each target, by JSON Pointer.
        artefacts: files of this session that the arguments name, by JSON Pointer.
        output: what a result may carry beside the other tools; as the manifest says, if None.
        provenance: where each leaf of the arguments comes from, by JSON Pointer.
        labels: of what the session has seen.
        now: POSIX seconds, UTC.

    Returns:
        A JSON value that `question_schema()` accepts. It shares arguments, facts and attributes
        with what was passed in; neither side changes them.
    """
    return {
        "version": QUESTION_VERSION,
        "call": {
            "tool": call.tool,
            "tool_revision": manifest.revision,
            "digest": call.digest,
            "arguments": dict(call.arguments),
        },
        "tool": described(manifest, call.arguments, output or manifest.output),
        **_caller(caller, labels),
        "scopes": {
            "required": [*sorted(set(scopes_required))],
            "effective": [*sorted(set(scopes_effective))],
        },
        "facts": {name: _fact(fact) for name, fact in facts.items()},
        "usage": {
            name: {"used": u.used, "limit": u.limit, "window_s": u.window_s}
            for name, u in usage.items()
        },
        "artefacts": {at: _artefact(one) for at, one in (artefacts or {}).items()},
        "provenance": _provenance(call.arguments, provenance or {}),
        "history": _history(history),
        "reached": {at: _reached(tools) for at, tools in (reach or {}).items()},
        "time": {"now": _instant(now), "weekday": _weekday(now), "zone": "UTC"},
    }


def described(
    manifest: ToolManifest, arguments: Mapping[str, JsonValue], output: Output
) -> JsonValue:
    """What policy is told of a tool, for these arguments of a call."""
    behaviour = manifest.behaviour
    sandbox = manifest.sandbox
    return {
        "runner": manifest.runner,
        **({"sandbox": {"profile": sandbox.profile}} if sandbox is not None else {}),
        "scopes": [*sorted(scope.name for scope in manifest.scopes)],
        "behaviour": {
            "read_only": behaviour.read_only,
            "destructive": behaviour.destructive,
            "idempotent": behaviour.idempotent,
            "open_world": behaviour.open_world,
        },
        "targets": [*reached(manifest, arguments)],
        "payload": [*carried(manifest, arguments)],
        "bound": [*bound(manifest)],
        "output": {
            "trust": output.trust,
            "sensitivity": output.sensitivity,
        },
    }


def _caller(caller: Caller, labels: Labels) -> dict[str, JsonValue]:
    principal, agent, session = caller.principal, caller.agent, caller.session
    return {
        "principal": {
            "id": principal.id,
            "groups": list(principal.groups),
            "attributes": dict(principal.attributes),
            "assurance": principal.assurance,
        },
        "agent": {
            "id": agent.id,
            "owner": str(agent.owner),
            "attributes": dict(agent.attributes),
        },
        "session": {
            "id": session.name,
            "words": list(session.words),
            "context": str(session.context),
            "labels": _labels(labels),
            "opened_at": _instant(session.opened_at),
        },
    }


def _fact(fact: Fact) -> JsonValue:
    if fact.error:
        return {"source": fact.source, "error": fact.error}
    if fact.absent:
        return {"source": fact.source, "absent": True}
    return {"source": fact.source, "value": fact.value}


def _artefact(artefact: Artefact) -> JsonValue:
    # What it is called is left out: strangers wrote that, and it says nothing of what is in it.
    return {
        "size": artefact.size,
        "sha256": artefact.sha256,
        "trust": artefact.labels.trust,
        "sensitivity": artefact.labels.sensitivity,
        "made_by": artefact.made_by,
    }


def _provenance(
    arguments: Mapping[str, JsonValue], provenance: Mapping[str, Origin]
) -> dict[str, JsonValue]:
    """Each origin that there is: a value that went missing here would reach nobody."""
    values = dict(leaves(arguments)) if provenance else {}
    return {
        at: {
            "source": origin.source,
            "from": [*origin.origins],
            "carries": origin.carries,
            "approved": origin.approved,
            "characters": len(str(values[at])),
            "asked": origin.asked,
        }
        for at, origin in provenance.items()
    }


def _labels(labels: Labels) -> list[JsonValue]:
    """Each that is not the best of its kind."""
    told: list[JsonValue] = []
    if labels.trust != BEST.trust:
        told.append(labels.trust)
    if labels.sensitivity != BEST.sensitivity:
        told.append(labels.sensitivity)
    return told


def _history(history: Iterable[History]) -> JsonValue:
    by_tool: dict[str, JsonValue] = {}
    for entry in history:
        effects = by_tool.setdefault(entry.tool, {})
        if isinstance(effects, dict):
            effects[entry.effect] = _past(entry)
    return by_tool


def _reached(tools: Iterable[Reached]) -> JsonValue:
    """By tool; nothing for a target that was never reached."""
    return {one.tool: _past(one) for one in tools}


def _past(entry: History | Reached) -> JsonValue:
    return {
        "count": entry.count,
        "first": _instant(entry.first_at),
        "last": _instant(entry.last_at),
    }


def _instant(epoch_s: float) -> str:
    """RFC 3339, UTC, milliseconds always: instants compare as text just as they do in time."""
    moment = dt.datetime.fromtimestamp(epoch_s, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _weekday(epoch_s: float) -> str:
    return WEEKDAYS[dt.datetime.fromtimestamp(epoch_s, tz=dt.UTC).weekday()]
