"""A restore that is asked for in a way that means nothing says what would, and touches nothing."""

from pathlib import Path

import pytest

from broker.cli.failures import ExitCode
from tests.unit.cli.conftest import Run

WHY = ("--reason", "The disk died.", "--yes")


@pytest.mark.parametrize("asked", [(), ("monday.db", "--in-place")])
def test_either_a_file_is_named_or_that_it_was_put_back(
    run: Run, here: Path, asked: tuple[str, ...]
) -> None:
    ran = run("restore", *asked, *WHY)
    assert ran.code == ExitCode.USAGE
    assert "--in-place" in ran.err
    assert list(here.iterdir()) == []


def test_a_file_is_not_for_a_database_on_a_server(run: Run, here: Path) -> None:
    (here / "callbroker.toml").write_text('database = "postgresql://callbroker@/callbroker"')
    ran = run("restore", "monday.dump", *WHY)
    assert ran.code == ExitCode.USAGE
    assert "pg_restore" in ran.err
    assert "callbroker restore --in-place" in ran.err


def test_what_is_abandoned_is_said_yes_to(run: Run) -> None:
    ran = run("restore", "--in-place", "--reason", "The disk died.")
    assert ran.code == ExitCode.USAGE
    assert "--yes" in ran.err
