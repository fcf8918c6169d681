"""A command runs in this process against services that a test answers for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.cli.main import main
from tests.fakes.admin_server import FakeServices, fake_services


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, and an environment that says nothing of any broker."""
    monkeypatch.chdir(tmp_path)
    for name in ("ADDRESS", "CONFIG", "OPERATOR_TOKEN", "REVIEWER_TOKEN", "AUDITOR_TOKEN"):
        monkeypatch.delenv(f"CALLBROKER_{name}", raising=False)
    return tmp_path


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001 - its effect
    """Runs a command line in that directory."""

    def _run(*arguments: str) -> Ran:
        code = main(arguments)
        said = capsys.readouterr()
        return Ran(code=int(code), out=said.out, err=said.err)

    return _run


@pytest.fixture
def services(
    here: Path,  # noqa: ARG001 - its effect
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[FakeServices]:
    """A broker that answers as the test says, with tokens of all classes for the command."""
    with fake_services() as fake:
        monkeypatch.setenv("CALLBROKER_ADDRESS", fake.address)
        for kind in ("operator", "reviewer", "auditor"):
            monkeypatch.setenv(f"CALLBROKER_{kind.upper()}_TOKEN", f"cb_{kind}_token")
        yield fake
