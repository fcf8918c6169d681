"""A Python root for tests of containers: made once by debootstrap, kept in `.cache`, then imported.

The name of what is kept is a digest of how it was made, so that a changed recipe is made again.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.engine import ROOT
from tests.engine_api import ContainerEngine, EngineTrouble

KEPT = ROOT / ".cache" / "sandboxes"
RELEASE = "bookworm"
RECIPE = ["debootstrap", "--variant=minbase", "--include=python3", RELEASE]
LEFT_OUT = ["./var/cache/apt", "./var/lib/apt/lists", "./usr/share/doc", "./usr/share/locale"]
LABEL = "callbroker.test=1"
BUILD_DEADLINE_S = 900
SAID_CHARACTERS_MAX = 2000


def python_root() -> Path:
    """A tar of a Debian root with python3 and no setuid program; made where there is none.

    Raises:
        EngineTrouble: debootstrap is missing, or could not.
    """
    recipe = json.dumps([RECIPE, LEFT_OUT]).encode()
    kept = KEPT / f"python-root-{hashlib.sha256(recipe).hexdigest()[:12]}.tar"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "python-root.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not kept.exists():
            _make(kept)
    return kept


def import_python(engine: ContainerEngine) -> str:
    """The id of that root as an image of this engine, imported where it is not there."""
    with contextlib.suppress(EngineTrouble):
        return str(engine.ask("GET", "/images/callbroker-test-python:latest/json")["Id"])
    with python_root().open("rb") as tar:
        digest = engine.import_root(tar, f"LABEL {LABEL}", "ENV PATH=/usr/bin:/bin LANG=C.UTF-8")
    engine.ask("POST", f"/images/{digest}/tag?repo=callbroker-test-python&tag=latest")
    return digest


def _make(kept: Path) -> None:
    if shutil.which("debootstrap") is None:
        raise EngineTrouble("Run `apt-get install debootstrap` as root: images are made with it.")
    if os.geteuid() != 0:
        raise EngineTrouble("Images are made with debootstrap, which only root can run.")
    with tempfile.TemporaryDirectory(prefix="callbroker-root-") as made_in:
        root = Path(made_in) / "root"
        _run([*RECIPE, str(root)])
        _run(["find", str(root), "-xdev", "-perm", "/6000", "-exec", "chmod", "a-s", "{}", "+"])
        part = kept.with_suffix(".part")
        left_out = [f"--exclude={path}/*" for path in LEFT_OUT]
        _run(["tar", "--numeric-owner", "--one-file-system", *left_out,
              "-C", str(root), "-cf", str(part), "."])  # fmt: skip
        part.replace(kept)


def _run(command: list[str]) -> None:
    ended = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=BUILD_DEADLINE_S,
    )
    if ended.returncode != 0:
        said = ended.stdout.decode("utf-8", "replace")[-SAID_CHARACTERS_MAX:]
        raise EngineTrouble(f"`{' '.join(command)}` failed: {said}")
