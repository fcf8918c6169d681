"""What operators do with a server's own tools: a dump of a database, and one put back."""

import subprocess
from pathlib import Path
from typing import Final

from tests.postgres import programs

DEADLINE_S: Final = 60.0


def dump(url: str, out: Path) -> Path:
    """A database as it is at one moment, into a file."""
    _run("pg_dump", "--format=custom", f"--file={out}", f"--dbname={url}")
    return out


def put_back(url: str, dumped: Path) -> None:
    """What a dump has, into a database that has nothing."""
    _run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url}", str(dumped))


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(programs() / program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
