"""Whatever a result looks like, what was found in it is gone, and nothing else is."""

import json

from hypothesis import given
from hypothesis import strategies as st

from broker.core.detection import KINDS, Detector
from broker.core.pointers import Pointer
from broker.core.redaction import REDACTED, Unreachable, redacted, scanned

PLANTED = (
    "AKIA" + "Q" * 16,
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "ann@example.com",
    "https://example.com/x",
)
PLAIN = st.text(alphabet="abc ÄÖ,.;\x1e\n", max_size=12)
TEXT = st.builds(
    lambda before, planted, after: before + planted + after,
    st.text(alphabet="ab (;\n\x1e", max_size=6).map(lambda text: text + " "),
    st.sampled_from(PLANTED),
    st.text(alphabet="ab (;\n\x1e", max_size=6).map(lambda text: " " + text),
)


def values(texts: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    leaves = st.one_of(st.none(), st.booleans(), st.integers(-999, 999), texts)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(PLAIN, inner, max_size=4)
        ),
        max_leaves=12,
    )


@given(values(PLAIN))
def test_what_holds_nothing_stays_as_it_is(value):
    assert scanned(value, KINDS) == value


@given(values(st.one_of(PLAIN, TEXT)))
def test_what_is_planted_is_gone_and_the_shape_stays(value):
    left = scanned(value, KINDS)
    said = json.dumps(left, ensure_ascii=False)
    assert not any(planted in said for planted in PLANTED)
    assert said.count(REDACTED) == sum(
        json.dumps(value, ensure_ascii=False).count(planted) for planted in PLANTED
    )
    assert _shape(left) == _shape(value)


@given(values(st.one_of(PLAIN, TEXT)))
def test_scanning_twice_is_scanning_once(value):
    once = scanned(value, KINDS)
    assert scanned(once, KINDS) == once


@given(st.text(max_size=400), st.sets(st.sampled_from(sorted(KINDS)), min_size=1))
def test_spans_are_in_order_inside_of_the_text_and_apart(text, kinds):
    spans = Detector(kinds=frozenset(kinds)).spans(text)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= first < after <= len(text) for first, after in spans)


@given(values(PLAIN), st.sampled_from(PLANTED))
def test_what_is_in_a_name_cannot_be_taken_out(value, planted):
    try:
        scanned({f"x {planted}": value}, KINDS)
    except Unreachable:
        return
    raise AssertionError(planted)


@given(values(PLAIN))
def test_redacting_everything_leaves_the_mark_alone(value):
    assert redacted(value, [Pointer.parse("")]) == REDACTED


def _shape(value):
    if isinstance(value, dict):
        return {name: _shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return type(value)
