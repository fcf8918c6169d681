"""A real container engine for tests: its own processes, data, network and cgroups, ended with them.

An `OwnEngine` lives in process, mount and network namespaces of its own whose first process
(`tests.engine_room`) ends when the tests' process does, so that a killed run leaves no process and
no mount; the files of such a run are swept by the next one. Nothing of an engine that this machine
has already is touched.
"""

import atexit
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

from tests.engine_api import ANSWER_DEADLINE_S, EXISTING, ContainerEngine, EngineTrouble

ROOT = Path(__file__).resolve().parents[1]
DATA_ROOTS = ROOT / ".cache" / "engines"
PREFIX = "callbroker-engine-"

START_DEADLINE_S = 90.0
STOP_DEADLINE_S = 20.0
POLL_INTERVAL_S = 0.05
LOG_TAIL_CHARACTERS = 3000

PROGRAMS = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "unshare": "util-linux",
}
"""What an engine of our own needs on PATH, each with its Debian package."""

GVISOR_ARGUMENTS = ["--platform=ptrace", "--network=none"]
"""Debian's build knows no other platform that works everywhere, and takes the network namespaces
of newer kernels for the host's; no profile with gVisor has a network."""


class OwnEngine(ContainerEngine):
    """An engine that is ours to stop, kill, hang and start again; a context manager.

    Its processes have numbers of their own inside: `host_pid` translates.
    """

    def __init__(self) -> None:
        _require()
        stale = _sweep()
        self.home = Path(tempfile.mkdtemp(prefix=PREFIX))
        super().__init__(self.home / "engine.sock")
        self.data_root = DATA_ROOTS / self.home.name
        self.cgroup = f"/{self.home.name}"
        self.log = self.home / "log"
        self._lock = _locked(self.home / "lock")
        assert self._lock is not None
        self._room: subprocess.Popen[str] | None = None
        atexit.register(self.close)
        try:
            self._open_room()
            self._tell({"do": "remove_cgroups", "names": stale})
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the engine and returns when it answers.

        Raises:
            EngineTrouble: it ended, or did not answer in time; with the end of its log.
        """
        self._tell({"do": "start"})
        deadline_s = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline_s:
            code = self._tell({"do": "poll"})["code"]
            if code is not None:
                raise EngineTrouble(f"dockerd ended with {code}:\n{self.said()}")
            if self.answers():
                return
            time.sleep(POLL_INTERVAL_S)
        raise EngineTrouble(f"dockerd did not answer in {START_DEADLINE_S:.0f} s:\n{self.said()}")

    def stop(self) -> None:
        """Ends the engine as an operator would: SIGTERM, which ends its containers too."""
        self._signal(signal.SIGTERM)
        self._await_end()

    def kill(self) -> None:
        """SIGKILL to the engine alone; its containers live on without it."""
        self._signal(signal.SIGKILL)
        self._await_end()

    def restart(self) -> None:
        """Stops and starts it: whoever held a stream has lost it."""
        self.stop()
        self.start()

    def hang(self) -> None:
        """The engine stops answering, connections stay open (SIGSTOP)."""
        self._signal(signal.SIGSTOP)
        process = self.host_pid(self._tell({"do": "poll"})["engine"])
        deadline_s = time.monotonic() + STOP_DEADLINE_S
        while any(state != "T" for state in _thread_states(process)):  # stops one by one
            if time.monotonic() > deadline_s:
                raise EngineTrouble(f"dockerd did not stop in {STOP_DEADLINE_S:.0f} s")
            time.sleep(POLL_INTERVAL_S)

    def resume(self) -> None:
        """It goes on from where `hang` stopped it."""
        self._signal(signal.SIGCONT)

    def answers(self, within_s: float = 2.0) -> bool:
        """Whether it answers a ping."""
        try:
            self.ask("GET", "/_ping", deadline_s=within_s)
        except EngineTrouble:
            return False
        return True

    def said(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return self.log.read_text("utf-8", "replace")[-LOG_TAIL_CHARACTERS:]
        return ""

    def processes(self) -> list[int]:
        """Host's process ids of all that lives in its namespaces: engine, shims, containers."""
        assert self._room is not None
        namespace = _namespace(_first_child(self._room.pid))
        pids = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
        # A container has a namespace of its own, below ours: count both by the parents' chain.
        inside = {pid for pid in pids if _namespace(pid) == namespace}
        while True:
            more = {pid for pid in pids if pid not in inside and _parent(pid) in inside}
            if not more:
                return sorted(inside)
            inside |= more

    def host_pid(self, pid: int) -> int:
        """The host's number of a process that the engine names, as in a container's State.Pid.

        Raises:
            EngineTrouble: there is no such process.
        """
        depth = len(_numbers(os.getpid()))  # where the engine's own numbers stand (proc(5), NSpid)
        for candidate in self.processes():
            if _numbers(candidate)[depth : depth + 1] == [pid]:
                return candidate
        raise EngineTrouble(f"No process of the engine has the number {pid}.")

    def close(self) -> None:
        """Ends all that is in there and removes its files and cgroups. Twice is harmless."""
        atexit.unregister(self.close)
        if self._room is not None:
            with contextlib.suppress(EngineTrouble):  # its own end does the same but for cgroups
                self._tell({"do": "end"})
                self._tell({"do": "remove_cgroups", "names": [self.home.name]})
            room, self._room = self._room, None
            _end(room)
        _remove(self.home.name)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open_room(self) -> None:
        self.data_root.mkdir(mode=0o711, parents=True)
        settings = self.home / "daemon.json"
        settings.write_text(json.dumps(self._settings(), indent=2), "utf-8")
        room = Path(__file__).with_name("engine_room.py")
        wanted = ["dockerd", f"--config-file={settings}"]
        namespaces = ["--pid", "--mount", "--net", "--fork", "--kill-child=SIGKILL"]
        inside = [sys.executable, "-I", str(room), str(self.data_root), str(self.log), *wanted]
        with self.log.open("ab") as heard:
            self._room = subprocess.Popen(
                ["unshare", *namespaces, "--", *inside],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=heard,
                text=True,
                bufsize=1,
                start_new_session=True,  # Ctrl-C is ours to hear
            )
        self.storage_driver = self._heard()["driver"]

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "hosts": [self.url],
            "data-root": str(self.data_root),
            "exec-root": str(self.home / "exec"),
            "pidfile": str(self.home / "pid"),
            "cgroup-parent": self.cgroup,
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "bridge": "none",
            "iptables": False,
            "ip-forward": False,
            "userland-proxy": False,
            "shutdown-timeout": 5,
            "log-level": "warn",
        }
        gvisor = shutil.which("runsc")
        if gvisor:
            settings["runtimes"] = {"runsc": {"path": gvisor, "runtimeArgs": GVISOR_ARGUMENTS}}
        return settings

    def _signal(self, number: signal.Signals) -> None:
        self._tell({"do": "signal", "signal": number.value})

    def _await_end(self) -> None:
        deadline_s = time.monotonic() + STOP_DEADLINE_S
        while self._tell({"do": "poll"})["code"] is None:
            if time.monotonic() > deadline_s:
                raise EngineTrouble(f"dockerd did not end in {STOP_DEADLINE_S:.0f} s")
            time.sleep(POLL_INTERVAL_S)

    def _tell(self, told: Mapping[str, Any]) -> dict[str, Any]:
        assert self._room is not None, "the engine was closed"
        assert self._room.stdin is not None
        try:
            self._room.stdin.write(json.dumps(told) + "\n")
            self._room.stdin.flush()
        except BrokenPipeError:
            raise EngineTrouble(f"The engine's room is gone:\n{self.said()}") from None
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._room is not None
        assert self._room.stdout is not None
        ready, _, _ = select.select([self._room.stdout], [], [], ANSWER_DEADLINE_S)
        line = self._room.stdout.readline() if ready else ""
        if not line:
            raise EngineTrouble(f"The engine's room could not be made:\n{self.said()}")
        heard: dict[str, Any] = json.loads(line)
        return heard


def _require() -> None:
    missing = sorted({package for name, package in PROGRAMS.items() if shutil.which(name) is None})
    if missing:
        raise EngineTrouble(
            f"Tests of sandboxes start an engine of their own: as root, run `apt-get install "
            f"--no-install-recommends {' '.join(missing)}`, or name one that runs in {EXISTING}."
        )
    if os.geteuid() != 0:
        raise EngineTrouble(
            "Tests of sandboxes start an engine of their own, and only root can: run "
            f"`sudo make test`, or name one that runs in {EXISTING}=unix:///var/run/docker.sock."
        )


def _sweep() -> list[str]:
    """Removes files that killed runs have left; returns whose. What is locked is in use."""
    swept: list[str] = []
    for data_root in DATA_ROOTS.iterdir() if DATA_ROOTS.is_dir() else ():
        home = Path(tempfile.gettempdir()) / data_root.name
        lock = _locked(home / "lock") if home.exists() else None
        if lock is not None or not home.exists():
            _remove(data_root.name)
            swept.append(data_root.name)
        if lock is not None:
            lock.close()
    return swept


def _locked(path: Path) -> BinaryIO | None:
    """The file, locked for as long as it is open; None where another has it, or removes it now."""
    try:
        handle = path.open("ab")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def _end(room: subprocess.Popen[str]) -> None:
    """Returns when every process of the room has ended: the kernel ends them with the first."""
    for pipe in (room.stdin, room.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        room.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        room.kill()
        room.wait()


def _remove(name: str) -> None:
    """The files of one engine whose processes have ended."""
    shutil.rmtree(DATA_ROOTS / name, ignore_errors=True)
    shutil.rmtree(Path(tempfile.gettempdir()) / name, ignore_errors=True)


def _first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()[0])


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def _numbers(pid: int) -> list[int]:
    """A process's number in each of its namespaces, outermost first; empty once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return []
    line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
    return [int(number) for number in line.split()[1:]]


def _thread_states(pid: int) -> list[str]:
    """The state letter of each thread (proc(5)); T is stopped by a signal."""
    stats = [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]
    return [stat.read_text("utf-8").rpartition(")")[2].split()[0] for stat in stats]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
