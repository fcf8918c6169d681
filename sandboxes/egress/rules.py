"""A request passes if one rule, bound to the call's frozen input, allows all of it.

The first rule that allows it is the one whose credential it gets. "*" is one label of a host, or
any rest of a path; a wildcard never reaches over the dots or slashes that the rule spells out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandboxes.egress import targets, templates
from sandboxes.egress.refusals import EgressRefused
from sandboxes.egress.targets import Target
from sandboxes.profile import EgressRule

WILDCARD = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRule:
    """A rule whose templates have been filled in.

    Attributes:
        labels: of the host; "*" for any one.
        segments: of the path, decoded; without the trailing wildcard.
        open_ended: whether the path may go on after `segments`.
        query: value of each parameter that may be asked with; None for any.
    """

    rule: EgressRule
    labels: tuple[str, ...]
    segments: tuple[str, ...]
    open_ended: bool
    query: Mapping[str, str | None]


def bind(rules: Iterable[EgressRule], given: Mapping[str, Any]) -> tuple[BoundRule, ...]:
    """Fill in what the call says. A rule that a value does not fit allows nothing and is left out.

    Args:
        rules: without findings (`lint.findings`).
        given: the frozen input.
    """
    return tuple(bound for rule in rules if (bound := _bound(rule, given)) is not None)


def first_match(rules: Sequence[BoundRule], method: str, target: Target) -> EgressRule:
    """The first rule that allows a request.

    Raises:
        EgressRefused: EGRESS_NOT_LISTED.
    """
    of_host = [bound for bound in rules if _is_host_allowed(bound, target)]
    if not of_host:
        raise _not_listed("no rule allows this host, port and scheme")
    for bound in of_host:
        if _is_request_allowed(bound, method, target):
            return bound.rule
    raise _not_listed("no rule of this host allows this method, path and query")


def is_host_within(pattern: str, host: str) -> bool:
    """Whether a pattern without templates covers a host; "*" is one label."""
    labels, asked = pattern.lower().split("."), host.split(".")
    return len(labels) == len(asked) and all(
        label in {WILDCARD, of_host} for label, of_host in zip(labels, asked, strict=True)
    )


def _bound(rule: EgressRule, given: Mapping[str, Any]) -> BoundRule | None:
    labels = [_bound_label(label, given) for label in templates.split(rule.host, ".")]
    spelled = templates.split(rule.path, "/")[1:]
    open_ended = spelled[-1] == WILDCARD
    segments = [_bound_segment(each, given) for each in (spelled[:-1] if open_ended else spelled)]
    if not all(labels) or any(segment is None for segment in segments):
        return None
    return BoundRule(
        rule=rule,
        labels=tuple(label for label in labels if label is not None),
        segments=tuple(segment for segment in segments if segment is not None),
        open_ended=open_ended,
        query=dict(_bound_query(rule, given)),
    )


def _bound_query(rule: EgressRule, given: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name, value in rule.query:
        if value == WILDCARD:
            yield name, None
        elif (expanded := templates.expand(value, given)) is not None:
            yield name, expanded


def _bound_label(label: str, given: Mapping[str, Any]) -> str | None:
    if not templates.is_template(label):
        return label.lower()
    expanded = templates.expand(label, given)
    return expanded if expanded is not None and targets.is_label(expanded) else None


def _bound_segment(segment: str, given: Mapping[str, Any]) -> str | None:
    if not templates.is_template(segment):
        return targets.decode(segment)
    expanded = templates.expand(segment, given)
    if expanded is None:
        return None
    try:
        targets.check_segments((expanded,))
    except EgressRefused:
        return None
    return expanded


def _is_host_allowed(bound: BoundRule, target: Target) -> bool:
    return (bound.rule.scheme, bound.rule.port) == (target.scheme, target.port) and is_host_within(
        ".".join(bound.labels), target.host
    )


def _is_request_allowed(bound: BoundRule, method: str, target: Target) -> bool:
    segments, spelled = target.segments, bound.segments
    fits = segments[: len(spelled)] == spelled and (
        len(segments) > len(spelled) if bound.open_ended else len(segments) == len(spelled)
    )
    return (
        fits
        and method in bound.rule.methods
        and all(
            name in bound.query and bound.query[name] in {None, value}
            for name, value in target.query
        )
    )


def _not_listed(why: str) -> EgressRefused:
    return EgressRefused("EGRESS_NOT_LISTED", f"Not on the list: {why}.")
