"""A table that cannot be read says what to write instead, one line for one mistake."""

import pytest

from broker.policy.cases.tables import TablesRefused, read_cases
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family

TABLE = "broker/rules/sample/sample_cases.yaml"
GOOD = """\
cases:
  - case: it waits
    expect: {effect: HOLD, codes: [LARGE]}
"""


def findings(table):
    bundle = bundle_of({**family(ALLOW_ALL), TABLE: table})
    with pytest.raises(TablesRefused) as refused:
        read_cases(bundle)
    return refused.value.findings


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "codes:",
            "code:",
            "2: no such key as code; did you mean codes? There are effect, codes, ",
        ),
        ("expect:", "expects:", "2: no such key as expects; did you mean expect? There are case, "),
        ("cases:", "case:", "1: no such key as case; did you mean cases? There are given, "),
        ("codes:", "zebra:", "2: no such key as zebra; There are effect, "),
        ("codes: [LARGE]", "codes: []", "2: expect: leave effect out where codes is []"),
        ("effect: HOLD, ", "", "2: expect: add the effect that these codes have"),
        (", codes: [LARGE]", "", "2: 'codes' is a required property"),
    ],
)
def test_one_mistake_is_one_line(old, new, told):
    assert old in GOOD
    (finding,) = findings(GOOD.replace(old, new))
    assert finding.startswith(f"{TABLE}:{told}")


def test_each_case_is_told_of_by_itself():
    second = "  - case: it runs\n    expect: {code: [SMALL]}\n"
    assert [one.partition(";")[0] for one in findings(GOOD.replace("codes", "code") + second)] == [
        f"{TABLE}:2: no such key as code",
        f"{TABLE}:4: no such key as code",
    ]
