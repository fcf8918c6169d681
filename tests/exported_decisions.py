"""An export of a log with decisions that never were: whatever a test, or a measurement, needs."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from broker.core.audit import Contents, EntryKind
from broker.core.audit_lines import HeaderLine, entry_line, header_line
from broker.core.canonical import canonical_bytes
from broker.core.decision import Effect, Obligation, Verdict
from broker.core.merkle import Frontier
from broker.core.question_schema import EXAMPLE
from broker.core.recorded import verdict_record

NOW = 1_800_000_000.0


def name_of(number: int) -> str:
    """The name of the call of this number."""
    return f"invocations/01890000-0000-7000-8000-{number:012x}"


def refund(amount_minor: int, *, currency: str = "EUR", used: int = 0) -> dict[str, Any]:
    """What the support desk's rules are asked about a refund."""
    question = copy.deepcopy(EXAMPLE)
    question["call"] |= {
        "tool": "refund",
        "arguments": {"order_id": "O-1001", "amount_minor": amount_minor, "currency": currency},
    }
    question["facts"] = {
        "order": {
            "source": "shop",
            "value": {
                "customer_id": "customers/c-204",
                "method": "card ending 0017",
                "currency": "EUR",
                "captured_minor": 12_000,
                "refunded_minor": 6_000,
            },
        }
    }
    question["usage"] = {"refunds": {"used": used, "limit": 5, "window_s": 86_400}}
    question["principal"] |= {"id": "customers/c-204", "groups": ["customers"]}
    question["session"] |= {"words": ["My lamp arrived broken. Please refund order O-1001."]}
    return question


def decided(
    number: int,
    verdicts: Iterable[Verdict],
    *,
    question: Mapping[str, Any] | None,
    obligations: Iterable[Obligation] = (),
    **body: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The audit entry of one decision, and its contents."""
    told = list(verdicts)
    tool = "refund" if question is None else question["call"]["tool"]
    entry = {
        "id": f"01890000-0000-7000-9000-{number:012x}",
        "instance": "brokers/1",
        "sequence": number + 1,
        "at_us": round((NOW + number) * 1_000_000),
        "kind": EntryKind.CALL_DECIDED.value,
        "actor": "agents/a",
        "invocation": name_of(number),
        "session": "sessions/1",
        "body": {
            "tool": tool,
            "digest": "" if question is None else question["call"]["digest"],
            "tool_revision": "sha256:t",
            "policy_revision": "" if question is None else "sha256:p",
            "effect": min((v.effect for v in told if v.enforced), default=Effect.DENY).name,
            "verdicts": [verdict_record(verdict) for verdict in told],
            "obligations": [{"kind": o.kind, "family": o.family} for o in obligations],
            **body,
        },
        "contents": "",
        "previous": "",
    }
    contents = {"summary": f"Call {number} of {tool}"}
    return entry, contents if question is None else {**contents, "question": dict(question)}


def write_export(
    path: Path,
    decisions: Iterable[tuple[Mapping[str, Any], Mapping[str, Any] | None]],
    *,
    contents: bool = True,
) -> Path:
    """Write an export's lines; nothing in it is signed."""
    with path.open("wb") as file:
        file.writelines(_lines(decisions, contents=contents))
    return path


def _lines(
    decisions: Iterable[tuple[Mapping[str, Any], Mapping[str, Any] | None]], *, contents: bool
) -> Iterator[bytes]:
    yield header_line(HeaderLine(key="k", before=Frontier(), contents=contents)) + b"\n"
    for leaf, (entry, kept) in enumerate(decisions):
        body = None
        if kept is not None and contents:
            body = Contents(salt=bytes(32), body=canonical_bytes(dict(kept)))
        yield entry_line(leaf, canonical_bytes(dict(entry)), body) + b"\n"
