"""A page says of an explanation what the terminal says, word for word."""

from datetime import UTC

import pytest

from broker.cli.explain_picture import explanation_picture
from broker.cli.screen import Around
from broker.core.decision import Effect
from broker.core.explanation import Alternative, Band, Change, Explanation, Removal, Scale
from broker.core.explanation_words import sentences

AMOUNT = "/call/arguments/amount_minor"
WIDE = Around(width=10_000, now=0.0, zone=UTC)


def change(pointer: str = AMOUNT, value: object = 5_000, **given) -> Change:
    return Change(pointer=pointer, value=value, **given)


def alternative(*changes: Change, effect: Effect = Effect.ALLOW) -> Alternative:
    return Alternative(changes=changes, effect=effect)


def explanation(**given) -> Explanation:
    return Explanation(
        **{
            "policy_revision": "sha256:1",
            "effect": Effect.HOLD,
            "spoken": (),
            "money": {AMOUNT: "EUR"},
            **given,
        }
    )


@pytest.mark.parametrize(
    ("told", "first"),
    [
        (
            explanation(allowed_if=(alternative(change(highest=5_000)),)),
            "ALLOW if /amount_minor were at most EUR 50.00, or with that approval.",
        ),
        (
            explanation(
                effect=Effect.DENY,
                allowed_if=(
                    alternative(change(lowest=1, highest=2), change("/facts/o/value/x", "y")),
                    alternative(change("/principal/groups/-", "leads")),
                ),
            ),
            (
                'ALLOW if /amount_minor were from EUR 0.01 to EUR 0.02 and o#/x were "y"; or if '
                'principal#/groups also had "leads".'
            ),
        ),
        (explanation(), "Nothing was found that would make it ALLOW but that approval."),
        (
            explanation(problem="too \u202elong", effect=Effect.DENY),
            "Not followed further: too \\u202elong",
        ),
        (
            explanation(
                removals=(
                    Removal(family="f", code="A", alternative=None),
                    Removal(
                        family="f",
                        code="B",
                        alternative=alternative(change(otherwise=True), effect=Effect.HOLD),
                    ),
                ),
            ),
            "Nothing was found that would make it ALLOW but that approval.",
        ),
        (
            explanation(
                effect=Effect.ALLOW,
                scales=(
                    Scale(
                        pointer=AMOUNT,
                        value=4_000,
                        bands=(
                            Band(effect=Effect.ALLOW, lowest=None, highest=5_000),
                            Band(effect=Effect.DENY, lowest=5_001, highest=None),
                        ),
                    ),
                ),
            ),
            "/amount_minor is EUR 40.00: ALLOW up to EUR 50.00, DENY from EUR 50.01 on.",
        ),
    ],
)
def test_pages_and_terminal_say_the_same(told: Explanation, first: str):
    said = sentences(told)
    assert said[0] == first
    pictured = " ".join(line.plain.strip() for line in explanation_picture(told, WIDE))
    assert pictured == " ".join(said)
