"""What is read of a hold's body in parts is what reading all of it tells."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.holds import Requirement
from broker.core.lifecycle import InvocationState
from broker.store.hold_bodies import codes_of, is_narrowed
from broker.store.rows import hold_row
from tests.store_values import TERMS, hold, invocation, session

HELD = invocation(session(), InvocationState.HELD)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['],"call_digest":', '"narrows":"x"', '"}],"', "\\", '"', "\ud800"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4), TEXTS, TEXTS)
def test_codes_and_narrowing_are_what_the_hold_says(needs, summary, narrows):
    one = dataclasses.replace(
        hold(HELD),
        requirements=tuple(
            Requirement(code=code, message=message, terms=TERMS) for code, message in needs
        ),
        summary=summary,
        narrows=narrows,
    )
    body = hold_row(one)["body"]
    assert codes_of(body) == tuple(dict.fromkeys(code for code, _ in needs))
    assert is_narrowed(body) is bool(narrows)


def test_a_body_in_another_order_is_read_whole():
    assert codes_of('{"summary":"","requirements":[{"code":"A"},{"code":"A"}]}') == ("A",)
    assert codes_of('{"requirements":[{"code":"B"}],"summary":""}') == ("B",)
