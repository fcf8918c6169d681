"""A case holds where its family says exactly what was expected, no code less and none more."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from broker.core.arguments import JsonValue
from broker.policy.cases.running import Outcome
from broker.policy.cases.tables import Expected


def differences(expected: Expected, found: Outcome) -> list[str]:
    """How what was said differs, one line each; none where the case holds."""
    told: list[str] = []
    if (expected.effect, expected.codes) != (found.effect, found.codes):
        told.append(
            f"expected {said(expected.effect, expected.codes)}, "
            f"got {said(found.effect, found.codes)}"
        )
    if found.error:
        told.append(found.error)
    if expected.effect == "HOLD":
        told += _terms(expected.hold, found.terms)
    if expected.obligations is not None and _sorted(expected.obligations) != _sorted(
        found.obligations
    ):
        told.append(
            f"expected obligations {_listed(expected.obligations)}, "
            f"got {_listed(found.obligations)}"
        )
    # An error that was expected is no difference.
    return told if told != [found.error] or not found.error else []


def said(effect: str | None, codes: Iterable[str]) -> str:
    """`HOLD CODE, CODE`, or `silence`."""
    return f"{effect} {', '.join(codes)}" if effect else "silence"


def _terms(
    expected: Mapping[str, JsonValue], found: Iterable[Mapping[str, JsonValue]]
) -> Iterable[str]:
    for terms in found:
        for name, value in expected.items():
            if terms.get(name) != value:
                yield f"expected hold {name} {_one(value)}, got {_one(terms.get(name))}"


def _sorted(values: Iterable[JsonValue]) -> list[str]:
    return sorted(_one(value) for value in values)


def _listed(values: Iterable[JsonValue]) -> str:
    return ", ".join(_sorted(values)) or "none"


def _one(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
