"""Which programs no wheel brings, and which Debian package has each; Ubuntu names them alike.

A name that starts with a slash is a file. Like the installer this needs nothing but Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ASK_DEADLINE_S = 120

# What pages are set in where tests open and picture them; a browser brings no typeface.
_INTER = "/usr/share/fonts/opentype/inter/Inter-Regular.otf"
_MONO = "/usr/share/fonts/truetype/jetbrains-mono/JetBrainsMono-Regular.ttf"
_DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"

PACKAGES: dict[str, tuple[str, ...]] = {
    "git": ("git",),
    "dockerd": ("docker.io",),
    "docker": ("docker-cli", "docker.io"),  # a package of its own from Debian 13 on
    "containerd": ("containerd",),
    "runc": ("runc",),
    "debootstrap": ("debootstrap",),
    "gcc": ("gcc",),
    "/usr/include/stdio.h": ("libc6-dev",),
    "/usr/share/keyrings/debian-archive-keyring.gpg": ("debian-archive-keyring",),
    "ps": ("procps",),  # the engine lists a container's processes by it
    "chromium": ("chromium",),
    "pg_createcluster": ("postgresql",),  # the server's own programs lie in a folder of its version
    _INTER: ("fonts-inter",),
    _MONO: ("fonts-jetbrains-mono",),
    _DEJAVU: ("fonts-dejavu-core",),
    "runsc": ("runsc",),
    "busybox": ("busybox-static",),
}
"""For each program its packages: the first that apt knows is installed."""

_CHECK = ("git",)
_ENGINE = (
    "dockerd",
    "docker",
    "containerd",
    "runc",
    "debootstrap",
    "gcc",
    "/usr/include/stdio.h",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "ps",
)
_BROWSER = ("chromium", _DEJAVU)
_DATABASE = ("pg_createcluster",)

NEEDED: dict[str, tuple[str, ...]] = {
    "run": (),
    "check": _CHECK,
    "test": (*_CHECK, *_ENGINE, *_BROWSER, *_DATABASE),
}
"""What each purpose of set-up cannot do without. Tests start a container engine and a PostgreSQL
server of their own, and a browser on pages of theirs."""

WISHED: dict[str, tuple[str, ...]] = {
    "run": (),
    "check": (),
    "test": ("runsc", "busybox", _INTER, _MONO),
}
"""What it takes where the distribution has it; every set-up says aloud what is not there."""

WITHOUT = {
    "runsc": "NOT TESTED: gVisor. No package of this distribution has runsc; put it on PATH.",
    "busybox": "NOT TESTED: what needs a static busybox. No package of this distribution has it.",
    _INTER: "NOT SEEN in Inter: pages. No package of this distribution has it; another stands in.",
    _MONO: "NOT SEEN in JetBrains Mono: pages. No package of this distribution has it.",
}


def absent(names: Iterable[str]) -> tuple[str, ...]:
    """Those that are neither on PATH nor, where a file is named, there."""
    return tuple(
        name
        for name in names
        if not (Path(name).exists() if name.startswith("/") else _is_on_path(name))
    )


def usual_packages(names: Iterable[str]) -> Sequence[str]:
    """The packages to name to somebody who installs them by hand."""
    return sorted({PACKAGES[name][-1] for name in names})


def obtainable_package(name: str) -> str | None:
    """The first package of this program that apt could install; None where it knows none."""
    for package in PACKAGES[name]:
        known = subprocess.run(
            ["apt-cache", "--quiet", "show", "--no-all-versions", package],
            check=False,
            capture_output=True,
            timeout=ASK_DEADLINE_S,
        )
        if known.returncode == 0 and known.stdout.strip():
            return package
    return None


def _is_on_path(program: str) -> bool:
    """Whether it is on PATH, or where only root's PATH looks."""
    usual = os.environ.get("PATH", os.defpath)
    return shutil.which(program, path=f"{usual}:/usr/sbin:/sbin") is not None
