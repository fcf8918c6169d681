"""What is kept of a shadow: one control row while it is on, and what each broker has seen of it.

A broker writes its own tally whole, again and again, and nobody else's; so brokers that count at
once, and one that was started anew, lose none of what the others or it had written.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes, digest
from broker.core.control import ControlRow
from broker.core.decision import Effect
from broker.core.errors import Defect
from broker.core.shadowing import Example, Shadow, Tally
from broker.core.unit import PutControl

SHADOW: Final = "shadow"
"""The kind of the row, and of the documents that are bundles of shadows."""
ON: Final = "on"
"""The key of the one row."""


def bundle_key(revision: str) -> str:
    """Under which its bundle is kept: never to be taken for one that was in force."""
    return f"{SHADOW}:{revision}"


def tally_key(shadow: str, beside: str) -> str:
    """Under which a tally is kept: differences are between this shadow and one policy in force."""
    return f"{shadow} beside {beside}"


def shadow_row(shadow: Shadow) -> PutControl:
    """The row while it is on."""
    body: dict[str, JsonValue] = {
        "name": shadow.name,
        "revision": shadow.revision,
        "families": [*shadow.families],
        "reason": shadow.reason,
        "started_by": shadow.started_by,
        "started_at": shadow.started_at,
    }
    return PutControl(kind=SHADOW, key=ON, digest=digest(body), body=canonical_bytes(body))


def shadow_in(rows: Iterable[ControlRow]) -> Shadow | None:
    """The shadow that is on, if one is.

    Raises:
        Defect: the row cannot be read.
    """
    row = next((row for row in rows if (row.kind, row.key) == (SHADOW, ON)), None)
    if row is None:
        return None
    try:
        body: Mapping[str, Any] = json.loads(row.body)
        return Shadow(
            name=str(body["name"]),
            revision=str(body["revision"]),
            families=tuple(str(family) for family in body["families"]),
            reason=str(body["reason"]),
            started_by=str(body["started_by"]),
            started_at=float(body["started_at"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Defect("The control row of the shadow cannot be read.") from error


def tally_bytes(tally: Tally) -> bytes:
    """A tally as it is kept."""
    return canonical_bytes(
        {
            "decisions": tally.decisions,
            "dropped": tally.dropped,
            "unanswered": tally.unanswered,
            "differences": [
                {
                    "before": before.name,
                    "after": after.name,
                    "calls": count,
                    "examples": [_example(e) for e in tally.examples.get((before, after), ())],
                }
                for (before, after), count in tally.differences.items()
            ],
        }
    )


def tally_of(kept: bytes) -> Tally:
    """The tally that was kept.

    Raises:
        Defect: it cannot be read.
    """
    try:
        body: Mapping[str, Any] = json.loads(kept)
        found = {(Effect[d["before"]], Effect[d["after"]]): d for d in body["differences"]}
        return Tally(
            decisions=int(body["decisions"]),
            dropped=int(body["dropped"]),
            unanswered=int(body["unanswered"]),
            differences={t: int(d["calls"]) for t, d in found.items()},
            examples={t: tuple(_example_of(e) for e in d["examples"]) for t, d in found.items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Defect("What a shadow has seen cannot be read.") from error


def _example(example: Example) -> JsonValue:
    return {
        "invocation": example.invocation,
        "tool": example.tool,
        "codes_before": [*example.codes_before],
        "codes_after": [*example.codes_after],
        "at": example.at,
    }


def _example_of(value: Mapping[str, Any]) -> Example:
    return Example(
        invocation=str(value["invocation"]),
        tool=str(value["tool"]),
        codes_before=tuple(str(code) for code in value["codes_before"]),
        codes_after=tuple(str(code) for code in value["codes_after"]),
        at=float(value["at"]),
    )
