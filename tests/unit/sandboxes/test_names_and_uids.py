"""Names of files, and users of containers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes import names
from sandboxes.uids import Uids


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "report.pdf",
        "Bericht für März.txt",
        "x" * 128,
        "日本.csv",
        "a-b_c.tar.gz",
        "console.log",
    ],
)
def test_a_plain_name_is_taken(name: str) -> None:
    assert names.finding(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".a", "-rf", "~", "a/b", "a\\b", "/a", "a\0", "a\n", "a\x1b[2J", "a\u202eb",
        "a\u200bb", "a\ufeff", "x" * 129, "a.", "a ", " a", "CON", "nul.txt", "com1", "e\u0301",
        "a:b", "a*", "\ud800", "\u2028",
    ],
)  # fmt: skip
def test_a_name_that_could_lead_elsewhere_or_look_like_another_is_not(name: str) -> None:
    assert names.finding(name)


@pytest.mark.parametrize("pair", [("a", "a"), ("a", "A"), ("ß", "SS"), ("ﬁ", "fi")])
def test_two_that_look_alike_are_one_too_many(pair: tuple[str, str]) -> None:
    assert "file 1" in names.finding_of_all(pair)


@given(name=st.text(max_size=140))
def test_what_is_taken_stays_where_it_is_put(name: str) -> None:
    if names.finding(name) == "":
        assert "/" not in name
        assert name not in {"", ".", ".."}
        assert name.isprintable() or " " in name


def test_no_uid_is_handed_out_twice_and_the_longest_unused_comes_first() -> None:
    uids = Uids(10, 13, offset=7)
    taken = [uids.take() for _ in range(4)]
    uids.give_back(taken[2])
    uids.give_back(taken[1])

    assert taken == [13, 10, 11, 12]
    assert [uids.take(), uids.take()] == [10, 11]
    with pytest.raises(LookupError):
        uids.take()
