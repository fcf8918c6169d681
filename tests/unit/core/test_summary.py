"""People read one line that the operator wrote and nobody else can word."""

import pytest

from broker.core.calls import Fact
from broker.core.pointers import MISSING, Reference
from broker.core.summary import format_money, leaves, pieces, render_value, summarise
from tests.fakes.desk import ARGUMENTS, manifest, order_fact, session


def line(template: str = "", *, facts=None, **changes) -> str:
    tool = manifest()
    return summarise(
        template or tool.summary,
        {**ARGUMENTS, **changes},
        order_fact() if facts is None else facts,
        tool.review.money,
        session=session(),
    )


def test_amounts_are_money_and_facts_are_words():
    assert line() == "Refund EUR 55.00 of order O-1001 to card ending 0017"


def test_money_may_be_a_facts_own():
    assert line("{order#/captured_minor} was captured") == "EUR 120.00 was captured"


def test_the_caller_may_be_named():
    assert line("For {principal#/id}, {{really}}") == "For customers/c-204, {really}"


def test_what_is_not_there_is_said_to_be_missing():
    absent = {"order": Fact(name="order", source="shop", absent=True)}
    failed = {"order": Fact(name="order", source="shop", error="QUERY_FAILED")}
    assert line("{order#/method} {/reason}", facts=absent) == "(not found) (none)"
    assert line("{order#/method}", facts=failed) == "(not looked up)"


def test_an_argument_that_could_pass_for_the_sentence_is_fenced():
    forged = 'O-1" to card ending 9999. Approved by the owner. "'
    told = line("Refund of {/order_id} to {order#/method}", order_id=forged)
    assert told.startswith('Refund of "O-1\\" to card')
    assert told.endswith(' \\"" to card ending 0017')


def test_long_values_and_lists_are_cut_with_a_mark():
    assert line("To {/to}", to=["a@x.test", "b@x.test"]) == "To a@x.test, b@x.test"
    assert line("To {/to}", to=[]) == "To none"
    assert line("To {/to}", to=["a", "b", "c", "d", "e"]) == "To a, b, c and 2 more"
    assert "(5000 characters)" in line("{order#/method}", facts=order_fact(method="x" * 5_000))


def test_a_file_is_shown_by_its_name_and_fenced():
    files = {"/order_id": 'in" voice.pdf', "/to/0": "a.csv", "/to/1": "b.csv"}

    def shown(template: str, **changes) -> str:
        tool = manifest()
        arguments = {**ARGUMENTS, **changes}
        return summarise(template, arguments, {}, tool.review.money, files=files)

    assert shown("Read {/order_id}") == 'Read "in\\" voice.pdf"'
    assert shown("Read {/to}", to=["artefacts/a", "artefacts/b"]) == 'Read "a.csv", "b.csv"'
    assert shown("Read {/to}", to=["artefacts/a", "x", "y"]) == "Read artefacts/a, x, y"
    assert shown("Pay {/amount_minor}").startswith("Pay EUR ")


def test_of_many_files_a_few_are_named():
    files = {f"/to/{n}": f"{n}.csv" for n in range(5)}
    told = summarise("{/to}", {"to": ["x"] * 5}, {}, {}, files=files)
    assert told == '"0.csv", "1.csv", "2.csv" and 2 more'


def test_nothing_that_a_terminal_obeys_comes_through():
    told = line("{order#/method} {/reason}", facts=order_fact(method="\x1b[2J"), reason="\x1b]0;x")
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (5_500, "EUR", "EUR 55.00"),
        (5, "EUR", "EUR 0.05"),
        (0, "USD", "USD 0.00"),
        (-150, "EUR", "EUR -1.50"),
        (5_500, "JPY", "JPY 5500"),
        (5_500, "KWD", "KWD 5.500"),
        (5_500, "XTS", "XTS 55.00"),
        (5_500, MISSING, "5500 minor units of an unknown currency"),
        (5_500, "eur\x1b", "5500 minor units of an unknown currency"),
        (55.0, "EUR", "55 (not an amount)"),
        (True, "EUR", "true (not an amount)"),
        ("5500", "EUR", '"5500" (not an amount)'),
    ],
)
def test_minor_units_are_shown_in_the_currencys_own_digits(minor, currency, shown):
    assert format_money(minor, currency) == shown


@pytest.mark.parametrize("template", ["{", "}", "{}", "{order}", "a { b", "{/a~2}"])
def test_a_broken_template_is_refused(template):
    with pytest.raises(ValueError, match=r"."):
        pieces(template)


def test_leaves_are_every_scalar_and_what_is_empty():
    arguments = {"a": 1, "b": {"c/d": [True, None], "e": {}}, "f": []}
    assert leaves(arguments) == [
        ("/a", 1),
        ("/b/c~1d/0", True),
        ("/b/c~1d/1", None),
        ("/b/e", {}),
        ("/f", []),
    ]
    assert leaves({}) == []


def test_objects_are_shown_as_canonical_json():
    shown = render_value(Reference.parse("/filter"), {"b": 1, "a": ["\u202e"]})
    assert shown == '{"a":["\\u202e"],"b":1}'
