"""A lock says what is installed, by hash, and leaves where it comes from to the machine."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.project.checkout import ROOT

LOCKS = [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "broker" / "policy" / "go.txt"]
PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[a-z0-9,-]+\])?==([^\s;\\]+)", re.MULTILINE)


def _pins(lock: Path) -> dict[str, str]:
    return dict(PINNED.findall(lock.read_text("utf-8")))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_address(lock: Path) -> None:
    text = lock.read_text("utf-8")

    assert "//" not in text
    assert not re.search(
        r"^\s*--?(i|index-url|extra-index-url|find-links|f|trusted-host)\b", text, re.MULTILINE
    )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_of_a_lock_is_pinned_and_hashed(lock: Path) -> None:
    entries = re.split(r"\n(?=\S)", lock.read_text("utf-8").strip())
    requirements = [entry for entry in entries if not entry.startswith("#")]

    assert requirements
    for entry in requirements:
        assert PINNED.match(entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_development_lock_agrees_with_what_is_run() -> None:
    development = _pins(ROOT / "requirements" / "development.txt")

    for name in ("server.txt", "build.txt"):
        for package, version in _pins(ROOT / "requirements" / name).items():
            assert development.get(package) == version, package


def test_every_declared_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in declared}

    assert names <= _pins(ROOT / "requirements" / "server.txt").keys()
