"""Names of files: what passes is plain, and what is told apart stays so."""

from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from broker.core.artefacts import FileNameRefused, file_names, folded, require_file_name
from broker.core.text import visible

ODD = st.sampled_from([*'./\\:*?"<>|~- ', "\x00", "\n", "\u202e", "\u200b", "\u0301", "CON", ".."])
GOOD = st.sampled_from([*"aAbBz019_()", "\u00e9", "\ufb01", "\u5831", ".csv", " of "])
NAME = st.text(max_size=140) | st.lists(GOOD | ODD, max_size=8).map("".join)
PASSING = st.lists(GOOD, min_size=1, max_size=140).map("".join)


def passes(name: str) -> bool:
    try:
        return require_file_name(name) == name
    except FileNameRefused:
        return False


@given(NAME | PASSING)
def test_what_passes_is_one_part_of_a_path_on_any_system_and_shows_as_itself(name):
    if not passes(name):
        return
    assert PurePosixPath(name).parts == (name,)
    windows = PureWindowsPath(name)
    assert windows.parts == (name,)
    assert not windows.drive
    assert visible(name) == name
    assert len(name) <= 128
    assert len(name.encode()) <= 255


@given(
    st.lists(PASSING.filter(passes), max_size=6) | st.lists(st.sampled_from("aAbB"), max_size=12)
)
def test_names_that_are_told_apart_are_good_names_and_no_two_are_one(names):
    told = file_names(names)
    assert len(told) == len(names)
    assert len({folded(name) for name in told}) == len(told)
    assert all(passes(name) for name in told)
    assert file_names(told) == told
