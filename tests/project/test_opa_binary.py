"""Only an OPA of the pinned version is ever found; what is built is checked before it is kept."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.policy.opa_binary import OPA_VERSION
from tests.project.checkout import ROOT, run

INSTALL = """
import pathlib, signal, sys
from broker.policy.opa_binary import OpaBinaryError, install
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts without it
try:
    print(install(pathlib.Path(sys.argv[1]), lambda doing: print(doing, flush=True)))
except OpaBinaryError as problem:
    sys.exit(str(problem))
"""
PATIENCE_S = 60


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _opa(path: Path, version: str) -> Path:
    return _program(path, f"echo 'Version: {version}'")


def _go(path: Path, opa_version: str, *, before: str = "", version: str = "go1.99.0") -> Path:
    """A Go that answers for its version, and that builds an OPA of the version wanted."""
    return _program(
        path,
        f"""[ "$1" = env ] && {{ echo {version}; exit; }}
echo built >> "{path.parent}/builds"
{before}
mkdir -p "$GOBIN"
printf '#!/bin/sh\\necho Version: {opa_version}\\n' > "$GOBIN/opa"
chmod +x "$GOBIN/opa\"""",
    )


def _environment(*, path: Path, **more: str) -> dict[str, str]:
    return {"PATH": f"{path}{os.pathsep}/usr/bin{os.pathsep}/bin", **more}


def _where(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return run(sys.executable, "-m", "broker.policy.opa_binary", "where", environment=environment)


def _install(directory: Path, go: Path) -> "subprocess.CompletedProcess[str]":
    return run(sys.executable, "-c", INSTALL, directory, environment=_environment(path=go.parent))


def test_an_opa_on_path_is_taken_when_it_is_the_pinned_version(tmp_path: Path) -> None:
    opa = _opa(tmp_path / "opa", OPA_VERSION)

    assert _where(_environment(path=tmp_path)).stdout.strip() == str(opa)


@pytest.mark.parametrize("version", ["1.21.9", f"{OPA_VERSION}-dev", f"{OPA_VERSION}0", ""])
def test_an_opa_on_path_of_another_version_is_passed_over(tmp_path: Path, version: str) -> None:
    opa = _opa(tmp_path / "opa", version)

    assert str(opa) not in _where(_environment(path=tmp_path)).stdout


def test_an_explicit_choice_of_another_version_is_an_error_and_not_passed_over(
    tmp_path: Path,
) -> None:
    _opa(tmp_path / "opa", OPA_VERSION)
    wrong = _opa(tmp_path / "mine" / "opa", "1.21.9")

    answer = _where(_environment(path=tmp_path, CALLBROKER_OPA=str(wrong)))

    assert (answer.returncode, answer.stdout) == (1, "")
    assert f"{wrong}, which is OPA 1.21.9" in answer.stderr


def test_the_working_directory_is_not_searched(tmp_path: Path) -> None:
    """A folder that somebody else filled offers an engine that would allow everything."""
    planted = _opa(tmp_path / ".cache" / "opa" / OPA_VERSION / "opa", OPA_VERSION)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "policies").mkdir()

    environment = _environment(path=tmp_path / "empty", PYTHONPATH=str(ROOT))
    answer = run(
        sys.executable,
        "-m",
        "broker.policy.opa_binary",
        "where",
        cwd=tmp_path,
        environment=environment,
    )

    assert str(planted) not in answer.stdout


def test_what_was_built_is_kept_and_not_built_again(tmp_path: Path) -> None:
    go = _go(tmp_path / "go" / "go", OPA_VERSION)

    for _ in range(2):
        ended = _install(tmp_path / "opa", go)
        assert ended.stdout.splitlines()[-1] == str(tmp_path / "opa" / "opa"), ended.stderr

    assert (go.parent / "builds").read_text().count("built") == 1
    assert sorted(path.name for path in (tmp_path / "opa").iterdir()) == [".lock", "opa"]


def test_a_build_of_another_version_is_not_kept(tmp_path: Path) -> None:
    ended = _install(tmp_path / "opa", _go(tmp_path / "go" / "go", "1.22.1"))

    assert ended.returncode == 1
    assert "OPA 1.22.1" in ended.stderr
    assert not (tmp_path / "opa" / "opa").exists()


def test_a_failed_build_shows_what_it_said(tmp_path: Path) -> None:
    ended = _install(
        tmp_path / "opa",
        _go(tmp_path / "go" / "go", OPA_VERSION, before="echo checksum mismatch >&2; exit 1"),
    )

    assert ended.returncode == 1
    assert "checksum mismatch" in ended.stderr
    assert not (tmp_path / "opa" / "opa").exists()


def test_two_installations_at_once_build_once(tmp_path: Path) -> None:
    go = _go(tmp_path / "go" / "go", OPA_VERSION, before="sleep 0.5")

    together = [_start(tmp_path / "opa", go) for _ in range(2)]

    for process in together:
        out, complaint = process.communicate(timeout=PATIENCE_S)
        assert out.splitlines()[-1] == str(tmp_path / "opa" / "opa"), complaint
    assert (go.parent / "builds").read_text().count("built") == 1


def test_an_interrupted_build_leaves_no_compiler_running(tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    go = _go(
        tmp_path / "go" / "go",
        OPA_VERSION,
        before=f"sleep 300 & echo $! > {compiler}.part; mv {compiler}.part {compiler}; wait",
    )
    process = _start(tmp_path / "opa", go)
    _until(compiler.exists)

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)

    pid = int(compiler.read_text())
    _until(lambda: not _runs(pid))
    assert [path.name for path in (tmp_path / "opa").iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_swept_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "opa" / "build-left" / "cache").mkdir(parents=True)

    ended = _install(tmp_path / "opa", _go(tmp_path / "go" / "go", OPA_VERSION))

    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "opa" / "build-left").exists()


def _start(directory: Path, go: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", INSTALL, directory],
        cwd=ROOT,
        env=_environment(path=go.parent),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "this took too long"
        time.sleep(0.02)
