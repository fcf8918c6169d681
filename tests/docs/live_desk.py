"""A support desk that serves while a page's commands are run against it."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.desk_process import desk_process

COMMAND_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDesk:
    """What the desk said until it served, and where its commands are run."""

    said: str
    directory: Path
    environment: Mapping[str, str]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command as somebody would type it, standard error included in what it prints."""
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.directory,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )


@contextlib.contextmanager
def serving(directory: Path, *, engine: str = "none") -> Iterator[LiveDesk]:
    """Start it, wait until its agents are done, and stop it on leaving.

    Args:
        directory: where a page's commands are run.
        engine: of its containers, `unix:///…`; without any where left out.
    """
    state = directory / "desk"
    with desk_process(state, engine=engine) as (_, said):
        # What an auditor has from elsewhere.
        shutil.copy(state / "state" / "audit.pub", directory)
        shutil.copy(state / "state" / "checkpoints" / "heads.jsonl", directory)
        yield LiveDesk(said=said, directory=directory, environment=_environment(state))


def _environment(state: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CALLBROKER_")}
    return {
        **inherited,
        "CALLBROKER_CONFIG": str(state / "callbroker.toml"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "COLUMNS": "100",
        "TZ": "UTC",
    }
