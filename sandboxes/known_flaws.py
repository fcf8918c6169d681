"""Which releases of an engine's parts are known to be bad for sandboxes, as data with sources.

A row says in which release of each line a flaw was mended; a line that is not named, and is older
than the newest named one, was never mended. Distributions mend without a new release number: the
builds known to carry a fix are named one by one.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Part = Literal["runc", "containerd", "engine"]
Release = tuple[int, int, int, int]

_ADVISORY: Final = "https://github.com/{}/security/advisories/{}"
_NUMBERS: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?P<early>[-~]?(?:rc|beta|alpha))?")
_BUILD: Final = re.compile(r"(?P<build>.*\+deb\d+u)(?P<number>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One known flaw, or several that were mended together.

    Attributes:
        fixed: the first good release of each line of releases, oldest line first.
        carried_by: distribution's builds that are older and mended, as the engine names them;
            later builds of the same release count too.
        reachable: whether a tool in one of our containers could use it; else it needs what no
            caller of a sandbox chooses, and is a warning.
    """

    part: Part
    names: tuple[str, ...]
    said: str
    fixed: tuple[str, ...]
    carried_by: tuple[str, ...] = ()
    reachable: bool = False
    source: str


FLAWS: Final = (
    Flaw(
        part="runc",
        names=("CVE-2024-21626",),
        said="a descriptor of the host leaks into containers, and lets them out",
        fixed=("1.1.12", "1.2.0"),
        carried_by=("1.1.5+ds1-1+deb12u1",),
        reachable=True,
        source=_ADVISORY.format("opencontainers/runc", "GHSA-xr7r-f8xq-vfvv"),
    ),
    Flaw(
        part="runc",
        names=("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"),
        said="mounts that are raced or chosen by a stranger lead a starting container's writes "
        "to the host; no caller of a sandbox chooses a mount",
        fixed=("1.2.8", "1.3.3", "1.4.0"),
        source=_ADVISORY.format("opencontainers/runc", "GHSA-9493-h29p-rfm2"),
    ),
    Flaw(
        part="runc",
        names=("CVE-2026-41579",),
        said="needs a mount that a stranger chooses or races; no caller of a sandbox chooses one",
        fixed=("1.3.6", "1.4.3", "1.5.0"),
        source="https://security-tracker.debian.org/tracker/CVE-2026-41579",
    ),
    Flaw(
        part="containerd",
        names=("CVE-2024-40635",),
        said="a uid beyond 31 bits becomes root; ours are far below, images are linted",
        fixed=("1.6.38", "1.7.27", "2.0.4"),
        carried_by=("1.6.20~ds1-1+deb12u2",),
        source=_ADVISORY.format("containerd/containerd", "GHSA-265r-hfxg-fhmg"),
    ),
    Flaw(
        part="containerd",
        names=("CVE-2024-25621",),
        said="its directories are open to every user of this machine",
        fixed=("1.7.29", "2.0.7", "2.1.5", "2.2.0"),
        carried_by=("1.6.20~ds1-1+deb12u2",),
        source=_ADVISORY.format("containerd/containerd", "GHSA-pwhc-rpq9-4c8w"),
    ),
    Flaw(
        part="engine",
        names=("CVE-2024-29018",),
        said="names leak out of internal networks; a sandbox has no network at all",
        fixed=("23.0.11", "25.0.5", "26.0.0"),
        source=_ADVISORY.format("moby/moby", "GHSA-mq39-4gv4-mvpx"),
    ),
)


def flaws_of(part: Part, version: str) -> tuple[Flaw, ...]:
    """The known flaws of one part.

    Args:
        part: which.
        version: as the engine names it: "1.3.4", "v1.2.5-0-g59923ef", "1.1.5+ds1-1+deb12u1".

    Returns:
        Those that this build has; all of the part's where the version cannot be read.
    """
    return tuple(flaw for flaw in FLAWS if flaw.part == part and not _is_mended(flaw, version))


def _is_mended(flaw: Flaw, version: str) -> bool:
    release = release_of(version)
    if release is None:
        return False
    if any(_carries(version, build) for build in flaw.carried_by):
        return True
    fixes = [fix for fix in map(release_of, flaw.fixed) if fix is not None]
    of_this_line = [fix for fix in fixes if fix[:2] == release[:2]]
    return release >= (of_this_line[0] if of_this_line else fixes[-1])


def _carries(version: str, build: str) -> bool:
    """Whether this is the build, or a later one of the same release by the same distribution."""
    mine, theirs = _BUILD.fullmatch(version), _BUILD.fullmatch(build)
    if mine is None or theirs is None:
        return version == build
    return mine["build"] == theirs["build"] and int(mine["number"]) >= int(theirs["number"])


def release_of(version: str) -> Release | None:
    """Its numbers, to be compared; a pre-release comes before its release; None if unreadable."""
    found = _NUMBERS.match(version)
    if found is None:
        return None
    major, minor, patch = (int(number or 0) for number in found.groups()[:3])
    return major, minor, patch, -1 if found["early"] else 0
