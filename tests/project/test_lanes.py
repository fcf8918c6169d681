"""The runner of parts: what fails is shown and fails it, and whatever ends it leaves no process.

Each test has a runner of its own, a process, over parts whose tests are written here.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine_api import EXISTING
from tests.lanes import lanes_here
from tests.project.checkout import ROOT, outside_make

ENDS_S = 120.0
RUN = """
import sys
from tests import keeper, lanes
from tests.parts import Part
lanes.HOW_FAR_INTERVAL_S = {how_far}
keeper.QUIET_S, keeper.TIDY_S = {quiet}, 1.0
sys.exit(lanes.run([{parts}], lanes={lanes}, seed=7))
"""

PASSING = "def test_it(): pass\n"
FAILING = "def test_it(): assert 'this' == 'that'\n"
# Starts what hears nothing, in a session of its own, orphaned, and says who it is.
LEAVING = """
import os, pathlib, subprocess, sys
SLEEP = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
START = '''
import subprocess, sys
nowhere = subprocess.DEVNULL
print(subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=nowhere).pid)
'''
def leave():
    sleeper = [sys.executable, "-c", SLEEP, "{mark}"]
    starter = [sys.executable, "-c", START, *sleeper]
    said = subprocess.run(starter, stdout=subprocess.PIPE, text=True, check=True).stdout
    pathlib.Path("{pids}").write_text(said)
"""
LEAVES = LEAVING + "def test_it(): leave()\n"
HANGS = LEAVING + "import time\ndef test_it():\n    leave()\n    time.sleep(600)\n"
# Deaf to Ctrl-C, too.
HANGS_DEAF = HANGS.replace("    leave()", "    deaf()\n    leave()") + (
    "import signal\ndef deaf(): signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
)


class Runner:
    """Parts of one test file each, and the process that runs them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parts: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def part(self, name: str, source: str, *, budget: float = 600) -> None:
        path = self._directory / f"test_{name}.py"
        filled = source.replace("{mark}", name).replace("{pids}", str(self._pids(name)))
        path.write_text(filled, "utf-8")
        self._parts.append(f"Part(name={name!r}, paths=({str(path)!r},), budget_s={budget})")

    def start(
        self, *, lanes: int = 2, quiet: float = ENDS_S, how_far: float = ENDS_S
    ) -> subprocess.Popen[str]:
        program = RUN.format(
            parts=", ".join(self._parts), lanes=lanes, quiet=quiet, how_far=how_far
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=outside_make(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self._process

    def run(self, *, lanes: int = 2, quiet: float = ENDS_S) -> tuple[int, str]:
        process = self.start(lanes=lanes, quiet=quiet)
        said, _ = process.communicate(timeout=ENDS_S)
        return process.returncode, said

    def left_by(self, name: str) -> list[int]:
        """The process that a part has left, if it came that far before it was ended."""
        path = self._pids(name)
        said = path.read_text("utf-8") if path.exists() else ""
        return [int(said)] if said.endswith("\n") else []

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _pids(self, name: str) -> Path:
        return self._directory / f"{name}.pids"


ORPHANS = """
import os, subprocess, time

def test_it():
    made = subprocess.run(
        ["sh", "-c", "sleep 0.1 > /dev/null & echo $!"], capture_output=True, text=True
    )
    until = time.monotonic() + 20.0
    while os.path.exists(f"/proc/{int(made.stdout)}"):
        assert time.monotonic() < until
        time.sleep(0.05)
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    made = Runner(tmp_path)
    yield made
    made.end()


def test_all_that_passes_is_told_in_a_table(runner: Runner) -> None:
    for name in ("first", "second", "third"):
        runner.part(name, PASSING)

    code, said = runner.run()

    assert code == 0, said
    assert [line.split()[1] for line in said.splitlines() if line.startswith("third")] == [
        "begins",
        "ok",
    ]
    assert said.count("1 passed") == 3
    assert "3 parts" in said
    assert "order 7" in said
    assert "OVER BUDGET" not in said


def test_one_failure_is_shown_whole_and_the_others_go_on(runner: Runner) -> None:
    runner.part("bad", FAILING)
    runner.part("good", PASSING)

    code, said = runner.run(lanes=1)

    assert code == 1
    assert "assert 'this' == 'that'" in said
    assert "good        ok" in said
    assert "failed: bad" in said


def test_a_part_with_no_tests_fails(runner: Runner) -> None:
    runner.part("empty", "")
    runner.part("good", PASSING)

    code, said = runner.run()

    assert code == 1
    assert "failed: empty" in said


def test_over_its_budget_a_part_is_told_and_passes(runner: Runner) -> None:
    runner.part("slow", PASSING, budget=0.001)
    runner.part("good", PASSING)

    code, said = runner.run()

    assert code == 0, said
    assert "OVER BUDGET: slow" in said


def test_one_part_alone_speaks_as_it_goes(runner: Runner) -> None:
    runner.part("alone", "def test_it(capfd):\n    with capfd.disabled(): print('now')\n")

    code, said = runner.run()

    assert code == 0, said
    assert "now" in said


def test_it_is_told_now_and_then_how_far_a_part_is(runner: Runner, tmp_path: Path) -> None:
    told = tmp_path / "told"
    waits = f"""
import pathlib, time
def test_it():
    while not pathlib.Path({str(told)!r}).exists():
        time.sleep(0.01)
"""
    runner.part("waits", waits)
    runner.part("good", PASSING)
    process = runner.start(how_far=0.2)
    assert process.stdout is not None

    for line in process.stdout:
        if line.startswith("waits       0% "):
            told.touch()

    assert process.wait(ENDS_S) == 0


def test_what_a_test_leaves_behind_is_named_and_gone(runner: Runner) -> None:
    runner.part("leaves", LEAVES)
    runner.part("good", PASSING)

    code, said = runner.run()

    assert code == 0, said
    [line] = [line for line in said.splitlines() if line.startswith("left behind")]
    assert line.endswith("leaves")
    [left] = runner.left_by("leaves")
    assert not _lives(left)


def test_what_has_ended_is_gone_though_its_parent_went_before(runner: Runner) -> None:
    runner.part("orphans", ORPHANS)

    code, said = runner.run()

    assert code == 0, said


def test_a_part_that_hangs_is_ended_with_all_that_it_started(runner: Runner) -> None:
    runner.part("hears", HANGS, budget=0.001)
    runner.part("deaf", HANGS_DEAF, budget=0.001)
    runner.part("good", PASSING)

    code, said = runner.run(lanes=3, quiet=ENDS_S / 8)

    assert code == 1
    assert "hears       HUNG" in said
    assert "deaf        HUNG" in said
    assert "good        ok" in said
    assert not any(_lives(pid) for name in ("hears", "deaf") for pid in runner.left_by(name))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("source", [HANGS, HANGS_DEAF], ids=["hears", "deaf"])
def test_however_the_runner_ends_nothing_of_its_parts_lives_on(
    runner: Runner, end: signal.Signals, source: str
) -> None:
    """Whoever loses patience kills what they started, and wants their machine back."""
    for name in ("one", "two"):
        runner.part(name, source)
    process = runner.start()
    _until(lambda: runner.left_by("one") and runner.left_by("two"))
    left = [*runner.left_by("one"), *runner.left_by("two")]
    kept = _descendants(process.pid)
    assert set(left) <= set(kept)

    process.send_signal(end)

    assert process.wait(ENDS_S) == (-signal.SIGKILL if end == signal.SIGKILL else 130)
    _until(lambda: not any(_lives(pid) for pid in kept))


def test_there_are_as_many_lanes_as_processors_and_two_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(EXISTING, raising=False)

    assert lanes_here() == min(2, len(os.sched_getaffinity(0)))


def test_parts_that_share_a_container_engine_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXISTING, "unix:///var/run/docker.sock")

    assert lanes_here() == 1


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text("ascii").split()):
                found += [child, *_descendants(child)]
    return found


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "XZ"


def _until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + ENDS_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
