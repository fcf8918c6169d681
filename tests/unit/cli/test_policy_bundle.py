"""What `policy bundle` writes is what OPA's own tools can be asked with."""

import json
import subprocess
from pathlib import Path

import pytest

from broker.core.question_schema import EXAMPLE
from broker.policy.sources import library_directory
from tests.fakes.policy_trees import ALLOW_ALL, family, opa, write_tree
from tests.unit.cli.conftest import Run


@pytest.fixture(autouse=True)
def _pinned(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBROKER_OPA", str(opa()))
    write_tree(here / "policies", family(ALLOW_ALL))


def asked(*arguments: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [opa(), *arguments], input=given, capture_output=True, check=False, timeout=60
    )


def test_opa_answers_from_the_file_alone(run: Run, here: Path) -> None:
    ran = run("policy", "bundle", "b.tar.gz", "policies", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told["bytes"] == (here / "b.tar.gz").stat().st_size
    ended = asked(
        *("eval", "-b", here / "b.tar.gz", "-I", "--format=json"),
        "data.broker.decision.decision",
        given=json.dumps(EXAMPLE).encode(),
    )
    decision = json.loads(ended.stdout)["result"][0]["expressions"][0]["value"]
    assert decision["revision"] == told["policy_revision"]
    assert "FINE" in {verdict["code"] for verdict in decision["verdicts"]}


def test_the_same_sources_give_the_same_bytes(run: Run, here: Path) -> None:
    for name in ("one", "two"):
        assert run("policy", "bundle", name, "policies").code == 0
    assert (here / "one").read_bytes() == (here / "two").read_bytes()


def test_a_policy_that_is_refused_is_not_written(run: Run, here: Path) -> None:
    write_tree(here / "policies", family("verdicts contains {"))
    assert run("policy", "bundle", "b.tar.gz", "policies").code == 1
    assert not (here / "b.tar.gz").exists()


def test_a_place_that_cannot_be_written_is_named(run: Run) -> None:
    ran = run("policy", "bundle", "none/b.tar.gz", "policies")
    assert ran.code == 2
    assert ran.err.startswith("callbroker: none/b.tar.gz: ")


def test_opas_own_tests_run_on_the_shipped_tree() -> None:
    ended = asked("test", "--bundle", library_directory(), "--verbose", "--fail-on-empty")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert b"PASS: " in ended.stdout
