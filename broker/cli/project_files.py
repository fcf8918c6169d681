"""The files of a new project, as they lie in `project/`: nothing that is there is written over."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from broker.cli.failures import CommandFailed, ExitCode

_ADDRESS: Final = "@ADDRESS@"
_REVIEW: Final = "@REVIEW@"
_PORT_MAX: Final = 65_535
_STATE: Final = "state"
# Kept under other names, so that no tool takes them for files of this package.
_NAMES: Final = {
    "worker.py.txt": "worker.py",
    "agent.py.txt": "agent.py",
    "gitignore": ".gitignore",
}


@contextlib.contextmanager
def new_project(directory: Path, *, port: int) -> Iterator[None]:
    """Write the files; take them and the state directory away again where what follows fails.

    Args:
        directory: made where it is missing.
        port: where the broker will listen, on this machine alone; its pages have the next one.

    Raises:
        CommandFailed: one is there already, or they cannot be written.
    """
    files = project_files()
    present = sorted(name for name in (*files, _STATE) if (directory / name).exists())
    if present:
        raise CommandFailed(
            f"{directory} has {present[0]} already: choose a new directory.",
            exit_code=ExitCode.USAGE,
        )
    is_new = not directory.exists()
    try:
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_placed(text, port), encoding="utf-8")
        yield
    except BaseException as error:
        _take_away(directory, files, is_new=is_new)
        if isinstance(error, OSError):
            raise CommandFailed(f"{directory}: {error}", exit_code=ExitCode.USAGE) from error
        raise


def _placed(text: str, port: int) -> str:
    pages = port + 1 if port < _PORT_MAX else port - 1
    address, review = f"127.0.0.1:{port}", f"127.0.0.1:{pages}"
    return text.replace(_ADDRESS, address).replace(_REVIEW, review)


def _take_away(directory: Path, files: Iterable[str], *, is_new: bool) -> None:
    for name in files:
        (directory / name).unlink(missing_ok=True)
    shutil.rmtree(directory / _STATE, ignore_errors=True)
    if is_new:
        shutil.rmtree(directory, ignore_errors=True)


def project_files() -> dict[str, str]:
    """Path inside the project to text."""
    found: dict[str, str] = {}
    _collect(resources.files("broker.cli") / "project", "", found)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, str]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", found)
        else:
            name = f"{prefix}{_NAMES.get(entry.name, entry.name)}"
            found[name] = entry.read_text(encoding="utf-8")
