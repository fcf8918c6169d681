"""What an entry says is told in our words, and nothing of it is left out."""

import pytest

from broker.core.audit import EntryKind
from broker.core.story import asked, moments, placed, previewed

K = EntryKind


def entry(kind: str = K.CALL_DECIDED, at: float = 1.0, **given):
    return {
        "id": "e",
        "instance": "brokers/1",
        "sequence": 7,
        "at_us": int(at * 1_000_000),
        "kind": kind,
        "actor": "agents/a",
        "body": given.pop("body", {}),
        "contents": given.pop("contents", None),
        "contents_digest": given.pop("digest", ""),
    }


def test_a_second_decision_on_a_call_is_told_as_one():
    told = moments([entry(body={"effect": "HOLD"}), entry(body={"effect": "ALLOW"})])
    assert [one.title for one in told] == ["Stopped for a person", "Allowed again"]


@pytest.mark.parametrize(
    ("kind", "body", "title"),
    [
        (K.REVIEW_GIVEN, {"effect": "APPROVE"}, "Approved"),
        (K.REVIEW_GIVEN, {"effect": "NARROW"}, "Made less by a reviewer"),
        (K.REVIEW_GIVEN, {"effect": "UNDO"}, "Approval taken back"),
        (K.HOLD_TAKEN, {"effect": "TAKE"}, "Taken by a reviewer"),
        (K.HOLD_TAKEN, {"effect": "RETURN"}, "Given back by the reviewer"),
        (K.HOLD_CHANGED, {"state": "VOID"}, "The hold is void: what was shown had changed"),
        (K.ATTEMPT_STARTED, {"attempt": 2}, "Handed to the tool, attempt 2"),
        (K.CALL_ENDED, {"state": "UNKNOWN"}, "It may have run; nobody knows"),
        (
            K.ATTEMPT_STARTED,
            {"attempt": 1, "runner": "caller"},
            "Permitted to the agent's own process, attempt 1",
        ),
        (
            K.CALL_ENDED,
            {"state": "SUCCEEDED", "run": {"reported_by": "agent"}},
            "Reported by the agent: it ran",
        ),
        (
            K.ATTEMPT_ANSWERED_LATE,
            {"reported_by": "agent"},
            "Reported by the agent too late; kept as evidence",
        ),
        ("something.new", {}, "something new"),
    ],
)
def test_each_kind_has_words(kind, body, title):
    assert moments([entry(kind, body=body)])[0].title == title


def test_a_review_that_came_too_late_says_so():
    (told,) = moments([entry(K.REVIEW_GIVEN, body={"effect": "APPROVE", "counted": False})])
    assert told.title == "Approved, too late: it changed nothing"


def test_what_has_no_words_is_in_the_details():
    (told,) = moments([entry(body={"effect": "HOLD", "digest": "sha256:1", "keys": [], "n": 0})])
    assert told.details == (("digest", "sha256:1"), ("n", 0))
    (unknown,) = moments([entry("something.new", body={"state": "X", "hold": "holds/h"})])
    assert unknown.details == (("state", "X"), ("hold", "holds/h"))
    assert unknown.hold == "holds/h"


def test_erased_contents_are_told_from_none():
    kept, erased, none = moments(
        [
            entry(digest="sha256:1", contents={"reason": "why"}),
            entry(digest="sha256:1"),
            entry(),
        ]
    )
    assert (kept.said, kept.is_erased) == ((("reason", "why"),), False)
    assert (erased.said, erased.is_erased) == ((), True)
    assert not none.is_erased


def test_a_hold_that_an_approval_lifted_is_told_apart():
    terms = {"reviewers": ["leads"]}
    body = {
        "effect": "ALLOW",
        "verdicts": [
            {"effect": "ALLOW", "code": "A", "hold": terms},
            {"effect": "ALLOW", "code": "B"},
            {"effect": "HOLD", "code": "C", "hold": terms, "enforced": False},
        ],
    }
    (told,) = moments([entry(body=body)])
    assert [one.is_lifted for one in told.verdicts] == [True, False, False]
    assert [one.is_enforced for one in told.verdicts] == [True, True, False]


def test_what_the_records_tell_stands_in_its_place_and_the_log_keeps_its_order():
    told = moments([entry(at=2.0), entry(at=5.0), entry(at=4.0)])
    story = placed(told, [previewed(3.0, "invocations/p", ""), asked(1.0, "agents/a")])
    assert [one.at for one in story] == [1.0, 2.0, 3.0, 5.0, 4.0]
    assert story[2].details == (("preview", "invocations/p"),)


def test_a_log_of_another_kind_is_told_and_breaks_nothing():
    odd = {"kind": 7, "body": [], "contents": "x", "at_us": "x", "sequence": None}
    (told,) = moments([odd])
    assert (told.at, told.details, told.verdicts) == (0.0, (), ())
