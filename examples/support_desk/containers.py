"""The desk's tools that run code and open documents: each call in a container of its own.

Where a container engine answers, the supplied tools' images are made on it once, and
`callbroker sandboxd` is started, the one process here that speaks to the engine. Where none does,
the desk goes on without these tools and says in a line what is missing. Nothing is half there.
"""

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.tools.registry import read_manifests

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".cache" / "support_desk"
USUAL_ENGINE = "unix:///var/run/docker.sock"
NONE = "none"
SCOPES = ("code:run", "documents:read")
# What the tools need of a base, and what the desk asks for beyond the supplied manifests: code has
# more room until strangers have spoken (the family `code`), and nobody waits long for a demo.
BASES = ("python", "shell")
TOOLS = ("run_python", "run_shell", "read_document")
_CODE = ("run_python", "run_shell")
_CODE_PROFILE = "compute"
_CODE_DEADLINE_S = 5
_CONNECT_S = 2.0
_MAKE_S = 900.0
_IN_THE_IMAGES = ("entry", "images", "tools")


class NoContainers(Exception):
    """These tools are not there; `str` says in a line what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A container engine that answers, with the tools' images on it."""

    url: str
    manifests: Sequence[Mapping[str, Any]]


def engine_named(given: str | None) -> str:
    """The one that was asked for, else the one that this machine's Docker client would use."""
    if given:
        return given
    inherited = os.environ.get("DOCKER_HOST", "")
    return inherited if inherited.startswith("unix://") else USUAL_ENGINE


def ready(url: str, *, told: Callable[[str], None]) -> Engine:
    """An engine with the tools' images, which are made where they are not there.

    Args:
        url: `unix:///…`, or `none`.
        told: gets a line on what takes long.

    Raises:
        NoContainers: with what is missing.
    """
    if url == NONE:
        raise NoContainers("none, as asked")
    _require_answer(url)
    directory = KEPT / _key(url)
    if not _are_there(url, directory):
        told("Making images for sandboxes, once: this takes minutes")
        _make(url, directory)
    return Engine(url=url, manifests=[_of_the_desk(document) for document in _read(directory)])


def settings(address: str) -> str:
    """What the broker is told."""
    return f'\n[sandboxes]\nnodes = ["{address}"]\n'


def _require_answer(url: str) -> None:
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(_CONNECT_S)
        try:
            asked.connect(url.removeprefix("unix://"))
        except PermissionError:
            raise NoContainers(
                f"none: this user may not use the container engine at {url}: sudo make run"
            ) from None
        except OSError:
            raise NoContainers(
                f"none: no container engine answers at {url}; "
                "run_python, run_shell and read_document need one: apt-get install docker.io"
            ) from None


def _key(url: str) -> str:
    """Changes with the engine, and with whatever goes into the images."""
    digest = hashlib.sha256(url.encode())
    for folder in _IN_THE_IMAGES:
        for path in sorted((ROOT / "sandboxes" / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _read(directory: Path) -> list[Mapping[str, Any]]:
    return [document for _, document in read_manifests(directory)]


def _has_base(url: str, base: str) -> bool:
    from sandboxes.engine import EngineRefused  # noqa: PLC0415 - an extra
    from sandboxes.images.layout import base_name  # noqa: PLC0415 - likewise
    from sandboxes.images.store import ImageStore  # noqa: PLC0415 - likewise

    with contextlib.suppress(EngineRefused), ImageStore(url) as store:
        store.image(base_name(base))
        return True
    return False


def _are_there(url: str, directory: Path) -> bool:
    if not all((directory / f"{tool}.yaml").is_file() for tool in TOOLS):
        return False
    from sandboxes.engine import EngineRefused, EngineUnavailable  # noqa: PLC0415 - an extra
    from sandboxes.images.store import ImageStore  # noqa: PLC0415 - likewise

    try:
        with ImageStore(url) as store:
            for document in _read(directory):
                store.image(document["sandbox"]["image"])
    except EngineRefused:
        return False
    except EngineUnavailable as lost:
        raise NoContainers(f"none: {lost}") from lost
    return True


def _make(url: str, directory: Path) -> None:
    """As an operator does it."""
    directory.mkdir(parents=True, exist_ok=True)
    for base in BASES:
        if not _has_base(url, base):
            _callbroker("images", "build", "--base", base, "--engine", url)
    for tool in TOOLS:
        _callbroker("build", tool, "--engine", url, "--out", str(directory))


def _callbroker(*words: str) -> None:
    command = [sys.executable, "-m", "broker.command", "sandbox", *words]
    done = subprocess.run(  # noqa: S603 - our own interpreter and command
        command, cwd=ROOT, capture_output=True, text=True, timeout=_MAKE_S, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise NoContainers(f"none: {' '.join(['callbroker sandbox', *words])}: {said[-1]}")


def _of_the_desk(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if document["name"] not in _CODE:
        return document
    asked = {**document["sandbox"], "profile": _CODE_PROFILE}
    return {**document, "sandbox": asked, "deadline_s": _CODE_DEADLINE_S}
