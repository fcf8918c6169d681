"""Observations as control rows: what is read back is what an operator put there, or nothing is."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes, digest
from broker.core.control import ControlRow
from broker.core.errors import Defect
from broker.core.observing import Observation
from broker.core.unit import PutControl

OBSERVATION: Final = "observation"
"""The kind of the rows."""


def observation_row(observation: Observation) -> PutControl:
    """The row that observes."""
    body: dict[str, JsonValue] = {
        "family": observation.family,
        "agent": observation.agent,
        "reason": observation.reason,
        "observed_by": observation.observed_by,
        "created_at": observation.created_at,
        "expires_at": observation.expires_at,
    }
    return PutControl(
        kind=OBSERVATION,
        key=observation.name,
        digest=digest(body),
        body=canonical_bytes(body),
    )


def observations_in(rows: Iterable[ControlRow]) -> tuple[Observation, ...]:
    """Every observation, expired ones too, oldest first.

    Raises:
        Defect: a row cannot be read.
    """
    ours = sorted((row for row in rows if row.kind == OBSERVATION), key=lambda row: row.key)
    return tuple(_observation(row) for row in ours)


def _observation(row: ControlRow) -> Observation:
    try:
        body: Mapping[str, Any] = json.loads(row.body)
        return Observation(
            name=row.key,
            family=str(body["family"]),
            agent=str(body["agent"]),
            reason=str(body["reason"]),
            observed_by=str(body["observed_by"]),
            created_at=float(body["created_at"]),
            expires_at=float(body["expires_at"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Defect(f"The control row {row.kind} {row.key} cannot be read.") from error
