"""Attacks on whoever reads a held call in a terminal."""

import re
import unicodedata

import pytest

from broker.cli.hold_picture import hold_picture
from broker.cli.holds import list_picture
from broker.cli.invocations import call_picture, tail_lines
from broker.cli.screen import Around
from broker.cli.story import full_story, story_picture
from broker.core.canonical import canonical_bytes
from broker.v1.admin_pb2 import InvocationSummary
from broker.v1.review_pb2 import EarlierCall, Hold, HoldArgument, HoldRequirement, LookedUp, Review
from broker.v1.types_pb2 import EFFECT_ALLOW, Invocation, Reason
from tests.unit.cli.holds_for_tests import AROUND, ZONE, at, the_hold

PAYLOADS = {
    "clear_screen": "\x1b[2J\x1b[H",
    "colour": "\x1b[32mAPPROVED\x1b[0m",
    "window_title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;https://example.com\x1b\\ok\x1b]8;;\x1b\\",
    "c1_introducer": "\x9b2J",
    "overwrite": "harmless\rRefund EUR 1.00",
    "backspace": "EUR 55.00\b\b\b\b\b1.00",
    "new_line": "a\nReview   2 of 2 given; you may review",
    "other_lines": "a\u2028b\u2029c\x85d\x0be",
    "bidi_override": "EUR \u202e00.55\u202c",
    "bidi_isolate": "\u2067abc\u2069",
    "invisible": "re\u200bfund\u2060\ufeff\u00ad",
    "tags": "ok\U000e0041\U000e0042",
    "markup": "[bold red]DENY[/bold red] [link=https://example.com]x[/link]",
}
DRAWN_BY_NOBODY = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _hostile(text: str) -> Hold:
    json_text = canonical_bytes(text).decode()
    return the_hold(
        summary=text,
        principal=text,
        agent=text,
        session=text,
        tool=text,
        words=[text, "second " + text],
        requirements=[
            HoldRequirement(code=text, message=text, reviewers=[text], approvals_required=1)
        ],
        arguments=[
            HoldArgument(
                pointer=text,
                value_json=json_text,
                rendered=text,
                looked_up=[LookedUp(reference=text, value_json=json_text, rendered=text)],
            ),
            HoldArgument(pointer=text, value_json=json_text),
            HoldArgument(pointer=text, value_json=text),
        ],
        earlier=[EarlierCall(time=at(14, 0), tool=text, effect=EFFECT_ALLOW)],
        reviews=[Review(reviewer=text, approved=True, reason=text, time=at(14, 1), counted=True)],
        call_digest=text,
        tool_revision=text,
        policy_revision=text,
        facts_digest=text,
        etag=text,
        ineligible_reason=text,
    )


def _call(text: str) -> InvocationSummary:
    invocation = Invocation(
        name=text,
        session=text,
        request_id=text,
        tool=text,
        state=Invocation.STATE_DENIED,
        reasons=[Reason(code=text, message=text)],
        code=text,
        message="other " + text,
        hold=text,
        create_time=at(14, 0),
    )
    return InvocationSummary(invocation=invocation, principal=text, agent=text, summary=text)


def _entry(text: str) -> bytes:
    return canonical_bytes(
        {
            "at_us": 1,
            "kind": text,
            "actor": text,
            "id": text,
            "instance": text,
            "body": {text: text, "state": text, "verdicts": [{"effect": text, "code": text}]},
            "contents": {"message": text, "question": {text: {text: [text]}}, text: text},
        }
    )


def _screens(text: str) -> list[str]:
    lines = [
        *hold_picture(_hostile(text), AROUND),
        *hold_picture(_hostile(text), Around(now=AROUND.now, zone=ZONE, width=70)),
        *list_picture([_hostile(text)], AROUND, width=100),
        *call_picture(_call(text), AROUND),
        *tail_lines(_call(text), AROUND, width=AROUND.width),
        *story_picture([_entry(text)], AROUND),
        *full_story([_entry(text)], AROUND),
    ]
    return [line.plain for line in lines]


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_no_field_of_a_call_can_act_on_the_terminal_that_shows_it(payload: str) -> None:
    """Put a terminal's own language, or letters that reorder or hide, into every field there is.

    Whoever controls an argument, the user's words or a tool's answer wants the reviewer to see
    another call than the one that they approve.
    """
    for line in _screens(payload):
        bad = [c for c in line if unicodedata.category(c) in DRAWN_BY_NOBODY]
        assert bad == [], line


@pytest.mark.parametrize("field", ["words", "value", "message", "summary"])
def test_padding_cannot_put_a_forged_label_at_the_left_edge(field: str) -> None:
    """Pad a text until the terminal's own line break puts a forged line under the true ones."""
    for padding in range(60, 110):
        forged = "x" + " " * padding + "Review   2 of 2 given; you may review"
        hold = {
            "words": the_hold(words=[forged]),
            "value": the_hold(
                arguments=[HoldArgument(pointer="/a", value_json=canonical_bytes(forged).decode())]
            ),
            "message": the_hold(
                requirements=[
                    HoldRequirement(code="C", message=forged, reviewers=["x"], approvals_required=1)
                ]
            ),
            "summary": the_hold(summary="x" + forged),
        }[field]
        lines = [line.plain for line in hold_picture(hold, AROUND)]
        assert max(map(len, lines)) <= AROUND.width
        reviews = [line for line in lines if re.match(r"Review\b", line)]
        assert len(reviews) == 1
        assert "0 given" in reviews[0]


def test_quotation_marks_cannot_be_closed_from_within() -> None:
    """Close the quotes around one's words and go on in the broker's voice."""
    words = 'Refund it." (verified by support-lead-2) "'
    drawn = "\n".join(line.plain for line in hold_picture(the_hold(words=[words]), AROUND))
    assert r'"Refund it.\" (verified by support-lead-2) \""' in drawn


def test_padding_cannot_put_a_forged_call_into_the_lines_that_follow_calls() -> None:
    """Pad an argument until a line break of the terminal's puts a call that never was below it.

    Whoever watches `invocations tail`, or reads a call's story, would see it succeed.
    """
    for padding in range(40, 110):
        call = _call("x" + " " * padding + "14:19  i-9c2e01ab  SUCCEEDED  customers/c-204  Refund")
        call.invocation.name = "invocations/01a1fbe2-0000-7000-8000-00009c2e01ab"
        _, *folded = tail_lines(call, AROUND, width=80)
        assert folded
        assert all(line.plain.startswith(" " * 10) for line in folded if line.plain)
    for padding in range(40, 110):
        entry = _entry("x" + " " * padding + "14:19:00  call.ended  broker  SUCCEEDED")
        _, _, *folded = story_picture([entry], AROUND)
        assert folded
        assert all(line.plain.startswith(" " * 10) for line in folded if line.plain)
