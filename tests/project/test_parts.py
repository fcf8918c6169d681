"""Every file of tests is in one part, no part is empty, and all fit into the time there is."""

from pathlib import Path

import pytest

from tests.parts import (
    ALL_MINUTES_MAX,
    LANES_MAX,
    PARTS,
    ROOT,
    STATIC_S,
    Part,
    lasting_s,
    longest_first,
)

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("file", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_file_is_in_exactly_one_part(file: Path) -> None:
    assert len([part.name for part in PARTS if file in part.files()]) == 1


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_each_path_of_a_part_holds_tests(part: Part) -> None:
    for path in (*part.paths, *part.left_out):
        assert Part(name="", paths=(path,), budget_s=1).files(), path


def test_names_are_unique() -> None:
    assert len({part.name for part in PARTS}) == len(PARTS)


def test_all_budgets_fit_into_the_time_there_is() -> None:
    assert STATIC_S + lasting_s(PARTS, LANES_MAX) <= ALL_MINUTES_MAX * 60


def test_the_longest_begin_first_and_the_short_fill_the_gaps() -> None:
    parts = [Part(name=str(budget), paths=(), budget_s=budget) for budget in (1, 5, 4, 2)]

    assert [part.budget_s for part in longest_first(parts)] == [5, 4, 2, 1]
    assert lasting_s(parts, 2) == 6
    assert lasting_s(parts, 1) == 12


def test_a_file_that_is_left_out_is_in_the_other_part(tmp_path: Path) -> None:
    for name in ("a/test_one.py", "a/b/test_two.py", "a/b/helping.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    most = Part(name="most", paths=("a",), left_out=("a/b",), budget_s=1)
    rest = Part(name="rest", paths=("a/b",), budget_s=1)

    assert most.files(tmp_path) == {tmp_path / "a/test_one.py"}
    assert rest.files(tmp_path) == {tmp_path / "a/b/test_two.py"}
