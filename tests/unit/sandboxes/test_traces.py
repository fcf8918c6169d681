"""Traces of containers: what the engine lost sight of is ended, and nothing else is touched."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxes.traces import Traces

OURS, KEPT, STRANGER = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "containers"
    made.mkdir()
    return made


@pytest.fixture
def processes(tmp_path: Path) -> Path:
    """As proc(5): one process in each container, one in none, and what is no process."""
    made = tmp_path / "proc"
    for pid, cgroup in {
        "11": f"5:pids:/docker/{OURS}\n0::/\n",
        "12": f"0::/system.slice/docker-{OURS}.scope\n",
        "13": f"0::/docker/{KEPT}\n",
        "14": f"0::/docker/{STRANGER}\n",
        "1": "0::/init.scope\n",
        "self": f"0::/docker/{OURS}\n",
    }.items():
        (made / pid).mkdir(parents=True)
        (made / pid / "cgroup").write_text(cgroup)
    (made / "99").mkdir()
    (made / "uptime").touch()
    return made


def traces(
    directory: Path, processes: Path, end: Callable[[int, int], None] = lambda *_: None
) -> Traces:
    made = Traces(directory, processes=processes, end=end)
    made.note(OURS, "gone")
    made.note(KEPT, "kept")
    return made


def test_what_runs_under_an_id_that_nobody_owns_is_killed_and_nothing_else(
    directory: Path, processes: Path
) -> None:
    killed: list[tuple[int, int]] = []

    count = traces(directory, processes, lambda *one: killed.append(one)).end_lost({"kept"})

    assert sorted(killed) == [(11, signal.SIGKILL), (12, signal.SIGKILL)]
    assert count == 2


def test_a_trace_stays_until_nothing_runs_under_it(directory: Path, processes: Path) -> None:
    kept = traces(directory, processes)
    kept.end_lost({"kept"})
    after_first = {each.name for each in directory.iterdir()}
    for pid in ("11", "12"):
        (processes / pid / "cgroup").unlink()
    count = kept.end_lost({"kept"})

    assert after_first == {OURS, KEPT}
    assert count == 0
    assert {each.name for each in directory.iterdir()} == {KEPT}


@pytest.mark.parametrize("error", [PermissionError, ProcessLookupError])
def test_a_process_that_cannot_be_killed_keeps_no_other_from_it(
    directory: Path, processes: Path, error: type[OSError]
) -> None:
    tried: list[int] = []

    def refuse(pid: int, _: int) -> None:
        tried.append(pid)
        raise error

    traces(directory, processes, refuse).end_lost(())

    assert sorted(tried) == [11, 12, 13]
    assert OURS in {each.name for each in directory.iterdir()}


def test_a_dropped_trace_is_gone_and_dropping_it_again_is_no_error(
    directory: Path, processes: Path
) -> None:
    kept = traces(directory, processes)
    for _ in range(2):
        kept.drop(OURS)

    assert [each.name for each in directory.iterdir()] == [KEPT]


@pytest.mark.parametrize("odd", ["", "short", "../../etc/passwd", "A" * 64, f"{OURS}\n"])
def test_what_is_no_id_of_a_container_is_no_file(directory: Path, odd: str) -> None:
    kept = Traces(directory)
    kept.note(odd, "x")
    kept.drop(odd)

    assert list(directory.iterdir()) == []


def test_without_a_directory_nothing_is_kept() -> None:
    kept = Traces()
    kept.note(OURS, "x")

    assert kept.end_lost(()) == 0
