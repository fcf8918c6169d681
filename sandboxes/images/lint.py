"""What an image may not bring along: everything that a container gets comes from its profile alone.

An image is only files. What it would like to have (a volume, a health check, an entry point, an
environment for the loader) is refused here, before a container is ever made from it, because the
engine would give it.
"""

import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sandboxes.engine import ImageFacts
from sandboxes.images.layout import (
    BASE_LABEL,
    ENTRY_PATH,
    ENTRYPOINT,
    INTERPRETER,
    LABEL,
    TOOL_PATH,
    UID,
    WORK_DIRECTORY,
)

SHOWN_MAX: Final = 5
_ENVIRONMENT: Final = frozenset({"PATH", "LANG", "HOME"})
# Go's name of an architecture → the kernel's.
_ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_OURS: Final = "/callbroker"


def findings(
    image: ImageFacts,
    modes: Sequence[tuple[str, int]],
    *,
    architecture: str = "",
    base: bool = False,
) -> tuple[str, ...]:
    """Why an image may not run, one sentence each; empty where it may.

    Args:
        image: as the engine has it.
        modes: absolute path and `st_mode` (kind and permission bits, as of stat(2)) of every file.
        architecture: the engine's, as `uname -m` says it; empty leaves it unchecked.
        base: of an image that tools are built on: it has no tool and no entry point yet.
    """
    found = [
        *_of_configuration(image.config),
        *_of_labels(image.labels, base=base),
        *([] if base else _of_entry_point(image.config)),
        *_of_architecture(image.architecture, architecture),
        *_of_modes(modes),
        *_of_what_must_be_there({_absolute(path) for path, _ in modes}, base=base),
    ]
    return tuple(found)


def kernels_name(architecture: str) -> str:
    """An architecture as `uname -m` says it: "x86_64" for Go's "amd64"."""
    return _ARCHITECTURES.get(architecture, architecture)


def _of_configuration(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("Volumes"):
        yield f"It declares volumes ({_some(sorted(config['Volumes']))}): they outlive a container."
    check = config.get("Healthcheck") or {}
    if check.get("Test") not in (None, [], ["NONE"]):
        yield "It has a HEALTHCHECK: the engine would start it beside every tool."
    if config.get("OnBuild"):
        yield "It has ONBUILD steps: they would run in whatever is built on it."
    if config.get("Cmd"):
        yield "It has a CMD: what runs is fixed by its entry point alone."
    if config.get("ExposedPorts"):
        yield "It exposes ports: a sandbox has no network."
    if config.get("StopSignal") not in (None, "", "SIGKILL", "SIGTERM"):
        yield "It sets a STOPSIGNAL."
    user = str(config.get("User") or "")
    if _is_root(user):
        yield f"Its user is root: say USER {UID}; each container gets a uid of its own anyway."
    work = str(config.get("WorkingDir") or "")
    if work != WORK_DIRECTORY:
        yield f"Its WORKDIR is {work!a}, not {WORK_DIRECTORY}: /proc/self/fd/… leads out."
    odd = sorted({str(e).partition("=")[0] for e in config.get("Env") or ()} - _ENVIRONMENT)
    if odd:
        allowed = ", ".join(sorted(_ENVIRONMENT))
        yield f"Its environment sets {_some(odd)}: it may set {allowed} alone."


def _is_root(user: str) -> bool:
    name = user.partition(":")[0].strip()
    return name in {"", "root"} or (name.isdecimal() and int(name) == 0)


def _of_labels(labels: Mapping[str, str], *, base: bool) -> Iterator[str]:
    if base and not labels.get(BASE_LABEL):
        yield f"It lacks the label {BASE_LABEL}: `callbroker sandbox images build` sets it."
    if not base and labels.get(LABEL) != "1":
        yield f"It lacks the label {LABEL}=1: `callbroker sandbox build` sets it."


def _of_entry_point(config: Mapping[str, Any]) -> Iterator[str]:
    if tuple(config.get("Entrypoint") or ()) != ENTRYPOINT:
        yield f"Its ENTRYPOINT is not {' '.join(ENTRYPOINT)}."


def _of_architecture(own: str, engine: str) -> Iterator[str]:
    named = kernels_name(own)
    if engine and named != engine:
        yield f"It was made for {named or 'an unnamed architecture'}, and the engine's is {engine}."


def _of_modes(modes: Sequence[tuple[str, int]]) -> Iterator[str]:
    rules: tuple[tuple[Callable[[str, int], bool], str], ...] = (
        (_raises_privileges, "are setuid or setgid"),
        (_is_device, "are devices"),
        (_is_writable_by_all, "may be written by everybody"),
        (_is_pipe_or_socket, "are pipes or sockets"),
        (_leaves_the_tree, "are not plain absolute paths"),
    )
    for breaks, how in rules:
        broken = [path for path, mode in modes if breaks(path, mode)]
        if broken:
            yield f"{_count(len(broken))} {how}: {_some(broken)}."


def _raises_privileges(_: str, mode: int) -> bool:
    # On a directory setgid hands a group to what is made in it, which raises nobody.
    return not stat.S_ISDIR(mode) and bool(mode & (stat.S_ISUID | stat.S_ISGID))


def _is_device(_: str, mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _is_pipe_or_socket(_: str, mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _is_writable_by_all(path: str, mode: int) -> bool:
    if stat.S_ISLNK(mode) or path.rstrip("/") == WORK_DIRECTORY:  # the profile mounts over that
        return False
    if path.startswith(("/dev/", "/proc/", "/sys/")):  # likewise
        return False
    ours = path == _OURS or path.startswith(f"{_OURS}/")
    return bool(mode & (stat.S_IWOTH | (stat.S_IWGRP if ours else 0)))


def _leaves_the_tree(path: str, _: int) -> bool:
    return not path.startswith("/") or ".." in path.split("/") or "\0" in path


def _of_what_must_be_there(paths: set[str], *, base: bool) -> Iterator[str]:
    needed = (INTERPRETER,) if base else (INTERPRETER, ENTRY_PATH, TOOL_PATH)
    for path in needed:
        if path not in paths:
            yield f"{path} is missing."


def _absolute(path: str) -> str:
    return "/" + path.strip("/")


def _count(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _some(names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN_MAX else ""
    return ", ".join(ascii(n)[1:-1] for n in names[:SHOWN_MAX]) + more
