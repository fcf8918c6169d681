"""Rows give back exactly the values that they were made of."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.artefacts import Artefact
from broker.core.calls import Agent, Context, Invocation, Person, Principal, Session, ToolCall
from broker.core.canonical import canonical_bytes
from broker.core.decision import Decision, Effect, HoldTerms, Obligation, Verdict
from broker.core.holds import Hold, Requirement, Review, ReviewEffect, Reviewer
from broker.core.labels import Labels
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.scopes import Scope
from broker.core.unit import Mandate
from broker.store import rows

WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
COUNT = st.integers(0, 2**53 - 1)
TIME = st.floats(0, 4e9, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(WORD, JSON, max_size=3)
PERSON = st.builds(Person, issuer=WORD, subject=WORD)
WORDS = st.lists(WORD, max_size=3).map(tuple)
PRINCIPAL = st.builds(
    Principal,
    id=WORD,
    person=PERSON,
    groups=WORDS,
    attributes=OBJECT,
    assurance=WORD,
)
AGENT = st.builds(Agent, id=WORD, owner=PERSON, attributes=OBJECT)
WHERE = st.dictionaries(WORD, st.lists(JSON, max_size=2).map(tuple), max_size=2)
SCOPES = st.lists(st.builds(Scope, name=WORD, where=WHERE), max_size=2).map(tuple)
SESSION = st.builds(
    Session,
    name=WORD,
    mandate=WORD,
    principal=PRINCIPAL,
    agent=AGENT,
    context=st.sampled_from(Context),
    words=WORDS,
    scopes=SCOPES,
    opened_at=TIME,
    expires_at=TIME,
    idle_expires_at=TIME,
    state=st.sampled_from(["OPEN", "CLOSED", "REVOKED"]),
    secret_digest=st.binary(max_size=4),
)
TERMS = st.builds(
    HoldTerms,
    reviewers=WORDS,
    approvals_required=COUNT,
    decide_within_s=COUNT,
    run_within_s=COUNT,
    step_up=st.booleans(),
)
VERDICT = st.builds(
    Verdict,
    effect=st.sampled_from(Effect),
    stage=WORD,
    code=WORD,
    message=st.text(max_size=6),
    family=WORD,
    terms=st.none() | TERMS,
    enforced=st.booleans(),
    concealed=st.booleans(),
)
OBLIGATION = st.builds(Obligation, kind=WORD, family=WORD, parameters=OBJECT)
DECISION = st.builds(
    Decision,
    effect=st.sampled_from(Effect),
    verdicts=st.lists(VERDICT, max_size=3).map(tuple),
    obligations=st.lists(OBLIGATION, max_size=2).map(tuple),
)
CALL = st.builds(
    lambda tool, arguments, digest, request_id: ToolCall(
        tool=tool,
        arguments=arguments,
        canonical=canonical_bytes(arguments),
        digest=digest,
        request_id=request_id,
    ),
    WORD,
    OBJECT,
    WORD,
    WORD,
)
LABELS = st.builds(
    Labels,
    trust=st.sampled_from(["trusted", "untrusted"]),
    sensitivity=st.sampled_from(["none", "personal", "secret"]),
)
ARTEFACT = st.builds(
    Artefact,
    name=WORD,
    session=WORD,
    made_by=WORD,
    file_name=WORD,
    size=COUNT,
    sha256=WORD,
    labels=LABELS,
    created_at=TIME,
    expires_at=TIME,
)
INVOCATION = st.builds(
    Invocation,
    name=WORD,
    session=WORD,
    principal=WORD,
    agent=WORD,
    request_id=st.just(""),
    call=CALL,
    state=st.sampled_from(InvocationState),
    decision=st.none() | DECISION,
    tool_revision=WORD,
    policy_revision=WORD,
    control_revision=COUNT,
    code=WORD,
    message=WORD,
    result=st.none() | st.binary(max_size=9),
    hold=WORD,
    attempt=COUNT,
    owner=WORD,
    lease_expires_at=TIME,
    deadline_at=TIME,
    created_at=TIME,
    updated_at=TIME,
    etag=COUNT,
    artefacts=st.lists(ARTEFACT, max_size=2).map(tuple),
)
HOLD = st.builds(
    Hold,
    name=WORD,
    invocation=WORD,
    session=WORD,
    state=st.sampled_from(HoldState),
    requirements=st.lists(
        st.builds(Requirement, code=WORD, message=WORD, terms=TERMS),
        max_size=3,
    ).map(tuple),
    call_digest=WORD,
    tool=WORD,
    tool_revision=WORD,
    facts_digest=WORD,
    policy_revision=WORD,
    principal=PRINCIPAL,
    agent=AGENT,
    summary=st.text(max_size=6),
    created_at=TIME,
    decide_by=TIME,
    run_by=TIME,
    etag=COUNT,
)
REVIEW = st.builds(
    Review,
    hold=WORD,
    reviewer=st.builds(Reviewer, name=WORD, person=PERSON, groups=WORDS),
    effect=st.sampled_from(ReviewEffect),
    reason=st.text(max_size=6),
    etag=COUNT,
    at=TIME,
    counted=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(INVOCATION)
def test_invocations_come_back(value):
    found = rows.invocation_of(rows.invocation_row(value))
    assert found.request_id == found.call.request_id == value.request_id
    assert found.call.arguments == value.call.arguments
    assert rows.invocation_row(found) == rows.invocation_row(value)
    assert found.decision == value.decision
    assert found.artefacts == value.artefacts


@settings(max_examples=200, deadline=None)
@given(ARTEFACT)
def test_artefacts_come_back(value):
    assert rows.artefact_of(rows.artefact_row(value)) == value


@settings(max_examples=200, deadline=None)
@given(HOLD)
def test_holds_come_back(value):
    assert rows.hold_of(rows.hold_row(value)) == value


@settings(max_examples=200, deadline=None)
@given(REVIEW)
def test_reviews_come_back(value):
    assert rows.review_of(rows.review_row(value)) == value


@settings(max_examples=200, deadline=None)
@given(SESSION, st.binary(max_size=4), TIME)
def test_sessions_and_mandates_come_back(value, secret, redeem_by):
    assert rows.session_of(rows.session_row(value), value.words) == value
    order = Mandate(
        name=value.mandate,
        secret_digest=secret,
        host="hosts/desk",
        session=value,
        redeem_by=redeem_by,
    )
    assert rows.mandate_of(rows.mandate_row(order), value.words) == order


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=9), max_size=4))
def test_words_come_back_in_their_order(words):
    told = rows.words_rows("mandates/1", words, first=3)
    assert [row["position"] for row in told] == list(range(3, 3 + len(words)))
    assert rows.words_of(told) == tuple(words)
