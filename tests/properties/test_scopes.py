"""Laws of scopes: the intersection only ever narrows."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.scopes import Scope, covers, effective

NAMES = st.sampled_from(["a", "b", "c"])
REFERENCES = st.sampled_from(["/x", "/y", "order#/z"])
VALUES = st.sampled_from(["u", "v", 1, True, None])
WHERE = st.dictionaries(REFERENCES, st.lists(VALUES, max_size=3).map(tuple), max_size=2)
SCOPES = st.lists(st.builds(Scope, name=NAMES, where=WHERE), max_size=4)
CALLS = st.dictionaries(REFERENCES, st.lists(VALUES, max_size=2), max_size=3)


def allowed(principal, agent, session, call: Mapping[str, list]) -> set[str]:
    held = effective(principal=principal, agent=agent, session=session)
    return {n for n, scope in held.items() if covers(scope, lambda r: tuple(call.get(r, ())))}


@settings(deadline=None, max_examples=200)
@given(SCOPES, SCOPES, SCOPES, CALLS)
def test_nothing_is_effective_that_one_of_the_three_lacks(principal, agent, session, call):
    names = allowed(principal, agent, session, call)
    for scopes in (principal, agent, session):
        assert names <= {scope.name for scope in scopes}


@settings(deadline=None, max_examples=200)
@given(SCOPES, SCOPES, SCOPES, CALLS)
def test_a_session_never_widens_what_principal_and_agent_have(principal, agent, session, call):
    wide = [Scope(name=n) for n in "abc"]
    assert allowed(principal, agent, session, call) <= allowed(principal, agent, wide, call)


@settings(deadline=None, max_examples=200)
@given(SCOPES, SCOPES, SCOPES, CALLS, REFERENCES, st.lists(VALUES, max_size=3).map(tuple))
def test_one_more_bound_never_covers_more(principal, agent, session, call, reference, values):
    narrower = [
        Scope(name=s.name, where={**s.where, reference: values})
        for s in session
        if reference not in s.where
    ]
    kept = [s for s in session if reference not in s.where]
    assert allowed(principal, agent, narrower, call) <= allowed(principal, agent, kept, call)


@settings(deadline=None, max_examples=200)
@given(SCOPES, SCOPES, SCOPES, CALLS)
def test_the_three_are_equals(principal, agent, session, call):
    assert allowed(principal, agent, session, call) == allowed(session, principal, agent, call)


@settings(deadline=None, max_examples=100)
@given(SCOPES, SCOPES, SCOPES, CALLS, REFERENCES)
def test_a_value_taken_away_never_covers_more(principal, agent, session, call, reference):
    less = {key: values for key, values in call.items() if key != reference}
    assert allowed(principal, agent, session, less) <= allowed(principal, agent, session, call)
