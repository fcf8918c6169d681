"""The checkout as tests of the project see it: its files are those that git has or would take."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND_DEADLINE_S = 300


def run(
    *command: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs a command that nobody answers; the caller judges its exit code."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=outside_make() if environment is None else environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE_S,
        check=False,
    )


def outside_make() -> dict[str, str]:
    """The environment without what an enclosing `make` tells its children."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "GIT_DIR", "GIT_INDEX_FILE"))
    }


def tracked() -> list[Path]:
    """Every file of the project, new ones included, ignored ones not."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    assert listed.returncode == 0, listed.stderr
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return sorted({path for path in paths if path.is_file()})


def tracked_texts() -> list[tuple[str, str]]:
    """The path from the root and the text of each file that is text."""
    texts: list[tuple[str, str]] = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content:
            texts.append((str(path.relative_to(ROOT)), content.decode("utf-8", "replace")))
    return texts
