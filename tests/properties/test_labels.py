"""Labels are joined to the worst: a least upper bound, whatever the order and the grouping."""

from hypothesis import given
from hypothesis import strategies as st

from broker.core.labels import BEST, WORST, Labels, join

LABELS = st.builds(
    Labels,
    trust=st.sampled_from(["trusted", "untrusted"]),
    sensitivity=st.sampled_from(["none", "personal", "secret"]),
)


def is_at_least_as_bad(one: Labels, other: Labels) -> bool:
    """Whether joining `other` to `one` changes nothing."""
    return join(one, other) == one


@given(LABELS, LABELS)
def test_order_does_not_matter(one, other):
    assert join(one, other) == join(other, one)


@given(LABELS, LABELS, LABELS)
def test_grouping_does_not_matter(one, other, third):
    assert join(join(one, other), third) == join(one, join(other, third)) == join(one, other, third)


@given(LABELS)
def test_repetition_does_not_matter(one):
    assert join(one, one) == join(one) == one


@given(LABELS, LABELS)
def test_one_more_source_never_improves_a_label(one, other):
    joined = join(one, other)
    assert is_at_least_as_bad(joined, one)
    assert is_at_least_as_bad(joined, other)


@given(LABELS, LABELS, LABELS)
def test_nothing_better_is_as_bad_as_both(one, other, third):
    if is_at_least_as_bad(third, one) and is_at_least_as_bad(third, other):
        assert is_at_least_as_bad(third, join(one, other))


@given(LABELS, LABELS, LABELS)
def test_what_was_worse_stays_worse(one, other, third):
    if is_at_least_as_bad(one, other):
        assert is_at_least_as_bad(join(one, third), join(other, third))


@given(LABELS)
def test_the_best_adds_nothing_and_the_worst_takes_all(one):
    assert join() == BEST
    assert join(one, BEST) == one
    assert join(one, WORST) == WORST
