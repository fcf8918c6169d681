"""A base image's files from a Debian or Ubuntu archive, where no registry is reachable.

The packages are checked by the archive's own signatures; what is left out afterwards is `tree`'s.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sandboxes.images.programs import output_of
from sandboxes.images.refusals import BuildRefused

DEADLINE_S: Final = 1_800
_OS_RELEASE: Final = Path("/etc/os-release")
_COMPONENTS: Final = {"debian": "main", "ubuntu": "main,universe"}
_FALLBACK: Final = ("debian", "bookworm")
_LOG_CHARACTERS: Final = 1_500


def make_tree(target: Path, *, packages: Sequence[str], release: str = "", mirror: str = "") -> str:
    """Install packages into a directory of its own and write that as a tar.

    Args:
        target: the tar; must not be there yet.
        packages: beyond those that every system has.
        release: bookworm, noble, …; empty for this machine's own.
        mirror: URL of an archive; empty for the one that this machine installs from, if it is of
            that release, else debootstrap's default.

    Returns:
        The release.

    Raises:
        BuildRefused: debootstrap is missing, not root's, or failed.
    """
    program = shutil.which("debootstrap", path=_search_path())
    if program is None:
        raise BuildRefused("debootstrap is not installed: apt-get install debootstrap")
    if os.geteuid() != 0:
        raise BuildRefused("debootstrap makes a system's files and needs root: run this with sudo")
    kind, own_release = _this_system()
    chosen = release or own_release
    archive = mirror or (_own_mirror(chosen) if chosen == own_release else "")
    with tempfile.TemporaryDirectory(prefix="callbroker-base-") as root:
        command = [
            program,
            "--variant=minbase",
            f"--components={_COMPONENTS[kind if chosen == own_release else 'debian']}",
            f"--include={','.join(packages)}",
            chosen,
            root,
            *([archive] if archive else []),
        ]
        _run(command)
        with tarfile.open(target, "x") as tar:
            tar.add(root, arcname=".")
    return chosen


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "PATH": _search_path(), "LC_ALL": "C.UTF-8"}
    code, said = output_of(
        command, name="debootstrap", environment=environment, deadline_s=DEADLINE_S
    )
    if code != 0:
        last = said[-_LOG_CHARACTERS:].splitlines()[-10:]
        raise BuildRefused("debootstrap failed", findings=tuple(last))


def _search_path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _this_system() -> tuple[str, str]:
    """Kind and release of this machine's own system, or of one that debootstrap always knows."""
    if not _OS_RELEASE.is_file():
        return _FALLBACK
    told = dict(
        line.partition("=")[::2] for line in _OS_RELEASE.read_text().splitlines() if "=" in line
    )
    kind = told.get("ID", "").strip('"')
    release = told.get("VERSION_CODENAME", "").strip('"')
    return (kind, release) if kind in _COMPONENTS and release else _FALLBACK


def _own_mirror(release: str) -> str:
    """Where this machine's apt installs a release from; empty where it does not say."""
    program = shutil.which("apt-get", path=_search_path())
    if program is None:
        return ""
    ended = subprocess.run(  # noqa: S603 - no shell, and words of our own
        [
            program,
            "indextargets",
            "--format",
            "$(REPO_URI)",
            f"Codename: {release}",
            "Created-By: Packages",
            "Component: main",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return next(iter(ended.stdout.decode(errors="replace").split()), "")
