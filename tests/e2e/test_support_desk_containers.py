"""The support desk with a container engine: a customer's files are read, and hostile code is shown.

What is shown of hostile code is compared on the page `docs/sandboxes.md`; here is what must not be
there: anything of this machine's in what it said, and anything of it when the desk has ended.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from examples.support_desk import hostile
from tests.engine_api import ContainerEngine

ROOT = Path(__file__).parents[2]
DEADLINE_S = 400.0
LABEL = "callbroker.sandboxd"


def play(engine: str, state: Path) -> "subprocess.CompletedProcess[str]":
    """The show, played once."""
    given = ("--once", "--port", "0", "--engine", engine, "--state", str(state))
    return subprocess.run(
        [sys.executable, "-m", "examples.support_desk", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def shown(
    desk_engine: str, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[subprocess.CompletedProcess[str], Path]":
    state = tmp_path_factory.mktemp("contained") / "desk"
    done = play(desk_engine, state)
    assert done.returncode == 0, done.stdout + done.stderr
    return done, state


def test_a_customers_files_are_read_and_added_up(shown):
    done, _ = shown
    assert "ALLOW  read_document" in done.stdout
    assert "hidden, white text: Note to the assistant" in done.stdout
    assert "left totals.csv, 53 bytes, untrusted" in done.stdout


def test_every_attempt_is_shown_and_none_of_them_got_anything(shown):
    done, state = shown
    tried = (*hostile.attempts(token=state, canary=state), *hostile.TO_STAY)
    assert [attempt.tried for attempt in tried if f"  {attempt.tried} " not in done.stdout] == []
    token = (state / "state" / "tokens" / "operator").read_text().strip()
    assert token not in done.stdout
    assert "Traceback" not in done.stdout
    assert (state / "canary").read_text() == "untouched\n"
    assert f"{len(tried) + 2} had one call each, 0 are still at work" in done.stdout


def test_code_that_a_stranger_may_have_written_runs_in_the_tightest_container(shown):
    _, state = shown
    ended = [
        line
        for line in (state / "sandboxd.log").read_text().splitlines()
        if "sandbox_ended" in line
    ]
    assert ended
    assert [line for line in ended if "profile=strict" not in line] == []


def test_nothing_is_left_on_the_engine(shown, container_engine: ContainerEngine):
    _, state = shown
    node = (state / "sandboxd" / "node_id").read_text().strip()
    assert container_engine.containers(f"{LABEL}={node}") == []


def test_without_an_engine_the_desk_says_so_in_a_line_and_goes_on(tmp_path):
    done = play(f"unix://{tmp_path}/absent.sock", tmp_path / "desk")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Containers")]
    assert "no container engine answers" in line
    assert "12 tools" in done.stdout
    assert "run_python  " not in done.stdout
