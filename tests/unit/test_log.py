"""Logs serve an operator, and an operator who went away stops no call."""

import sys

import pytest
import structlog

from broker import log


@pytest.fixture(autouse=True)
def as_before():
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_value_cannot_write_lines_or_colours_of_its_own(capsys):
    """Put an escape and a newline into something that is logged."""
    log.configure(form="json", level="info")
    structlog.get_logger().warning("event", said="\x1b[2Jgone\nfake line")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "\x1b" not in lines[0]


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_standard_error_that_nobody_reads_stops_nothing(monkeypatch, error):
    """Start the broker under a pager, and close the pager."""

    class Gone:
        def write(self, _text: str) -> int:
            raise error

        def flush(self) -> None:
            raise error

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stderr", Gone())
    log.configure(form="console", level="info")
    structlog.get_logger().error("event")
