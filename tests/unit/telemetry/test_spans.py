"""A trace has the id of its call, is kept by that id, and gives its spans on once it has ended."""

import asyncio
import random
import uuid
from collections.abc import Sequence

import pytest

from broker.core.errors import MalformedRequest, StoreUnavailable
from broker.core.unit import Conflict, ConflictOn
from broker.ids import UuidFactory
from broker.telemetry.invoking import link_of
from broker.telemetry.spans import (
    SPANS_MAX,
    Kind,
    Span,
    Trace,
    first_span_of,
    is_kept,
    told_of,
    trace_of,
)

NAME = "invocations/019a6b8e-1234-7abc-8def-0123456789ab"
KEEP = 1.0


class Taken(list[Span]):
    def give(self, spans: Sequence[Span]) -> None:
        self.extend(spans)


def trace(taken: Taken, *, ratio: float = KEEP, seed: int = 1) -> Trace:
    draw = random.Random(seed).getrandbits
    return Trace(ratio=ratio, now=1_800_000_000.0, draw=draw, give=taken.give)


def test_the_trace_of_a_call_is_its_own_id():
    assert f"{trace_of(NAME):032x}" == "019a6b8e12347abc8def0123456789ab"
    assert f"{first_span_of(trace_of(NAME)):016x}" == "8def0123456789ab"


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 1.0])
def test_so_many_of_all_calls_are_kept_as_the_ratio_says(ratio: int):
    ids = UuidFactory(lambda: 1_800_000_000.0)
    kept = sum(is_kept(uuid.UUID(ids()).int, ratio) for _ in range(4_000))
    assert abs(kept / 4_000 - ratio) < 0.05
    assert ratio not in {0.0, 1.0} or kept == 4_000 * ratio


def test_spans_wait_for_the_first_one_and_then_are_below_it():
    taken = Taken()
    one = trace(taken)
    with one.first("invoke", Kind.SERVER):
        with one.stage("look_up"):
            pass
        one.is_of(NAME)
        with one.stage("record"):
            pass
        assert taken == []
    assert [span.name for span in taken] == ["look_up", "record", "invoke"]
    assert {span.trace_id for span in taken} == {trace_of(NAME)}
    assert [span.parent_id for span in taken] == [taken[2].span_id, taken[2].span_id, 0]
    assert len({span.span_id for span in taken}) == 3


def test_a_call_that_is_not_kept_tells_nothing_at_all():
    taken = Taken()
    one = trace(taken, ratio=0.0)
    with one.first("invoke", Kind.SERVER):
        with one.stage("look_up"):
            pass
        one.is_of(NAME)
        with one.stage("record"):
            pass
    with one.stage("execute"):
        pass
    assert taken == []


def test_what_ends_after_the_first_span_is_told_by_itself():
    taken = Taken()
    one = trace(taken)
    with one.first("invoke", Kind.SERVER):
        one.is_of(NAME)
    with one.stage("execute"):
        pass
    assert [span.name for span in taken] == ["invoke", "execute"]
    assert taken[1].parent_id == taken[0].span_id != taken[1].span_id


def test_what_goes_on_with_a_call_is_below_its_first_span():
    taken = Taken()
    one = trace(taken)
    with one.first("resume", Kind.INTERNAL, under=NAME), one.stage("execute"):
        pass
    execute, resume = taken
    assert resume.parent_id == first_span_of(trace_of(NAME)) != resume.span_id
    assert execute.parent_id == resume.span_id != execute.span_id


def test_a_part_alone_is_told_at_once():
    taken = Taken()
    one = trace(taken)
    one.goes_on_with(NAME)
    with one.stage("execute"):
        pass
    assert (taken[0].trace_id, taken[0].parent_id) == (
        trace_of(NAME),
        first_span_of(trace_of(NAME)),
    )


def test_a_trace_has_so_many_spans_and_says_how_many_more_there_were():
    taken = Taken()
    one = trace(taken)
    with one.first("invoke", Kind.SERVER):
        for _ in range(SPANS_MAX + 5):
            with one.stage("look_up"):
                pass
    with one.stage("late"):
        pass
    assert len(taken) == SPANS_MAX + 1
    assert taken[-1].attributes["callbroker.spans.left_out"] == 5


def test_a_part_under_way_can_be_a_parent_elsewhere():
    taken = Taken()
    one = trace(taken)
    with one.first("invoke", Kind.SERVER):
        one.is_of(NAME)
        with one.stage("record"):
            pass
        with one.stage("execute") as execute:
            said = one.parent_of(execute)
    [told] = [span for span in taken if span.name == "execute"]
    assert said == f"00-019a6b8e12347abc8def0123456789ab-{told.span_id:016x}-03"
    assert told.parent_id == first_span_of(trace_of(NAME))
    assert len({span.span_id for span in taken}) == len(taken) == 3


@pytest.mark.parametrize("ratio", [0.0, KEEP])
def test_what_is_not_told_or_has_no_name_yet_is_nobodys_parent(ratio: float):
    one = trace(Taken(), ratio=ratio)
    with one.first("invoke", Kind.SERVER), one.stage("execute") as execute:
        if ratio == 0.0:
            one.is_of(NAME)
        assert one.parent_of(execute) == ""


def test_a_part_that_was_named_is_told_and_one_beyond_the_bound_is_not_named():
    taken = Taken()
    one = trace(taken)
    with one.first("invoke", Kind.SERVER):
        one.is_of(NAME)
        with one.stage("execute") as named:
            assert one.parent_of(named)
            for _ in range(SPANS_MAX):
                with one.stage("look_up"):
                    pass
        with one.stage("execute") as beyond:
            assert one.parent_of(beyond) == ""
    assert named in taken
    assert len(taken) == SPANS_MAX + 1
    assert taken[-1].attributes["callbroker.spans.left_out"] == 2


def test_what_was_never_recorded_has_an_id_that_was_drawn():
    first, second = Taken(), Taken()
    for taken, seed in ((first, 1), (second, 2)):
        with trace(taken, seed=seed).first("invoke", Kind.SERVER):
            pass
    assert first[0].trace_id != second[0].trace_id
    assert first[0].span_id


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MalformedRequest("words"), ("MALFORMED_REQUEST", False)),
        (StoreUnavailable("words"), ("STORE_UNAVAILABLE", True)),
        (Conflict(ConflictOn.KEY), ("conflict.key", False)),
        (ValueError("words"), ("DEFECT", True)),
        (asyncio.CancelledError("words"), ("cancelled", False)),
    ],
)
def test_of_an_error_its_class_is_told_and_none_of_its_words(
    error: BaseException, said: tuple[str, bool]
):
    taken = Taken()
    with pytest.raises(type(error)), trace(taken).first("invoke", Kind.SERVER):
        raise error
    assert told_of(error) == said == (taken[0].error, taken[0].is_failure)


def test_one_well_formed_traceparent_is_a_link():
    said = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert link_of([("x", "y"), ("traceparent", said)]) == (
        0x0AF7651916CD43DD8448EB211C80319C,
        0xB7AD6B7169203331,
    )
    assert link_of([("traceparent", said), ("traceparent", said)]) is None
    assert link_of([]) is None
