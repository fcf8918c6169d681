import pytest

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.names import resolve, short

ONE = "holds/01a1fbe2-37cb-7569-8b4b-71d83fa9c2d1"
TWO = "holds/01a1fbe2-3999-7569-8b4b-71d84449c2d1"


def test_a_short_name_is_the_kinds_letter_and_the_end_of_the_uuid() -> None:
    assert short(ONE) == "h-3fa9c2d1"
    assert short(ONE.replace("holds", "invocations")) == "i-3fa9c2d1"


@pytest.mark.parametrize("name", ["agents/support", "holds/of-a-test", "customers/c-204", ""])
def test_a_name_without_a_uuid_has_no_shorter_form(name: str) -> None:
    assert short(name) == name


@pytest.mark.parametrize(
    "typed",
    ["h-3fa9c2d1", "3fa9c2d1", "c2d1"[:0] + "71d83fa9c2d1", "01a1fbe2-37cb", "01A1FBE2-37CB"],
)
def test_any_beginning_or_end_that_fits_one_alone_names_it(typed: str) -> None:
    assert resolve("holds", typed, [ONE, TWO]) == ONE


def test_a_whole_name_is_taken_without_looking() -> None:
    def never() -> list[str]:
        raise AssertionError

    class Untouched:
        def __iter__(self) -> object:
            return never()

    assert resolve("holds", ONE, Untouched()) == ONE  # type: ignore[arg-type]
    assert resolve("holds", ONE.removeprefix("holds/"), Untouched()) == ONE  # type: ignore[arg-type]


def test_an_ambiguous_name_lists_the_candidates() -> None:
    with pytest.raises(CommandFailed) as failed:
        resolve("holds", "c2d1", [ONE, TWO])
    assert failed.value.findings == (ONE, TWO)
    assert failed.value.exit_code is ExitCode.USAGE


def test_a_name_that_fits_none_is_a_no() -> None:
    with pytest.raises(CommandFailed) as failed:
        resolve("holds", "h-ffffffff", [ONE])
    assert failed.value.exit_code is ExitCode.NO


@pytest.mark.parametrize("typed", ["", "h-", "abc", "../x", "h-zzzz", "\x1b[2J", "0" * 40])
def test_what_can_be_no_name_is_wrong_usage(typed: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        resolve("holds", typed, [ONE])
    assert failed.value.exit_code is ExitCode.USAGE
