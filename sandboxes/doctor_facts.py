"""Looks at this machine and its engine for `sandboxes.doctor`; changes nothing, and never hangs."""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from docker.errors import DockerException
from requests.exceptions import RequestException

from sandboxes.docker_client import SCHEME, client_at
from sandboxes.docker_words import cause, clean, limits_missing
from sandboxes.doctor import EngineReport, Facts, SocketFacts

ANSWER_DEADLINE_S: Final = 5
LSM_LIST: Final = Path("/sys/kernel/security/lsm")
WRITABLE_BY_GROUP: Final = 0o020


def look(url: str) -> Facts:
    """Everything that is judged.

    Args:
        url: of the engine's socket, `unix:///var/run/docker.sock`.
    """
    engine: EngineReport | None = None
    problem = ""
    try:
        engine = _ask(url)
    except (DockerException, RequestException, OSError) as error:
        problem = f"{url}: {cause(error)}"
    return Facts(
        engine=engine,
        problem=problem,
        socket=_socket(Path(url.removeprefix(SCHEME))) if url.startswith(SCHEME) else None,
        lsm=_lsm(),
        debootstrap=shutil.which("debootstrap", path=_administrators_path()) is not None,
    )


def _ask(url: str) -> EngineReport:
    client = client_at(url, timeout_s=ANSWER_DEADLINE_S)
    try:
        return report_of(client.info(), client.version())
    finally:
        client.close()


def report_of(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineReport:
    """What the answers to `GET /info` and `GET /version` say."""
    return EngineReport(
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        system=clean(str(info.get("OperatingSystem", ""))),
        architecture=str(info.get("Architecture", "")),
        kernel=clean(str(info.get("KernelVersion", ""))),
        runc=_build(info, version, "runc", "RuncCommit"),
        containerd=_build(info, version, "containerd", "ContainerdCommit"),
        default_runtime=str(info.get("DefaultRuntime", "")),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        security=tuple(info.get("SecurityOptions") or ()),
        cgroup_version=int(info.get("CgroupVersion") or 1),
        storage_driver=str(info.get("Driver", "")),
        live_restore=bool(info.get("LiveRestoreEnabled")),
        limits_missing=limits_missing(info),
        authorization_plugins=tuple((info.get("Plugins") or {}).get("Authorization") or ()),
        warnings=tuple(clean(str(warning)) for warning in info.get("Warnings") or ()),
    )


def _build(info: Mapping[str, Any], version: Mapping[str, Any], component: str, commit: str) -> str:
    """A part's version: Debian tells its whole build where upstream tells a commit."""
    told = next(
        (
            str(part.get("Version", ""))
            for part in version.get("Components") or ()
            if part.get("Name") == component
        ),
        "",
    )
    build = str((info.get(commit) or {}).get("ID", ""))
    return clean(build if told and build.startswith(told) else told or build)


def _socket(path: Path) -> SocketFacts | None:
    try:
        found = path.stat()
    except OSError:
        return None
    mode = stat.S_IMODE(found.st_mode)
    return SocketFacts(
        path=str(path),
        owner=_user_name(found.st_uid),
        group=_group_name(found.st_gid),
        mode=mode,
        members=_members(found.st_gid) if mode & WRITABLE_BY_GROUP else (),
    )


def _members(group: int) -> tuple[str, ...]:
    """Users of a group other than root: those it lists, and those whose first group it is."""
    try:
        listed = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        listed = set()
    first = {user.pw_name for user in pwd.getpwall() if user.pw_gid == group}
    return tuple(sorted((listed | first) - {"root"}))


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _lsm() -> tuple[str, ...]:
    try:
        return tuple(LSM_LIST.read_text("ascii").strip().split(","))
    except (OSError, ValueError):
        return ()


def _administrators_path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
