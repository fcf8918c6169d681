"""The tests' own engine obeys, and leaves nothing behind however its tests ended."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine import DATA_ROOTS, ROOT, OwnEngine, _locked
from tests.engine_api import EngineTrouble
from tests.engine_room import CGROUPS

END_DEADLINE_S = 20.0

STARTS_AN_ENGINE_AND_IS_KILLED = """
import os, signal
from tests.engine import OwnEngine
own = OwnEngine()
print(own.home.name, *own.processes(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _left_of(engine_name: str) -> list[Path]:
    return [
        path
        for path in (
            DATA_ROOTS / engine_name,
            *CGROUPS.glob(f"*/{engine_name}"),
            CGROUPS / engine_name,
        )
        if path.exists()
    ]


def test_an_engine_runs_a_container_and_leaves_no_process_file_or_cgroup(
    python_image_of,
) -> None:
    with OwnEngine() as own:
        made = own.ask(
            "POST",
            "/containers/create",
            {"Image": python_image_of(own), "Cmd": ["sleep", "600"],
             "HostConfig": {"NetworkMode": "none"}},
        )  # fmt: skip
        own.ask("POST", f"/containers/{made['Id']}/start")
        state = own.ask("GET", f"/containers/{made['Id']}/json")["State"]
        sleeping = own.host_pid(state["Pid"])
        assert b"sleep" in Path(f"/proc/{sleeping}/cmdline").read_bytes()
        processes = own.processes()
        assert sleeping in processes

    assert [pid for pid in processes if Path(f"/proc/{pid}").exists()] == []
    assert not own.home.exists()
    assert _left_of(own.home.name) == []


def test_an_engine_tells_of_a_kill_for_memory(container_engine, base_image) -> None:
    made = container_engine.ask(
        "POST",
        "/containers/create",
        {"Image": base_image, "Cmd": ["python3", "-c", "bytearray(256 << 20)"],
         "HostConfig": {"NetworkMode": "none", "Memory": 16 << 20, "MemorySwap": 16 << 20}},
    )  # fmt: skip
    at = f"/containers/{made['Id']}"
    try:
        container_engine.ask("POST", f"{at}/start")
        container_engine.ask("POST", f"{at}/wait")
        assert container_engine.ask("GET", f"{at}/json")["State"]["OOMKilled"]
    finally:
        container_engine.ask("DELETE", f"{at}?force=1&v=1")


def test_an_engine_hangs_dies_and_starts_again_as_told(own_engine: OwnEngine) -> None:
    own_engine.hang()
    assert not own_engine.answers(within_s=0.2)

    own_engine.resume()
    assert own_engine.answers()

    own_engine.kill()
    with pytest.raises(EngineTrouble):
        own_engine.ask("GET", "/_ping")

    own_engine.start()
    assert own_engine.answers()


def test_a_killed_run_leaves_no_process_and_the_next_one_sweeps_its_files() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STARTS_AN_ENGINE_AND_IS_KILLED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    name, *processes = ended.stdout.split()
    for pid in processes:
        _await_end(int(pid))

    with OwnEngine():
        end = time.monotonic() + END_DEADLINE_S
        while _left_of(name):  # another's engine that started meanwhile may be sweeping them
            assert time.monotonic() < end, _left_of(name)
            time.sleep(0.05)


def test_what_another_run_is_removing_is_left_to_it(tmp_path: Path) -> None:
    assert _locked(tmp_path / "removed" / "lock") is None


def _await_end(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], END_DEADLINE_S)[0], f"process {pid} lives on"
    finally:
        os.close(handle)
