"""Set-up from nothing but Python: whatever a target needs is there when this returns.

Nothing is installed that a lock does not name by hash, and nothing is done twice: a stamp remembers
what was installed, by the digest of everything that it was made from. Every failure is one sentence
that says what to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType, ModuleType

PYTHON_VERSION_MIN = (3, 11)
PYTHON_MINOR_KNOWN_MAX = 15
ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "set-up.json"
UNOBTAINABLE = CACHE / "unobtainable-programs"

LOCKS = {
    "run": ("server.txt", "build.txt"),
    "check": ("development.txt",),
    "test": ("development.txt",),
}
"""For each purpose, the locks beside this file; those of `test` hold all that `run` needs."""

PEERS = "peers"
"""The one purpose that has an environment of its own, `.cache/peers`, and no system package."""

APT_INSTALL = "apt-get install --no-install-recommends"
INSTALL_DEADLINE_S = 1800
REMINDER_INTERVAL_S = 15
SAID_LINES_MAX = 30


class SetUpFailedError(Exception):
    """One sentence that says what went wrong and what to do."""


def main(arguments: Sequence[str]) -> int:
    """Sets up for one of `LOCKS`, or for `PEERS`; returns the exit code."""
    if len(arguments) != 1 or arguments[0] not in {*LOCKS, PEERS}:
        sys.stderr.write(f"usage: python3 requirements/install.py {'|'.join(LOCKS)}|{PEERS}\n")
        return 2
    signal.signal(signal.SIGTERM, _end)
    try:
        require_python(arguments)
        with _alone():
            set_up(arguments[0])
    except SetUpFailedError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    except OSError as problem:
        sys.stderr.write(f"Set-up cannot go on: {problem}. Mend that and run the same again.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nSet-up was interrupted. The same command goes on from here.\n")
        return 130
    return 0


def require_python(arguments: Sequence[str]) -> None:
    """Goes on with a newer Python where this one is too old and there is one."""
    if sys.version_info >= PYTHON_VERSION_MIN:
        return
    for minor in range(PYTHON_MINOR_KNOWN_MAX, PYTHON_VERSION_MIN[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, __file__, *arguments])  # noqa: S606 - no shell is wanted
    found = ".".join(str(part) for part in sys.version_info[:2])
    install = _as_root("apt-get install python3.11 python3.11-venv")
    raise SetUpFailedError(
        f"Python {found} is too old: Callbroker needs 3.11 or newer. "
        f"Run `{install}` and the same command again."
    )


def set_up(purpose: str) -> None:
    """Makes ready what `purpose` needs; returns within a second where it already is."""
    screen = Screen(lively=sys.stdout.isatty())
    if purpose == PEERS:
        make_peers(screen)
        return
    make_system_programs(purpose, screen)
    if not environment_is_ready(purpose):
        with screen.step("Python environment") as step:
            make_environment(purpose, step.report)
    make_opa(screen)


def make_system_programs(purpose: str, screen: Screen) -> None:
    """Has apt install what is needed and not there, and says what this distribution has not.

    Raises:
        SetUpFailedError: What is needed cannot be installed here.
    """
    programs = _load(ROOT / "requirements" / "system_programs.py")
    needed = programs.absent(programs.NEEDED[purpose])
    wished = programs.absent(programs.WISHED[purpose])
    able = os.geteuid() == 0 and shutil.which("apt-get") is not None
    askable = {name for name in wished if able and name not in _unobtainable()}
    if needed and not able:
        command = f"{APT_INSTALL} {' '.join(programs.usual_packages(needed))}"
        raise SetUpFailedError(
            f"System packages are missing. Run `{_as_root(command)}` and the same command again."
        )
    if needed or askable:
        with screen.step("System packages") as step:
            step.note = ", ".join(_install_packages(programs, needed, askable))
        wished = programs.absent(wished)
        _write_unobtainable(wished if able else ())
    for name in sorted(wished):
        _print(f"  {programs.WITHOUT[name]}")


def _install_packages(
    programs: ModuleType, needed: Sequence[str], wished: Iterable[str]
) -> Sequence[str]:
    # Tests start an engine of their own: the package's need not start.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    _run(["apt-get", "--quiet", "update"], quiet)
    found = {name: programs.obtainable_package(name) for name in [*needed, *wished]}
    unknown = sorted(name for name in needed if found[name] is None)
    if unknown:
        raise SetUpFailedError(
            f"apt knows no package with {', '.join(unknown)}. Install it in another way (Docker's "
            "own packages have what an engine needs) and run the same again."
        )
    chosen = sorted({package for package in found.values() if package is not None})
    if chosen:
        _run([*APT_INSTALL.split(), "--quiet", "--yes", *chosen], quiet)
    return chosen


def make_environment(purpose: str, report: Callable[[str], None]) -> None:
    """Installs the locks of `purpose`, then the checkout itself, into `.venv`.

    Raises:
        SetUpFailedError: venv is missing here, or a package could not be had.
    """
    if _stamp().get("root") != str(ROOT):  # never made, half made, or made elsewhere and moved
        report("making")
        _make_venv(ENVIRONMENT)
        _write_stamp({})
    report("installing")
    _install_locks(ENVIRONMENT, LOCKS[purpose])
    _pip(ENVIRONMENT, "--no-index", "--no-deps", "--no-build-isolation", f"--editable={ROOT}")
    _write_stamp({**_stamp(), purpose: _digest(purpose)})


def make_peers(screen: Screen) -> None:
    """Installs what benchmarks compare with into `.cache/peers`, unless it is there.

    Raises:
        SetUpFailedError: venv is missing here, or a package could not be had.
    """
    lock = ROOT / "requirements" / "peers.txt"
    stamp = CACHE / PEERS / "set-up.json"
    wanted = json.dumps(
        {"root": str(ROOT), "lock": hashlib.sha256(lock.read_bytes()).hexdigest()}, indent=2
    )
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    with screen.step("Peers") as step:
        step.report("making")
        _make_venv(CACHE / PEERS)
        step.report("installing")
        _install_locks(CACHE / PEERS, [lock.name])
        stamp.write_text(wanted, "utf-8")


def environment_is_ready(purpose: str) -> bool:
    """Whether `.venv` was made here, from the locks as they are now."""
    stamp = _stamp()
    wide_enough = {_digest(purpose), _digest("test")}
    return stamp.get("root") == str(ROOT) and not wide_enough.isdisjoint(stamp.values())


def make_opa(screen: Screen) -> None:
    """Builds OPA into `.cache` where there is none of the right version.

    Raises:
        SetUpFailedError: It could not be built, or the environment names a wrong one.
    """
    opa_binary = _load(ROOT / "broker" / "policy" / "opa_binary.py")
    try:
        if opa_binary.find() is not None:
            return
        with screen.step(f"OPA {opa_binary.OPA_VERSION}") as step:
            opa_binary.install(CACHE / "opa" / opa_binary.OPA_VERSION, step.report)
            step.note = f"built from source; an opa {opa_binary.OPA_VERSION} on PATH spares this"
    except opa_binary.OpaBinaryError as problem:
        raise SetUpFailedError(str(problem)) from None


class Screen:
    """The list of what set-up is doing; empty where there is nothing to do."""

    def __init__(self, *, lively: bool) -> None:
        self._lively = lively
        self._headed = False

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Shows a step while it is under way, and its time once it is done."""
        if not self._headed:
            _print("Setting up, once; later starts take seconds")
            self._headed = True
        step = Step(title, lively=self._lively)
        with step.shown():
            yield step
        note = f"   {step.note}" if step.note else ""
        _print(f"{step.line('ready')}{note}")


class Step:
    """One step; its clock ticks on a terminal and says so now and then in a log."""

    def __init__(self, title: str, *, lively: bool) -> None:
        self.note = ""
        self._title = title
        self._doing = "started"
        self._lively = lively
        self._begun_s = time.monotonic()
        self._done = threading.Event()

    def report(self, doing: str) -> None:
        """Says what is under way now, in a word or two."""
        self._doing = doing

    def line(self, state: str) -> str:
        """The step, its state and the seconds since it began."""
        return f"  {self._title:<20} {state:<6}{time.monotonic() - self._begun_s:>4.0f} s"

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Keeps the line moving until the block ends."""
        ticking = threading.Thread(target=self._tick, daemon=True)
        ticking.start()
        try:
            yield
        finally:
            self._done.set()
            ticking.join()
            if self._lively:
                _print("\r\x1b[K", end="")

    def _tick(self) -> None:
        while not self._done.wait(1 if self._lively else REMINDER_INTERVAL_S):
            if self._lively:
                _print(f"\r\x1b[K{self.line(self._doing)}", end="")
            else:
                _print(self.line(self._doing))


def _unobtainable() -> set[str]:
    """Wished programs that apt had no package for: asking again would take seconds each time."""
    try:
        return set(UNOBTAINABLE.read_text("utf-8").split())
    except OSError:
        return set()


def _write_unobtainable(names: Iterable[str]) -> None:
    UNOBTAINABLE.write_text("\n".join(sorted(names)), "utf-8")


def _load(path: Path) -> ModuleType:
    """Loads a module by its path: nothing of the project is importable yet."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise SetUpFailedError(f"{path} is missing: this checkout is not whole.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two set-ups of one checkout take turns, and the second finds the first one's work."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "set-up.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _stamp() -> dict[str, str]:
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(made: dict[str, str]) -> None:
    STAMP.write_text(json.dumps({**made, "root": str(ROOT)}, indent=2) + "\n", "utf-8")


def _digest(purpose: str) -> str:
    made_from = [ROOT / "requirements" / name for name in LOCKS[purpose]]
    digest = hashlib.sha256()
    for path in (*made_from, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _make_venv(environment: Path) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python3.{sys.version_info[1]}-venv"
        raise SetUpFailedError(
            f"Python's venv is missing. Run `{_as_root(f'apt-get install {package}')}` "
            "and the same command again."
        )
    shutil.rmtree(environment, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(environment)])


def _install_locks(environment: Path, names: Iterable[str]) -> None:
    locks = [f"--requirement={ROOT / 'requirements' / name}" for name in names]
    # Compiling what is never imported would take a third of the time.
    hashed = ("--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile")
    _pip(environment, *hashed, *locks)


def _pip(environment: Path, *arguments: str) -> None:
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "install", "--quiet", "--no-input", *arguments])


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    try:
        ended = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        problem = f"took more than {INSTALL_DEADLINE_S} s"
        said: list[str] = []
    else:
        if ended.returncode == 0:
            return
        problem = "failed"
        said = ended.stdout.decode("utf-8", "replace").strip().splitlines()[-SAID_LINES_MAX:]
    raise SetUpFailedError(
        "\n  ".join([f"`{' '.join(command)}` {problem}. Mend that and run the same again.", *said])
    )


def _as_root(command: str) -> str:
    return command if os.geteuid() == 0 else f"sudo {command}"


def _print(text: str, end: str = "\n") -> None:
    sys.stdout.write(f"{text}{end}")
    sys.stdout.flush()


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
