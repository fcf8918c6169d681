"""What is observed and what a shadow has seen, for the wire."""

from broker.administration.shadow import ShadowReport
from broker.core.observing import Observation
from broker.core.shadowing import TRANSITIONS, Example, Tally
from broker.rpc.convert import timestamp
from broker.rpc.convert_invocation import effect_out
from broker.v1 import observing_pb2


def observation_out(observation: Observation) -> observing_pb2.Observation:
    """A family that is observed."""
    return observing_pb2.Observation(
        name=observation.name,
        family=observation.family,
        agent=observation.agent,
        reason=observation.reason,
        observed_by=observation.observed_by,
        create_time=timestamp(observation.created_at),
        expire_time=timestamp(observation.expires_at),
    )


def shadow_out(report: ShadowReport | None) -> observing_pb2.Shadow | None:
    """A shadow and what differs, what loosens first; None where none is on."""
    if report is None:
        return None
    shadow, tally = report.shadow, report.tally
    return observing_pb2.Shadow(
        name=shadow.name,
        policy_revision=shadow.revision,
        families=shadow.families,
        reason=shadow.reason,
        started_by=shadow.started_by,
        start_time=timestamp(shadow.started_at),
        ready=report.is_ready,
        beside_policy_revision=report.beside,
        decisions=tally.decisions,
        dropped=tally.dropped,
        unanswered=tally.unanswered,
        differences=_differences(tally),
    )


def _differences(tally: Tally) -> list[observing_pb2.ShadowDifference]:
    return [
        observing_pb2.ShadowDifference(
            before=effect_out(transition[0]),
            after=effect_out(transition[1]),
            calls=tally.differences[transition],
            examples=[_example(e) for e in tally.examples.get(transition, ())],
        )
        for transition in TRANSITIONS
        if transition in tally.differences
    ]


def _example(example: Example) -> observing_pb2.ShadowExample:
    return observing_pb2.ShadowExample(
        invocation=example.invocation,
        tool=example.tool,
        codes_before=example.codes_before,
        codes_after=example.codes_after,
        time=timestamp(example.at),
    )
