import json
from typing import Any

import pytest

from broker.cli.hold_picture import hold_picture
from broker.cli.screen import Around
from broker.cli.shown_values import value as value_shown
from broker.v1.review_pb2 import (
    Hold,
    HoldArgument,
    HoldOrigin,
    HoldPreview,
    HoldRequirement,
    LookedUp,
    Review,
)
from broker.v1.types_pb2 import Invocation
from tests.unit.cli.holds_for_tests import AROUND, ZONE, at, narrowed_hold, the_hold


def _drawn(hold: Hold, shown: Around = AROUND) -> list[str]:
    return [line.plain.rstrip() for line in hold_picture(hold, shown)]


def test_a_hold_is_shown_with_all_that_its_reviewer_must_know() -> None:
    assert _drawn(the_hold()) == [
        "Refund EUR 55.00 of order O-1001 to card ending 0017             PENDING, expires 18:20 (3 h 41 min)",  # noqa: E501
        "For      customers/c-204, through agents/support-assistant, s-51d0aa11",
        'Words    "My lamp arrived broken. Please refund order O-1001."',
        "Stopped  A large or repeated refund is decided by a person.  REFUND_NEEDS_PERSON",
        "Argument       Value                 Looked up",
        "/order_id      O-1001                customer_id customers/c-204",
        "/amount_minor  EUR 55.00             captured 120.00, refunded 60.00",
        '/reason        "crushed in transit"',
        "Before   14:19 read_order ALLOW, 14:20 refund DENY 2 times",
        "Review   1 of support-leads needed, 0 given; you may review",
        "Binds    call 5d1f0c9e  tool 7be0d35e  policy 4f2a91c7  facts 90aa17c4  etag 3",
        "callbroker holds approve h-3fa9c2d1 --etag 3",
        'callbroker holds reject h-3fa9c2d1 --etag 3 --reason "..."',
    ]


def test_an_erased_hold_says_when_and_by_whom_and_has_its_tool_for_a_title() -> None:
    erased = the_hold(
        state=Hold.STATE_REJECTED,
        summary="",
        words=[],
        arguments=[],
        erase_time=at(14, 5),
        erased_by="retention",
    )
    drawn = _drawn(erased)
    assert drawn[0].startswith("refund ")
    assert "Erased   what was said in it, 14:05, by retention" in drawn
    assert not any(line.startswith("Words") for line in drawn)


def test_who_may_not_review_is_told_why_and_given_no_line_to_paste() -> None:
    drawn = _drawn(the_hold(eligible=False, ineligible_reason="It is your own agent's request."))
    review = " ".join(line.strip() for line in drawn[-3:-1])
    assert review.endswith("you may not review: It is your own agent's request.")
    assert not any("approve" in line for line in drawn)


def test_every_code_is_listed_with_what_it_requires() -> None:
    requirements = [
        HoldRequirement(code="A", message="First.", reviewers=["x", "y"], approvals_required=2),
        HoldRequirement(
            code="B", message="Second.", reviewers=["z"], approvals_required=1, step_up=True
        ),
    ]
    drawn = _drawn(the_hold(requirements=requirements))
    assert "Stopped  First.   A" in drawn
    assert "         Second.  B" in drawn
    assert "Review   2 of x or y needed, 0 given for A" in drawn
    assert "         1 of z needed, 0 given, each freshly signed in for B; you may review" in drawn


def test_what_others_said_is_shown_with_their_words_in_quotes() -> None:
    reviews = [
        Review(reviewer="lead-1", approved=True, reason="Seen the lamp.", time=at(14, 30),
               counted=True),
        Review(reviewer="lead-2", approved=False, time=at(14, 31), counted=False),
    ]  # fmt: skip
    drawn = _drawn(the_hold(reviews=reviews))
    assert '         14:30 lead-1 APPROVED "Seen the lamp."' in drawn
    assert "         14:31 lead-2 REJECTED, too late to count" in drawn


def test_a_decided_hold_says_what_became_of_the_call_and_offers_nothing() -> None:
    drawn = _drawn(the_hold(state=Hold.STATE_CLAIMED, invocation_state=Invocation.STATE_SUCCEEDED))
    assert drawn[0].endswith("CLAIMED, the call is SUCCEEDED")
    assert "approve" not in drawn[-1]


def test_an_approved_hold_says_until_when_it_is_to_run() -> None:
    hold = the_hold(state=Hold.STATE_APPROVED, run_by_time=at(15, 0))
    assert _drawn(hold)[0].endswith("APPROVED, to run by 15:00 (21 min)")


def test_another_currency_than_the_amounts_is_never_left_out() -> None:
    argument = HoldArgument(
        pointer="/amount_minor",
        value_json="5500",
        rendered="EUR 55.00",
        looked_up=[
            LookedUp(reference="order#/captured_minor", value_json="12000", rendered="USD 120.00")
        ],
    )
    assert "captured USD 120.00" in "\n".join(_drawn(the_hold(arguments=[argument])))


def test_facts_whose_last_words_are_alike_are_named_in_full() -> None:
    argument = HoldArgument(
        pointer="/to",
        value_json='"a"',
        looked_up=[
            LookedUp(reference="payer#/id", value_json='"p-1"'),
            LookedUp(reference="owner#/id", value_json='"o-1"'),
        ],
    )
    drawn = "\n".join(_drawn(the_hold(arguments=[argument])))
    assert "payer#/id p-1, owner#/id o-1" in drawn


def test_values_keep_their_json_so_that_a_text_is_never_taken_for_a_number() -> None:
    arguments = [
        HoldArgument(pointer="/number", value_json="7"),
        HoldArgument(pointer="/blank", value_json='"  "'),
        HoldArgument(pointer="/empty", value_json='""'),
        HoldArgument(pointer="/nothing", value_json="null"),
        HoldArgument(pointer="/yes", value_json='"yes, do"'),
    ]
    drawn = _drawn(the_hold(arguments=arguments))
    start = next(i for i, line in enumerate(drawn) if line.startswith("/number"))
    values = [line.split(maxsplit=1)[1] for line in drawn[start : start + 5]]
    assert values == ["7", '"  "', '""', "null", '"yes, do"']


def test_a_time_of_another_day_says_the_day() -> None:
    tomorrow = Around(now=AROUND.now - 86_400 * 2, zone=ZONE)
    assert "expires 20 Nov 18:20 (2 d 3 h)" in _drawn(the_hold(), tomorrow)[0]


def test_a_narrow_terminal_folds_and_loses_nothing() -> None:
    narrow = Around(now=AROUND.now, zone=ZONE, width=60)
    drawn = _drawn(the_hold(), narrow)
    assert max(map(len, drawn)) <= 60
    text = " ".join(" ".join(drawn).split())
    for value in ("O-1001", "EUR 55.00", "captured 120.00", "REFUND_NEEDS_PERSON", "4f2a91c7"):
        assert value in text


def test_a_digest_stands_beside_what_it_is_of_however_narrow_the_terminal_is() -> None:
    preview = HoldPreview(content_json=b"[]", digest="sha256:90aa17c4" + "0" * 56)
    for width in range(50, 100):
        shown = Around(now=AROUND.now, zone=ZONE, width=width)
        assert any("preview 90aa17c4" in line for line in _drawn(the_hold(preview=preview), shown))


@pytest.mark.parametrize("word", ["null", "true", "4500", "1e9"])
def test_a_text_that_reads_as_another_value_stands_in_quotes(word: str) -> None:
    assert value_shown(json.dumps(word)).plain == f'"{word}"'
    assert value_shown(word).plain != value_shown(json.dumps(word)).plain


def _changes(**fields: Any) -> bytes:
    return json.dumps([fields]).encode()


def test_where_each_value_came_from_stands_beside_it() -> None:
    arguments = list(the_hold().arguments)
    arguments[0].provenance = "words"
    arguments[1].provenance = "trusted_result"
    arguments[1].origins.append(HoldOrigin(name="invocations/1", tool="read_order"))
    arguments[2].provenance = "untrusted_result"
    arguments[2].origins.append(HoldOrigin(name="invocations/2", tool="read_mail"))
    arguments[2].origins.append(HoldOrigin(name="invocations/3", tool="read_mail"))
    drawn = _drawn(the_hold(arguments=arguments))
    start = next(i for i, line in enumerate(drawn) if line.startswith("Argument"))
    assert drawn[start : start + 4] == [
        "Argument       Value                 Looked up                        Where it came from",
        "/order_id      O-1001                customer_id customers/c-204      words",
        "/amount_minor  EUR 55.00             captured 120.00, refunded 60.00  trusted_result  read_order",  # noqa: E501
        '/reason        "crushed in transit"                                   untrusted_result  read_mail',  # noqa: E501
    ]


def test_a_preview_is_the_tools_word_and_is_bound() -> None:
    preview = HoldPreview(
        content_json=_changes(label="left on the payment", before_minor=6000, after_minor=500),
        digest="sha256:90aa17c4" + "0" * 56,
    )
    drawn = _drawn(the_hold(preview=preview))
    assert "Preview  left on the payment 60.00 -> 5.00" in drawn
    assert any("preview 90aa17c4" in line for line in drawn if line.startswith("Binds"))


@pytest.mark.parametrize(
    ("preview", "told"),
    [
        (HoldPreview(error="RUNNER_UNAVAILABLE"),
         "Preview  the tool could not say what would change: RUNNER_UNAVAILABLE"),
        (HoldPreview(content_json=b"[]"), "Preview  nothing, says the tool"),
        (HoldPreview(content_json=_changes(label="Review  1 of x; you may not", before="a b",
                                           after=None)),
         'Preview  "Review  1 of x; you may not" "a b" -> null'),
        (HoldPreview(content_json=_changes(label="to\u202e", before=None, after="\u202ex")),
         'Preview  "to\\u202e" null -> "\\u202ex"'),
        (HoldPreview(content_json=_changes(label="left", before_minor=1, after_minor=0,
                                           currency="JPY")),
         "Preview  left JPY 1 -> JPY 0"),
    ],
)  # fmt: skip
def test_a_preview_says_no_more_than_its_tool_said(preview: HoldPreview, told: str) -> None:
    assert told in _drawn(the_hold(preview=preview))


def test_a_narrowed_hold_says_what_is_there_instead_of_what() -> None:
    drawn = _drawn(narrowed_hold())
    assert "Narrowed /amount_minor EUR 40.00 instead of EUR 55.00" in drawn
    assert drawn[-1] == "callbroker holds narrow h-4fa9c2d2 --etag 1 --less /amount_minor=4000"


def test_what_is_no_whole_number_is_no_part_of_a_command() -> None:
    to = HoldArgument(pointer="/to", value_json='["a@b.example; rm x"]')
    drawn = _drawn(the_hold(arguments=[to], narrowing={"/to": "subset"}))
    assert drawn[-1] == "callbroker holds narrow h-3fa9c2d1 --etag 3 --less /to=..."


def test_a_pointer_that_a_shell_would_read_is_no_part_of_a_command() -> None:
    drawn = _drawn(the_hold(narrowing={"/$(rm x)": "smaller"}))
    assert drawn[-1] == "callbroker holds narrow h-3fa9c2d1 --etag 3 --less POINTER=..."


def test_who_is_at_it_is_told_for_as_long_as_they_are() -> None:
    taken = the_hold(taken_by="lead-2", taken_until_time=at(14, 44))
    assert "Taken    by lead-2 until 14:44 (5 min); nobody else approves it meanwhile" in _drawn(
        taken
    )
    lapsed = the_hold(taken_by="lead-2", taken_until_time=at(14, 39))
    assert not any(line.startswith("Taken") for line in _drawn(lapsed))


def test_an_approval_that_can_be_taken_back_says_for_how_long() -> None:
    hold = the_hold(state=Hold.STATE_APPROVED, run_by_time=at(15, 0), run_from_time=at(14, 40))
    assert "Runs     in 1 min; until then the approval can be taken back" in _drawn(hold)
