"""Reads an explanation as a broker tells it; what is not as one is made is refused as a whole."""

from collections.abc import Mapping
from typing import Any

from broker.core.decision import STAGE_POLICY, Effect, Verdict
from broker.core.explanation import (
    Alternative,
    Band,
    Change,
    Condition,
    Explanation,
    Place,
    Removal,
    Scale,
    Spoken,
)
from broker.core.passing import Passed


class MalformedExplanation(ValueError):
    """This is no explanation."""


def read_explanation(document: Mapping[str, Any]) -> Explanation:
    """The value of `Explanation.to_json`; messages and codes of verdicts, not their terms.

    Raises:
        MalformedExplanation: it is none.
    """
    try:
        return Explanation(
            policy_revision=document["policy_revision"],
            effect=Effect[document["effect"]],
            spoken=tuple(_spoken(one) for one in document["spoken"]),
            silent=tuple(document["silent"]),
            allowed_if=tuple(_alternative(one) for one in document["allowed_if"]),
            removals=tuple(_removal(one) for one in document["removals"]),
            scales=tuple(_scale(one) for one in document["scales"]),
            problem=document["problem"],
            money={str(at): str(code) for at, code in document["money"].items()},
            passed=tuple(Passed(stage=p["stage"], told=p["told"]) for p in document["passed"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedExplanation("This is no explanation.") from error


def _spoken(told: Mapping[str, Any]) -> Spoken:
    place = told.get("place")
    return Spoken(
        verdict=Verdict(
            effect=Effect[told["effect"]],
            stage=STAGE_POLICY,
            code=told["code"],
            message=told["message"],
            family=told["family"],
        ),
        place=None if place is None else _place(place),
        conditions=tuple(
            Condition(
                place=_place(one), source=one["source"], values=one["values"], held=one["held"]
            )
            for one in told["conditions"]
        ),
    )


def _place(told: Mapping[str, Any]) -> Place:
    return Place(file=told["file"], line=told["line"])


def _alternative(told: Mapping[str, Any]) -> Alternative:
    changes = tuple(
        Change(
            pointer=one["pointer"],
            value=one["value"],
            otherwise=one["otherwise"],
            lowest=one["lowest"],
            highest=one["highest"],
        )
        for one in told["changes"]
    )
    return Alternative(changes=changes, effect=Effect[told["effect"]])


def _removal(told: Mapping[str, Any]) -> Removal:
    found = told["alternative"]
    return Removal(
        family=told["family"],
        code=told["code"],
        alternative=None if found is None else _alternative(found),
    )


def _scale(told: Mapping[str, Any]) -> Scale:
    bands = tuple(
        Band(effect=Effect[one["effect"]], lowest=one["lowest"], highest=one["highest"])
        for one in told["bands"]
    )
    return Scale(pointer=told["pointer"], value=told["value"], bands=bands)
