"""The doctor refuses what lets a tool out, warns of what weakens, and names what mends each."""

import dataclasses

import pytest

from sandboxes.doctor import EngineReport, Facts, Level, SocketFacts, findings, worst
from sandboxes.doctor_facts import report_of

GOOD_ENGINE = EngineReport(
    version="28.2.2",
    api_version="1.50",
    system="Debian GNU/Linux 13 (trixie)",
    architecture="x86_64",
    kernel="6.12.41+deb13-amd64",
    runc="1.5.0",
    containerd="2.2.0",
    default_runtime="runc",
    runtimes=("runc", "runsc"),
    security=("name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"),
    cgroup_version=2,
    storage_driver="overlay2",
    live_restore=False,
    limits_missing=(),
)
OPEN_TO_THE_NETWORK = (
    "[DEPRECATION NOTICE]: API is accessible on http://0.0.0.0:2375 without encryption. "
    "Access to the remote API is equivalent to root access on the host."
)
GOOD_SOCKET = SocketFacts(path="/run/docker.sock", owner="root", group="docker", mode=0o660)
GOOD = Facts(engine=GOOD_ENGINE, socket=GOOD_SOCKET, lsm=("apparmor",), debootstrap=True)


def _with(**changed):
    return dataclasses.replace(GOOD, engine=dataclasses.replace(GOOD_ENGINE, **changed))


def _bad(facts):
    return {(each.part, each.level) for each in findings(facts) if each.level is not Level.OK}


def test_a_good_machine_has_a_finding_for_each_part_and_all_are_well():
    found = findings(GOOD)

    assert worst(found) is Level.OK
    assert {each.part for each in found} >= {
        "engine", "runc", "containerd", "kernel", "cgroups", "seccomp", "lsm", "user namespaces",
        "limits", "storage", "live-restore", "gvisor", "socket", "debootstrap",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"api_version": "1.40"}, "engine"),
        ({"api_version": ""}, "engine"),
        ({"runc": "1.1.11"}, "runc"),
        ({"runc": ""}, "runc"),
        ({"security": ("name=apparmor",)}, "seccomp"),
        ({"limits_missing": ("memory",)}, "limits"),
        ({"limits_missing": ("pids",)}, "limits"),
        ({"limits_missing": ("cpu",)}, "limits"),
        ({"warnings": (OPEN_TO_THE_NETWORK,)}, "engine"),
    ],
)
def test_what_lets_a_tool_or_a_stranger_out_is_refused(changed, part):
    assert (part, Level.REFUSED) in _bad(_with(**changed))


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"runc": "1.2.7"}, "runc"),
        ({"default_runtime": "crun"}, "runc"),
        ({"containerd": "1.7.26"}, "containerd"),
        ({"version": "24.0.7"}, "engine"),
        ({"cgroup_version": 1}, "cgroups"),
        ({"security": ("name=seccomp,profile=builtin",)}, "lsm"),
        ({"security": (*GOOD_ENGINE.security, "name=userns")}, "user namespaces"),
        ({"limits_missing": ("swap",)}, "limits"),
        ({"storage_driver": "vfs"}, "storage"),
        ({"live_restore": True}, "live-restore"),
        ({"kernel": "5.4.0-150-generic"}, "kernel"),
    ],
)
def test_what_weakens_a_second_wall_is_a_warning_and_no_more(changed, part):
    assert _bad(_with(**changed)) == {(part, Level.WARNING)}


def test_a_socket_for_everybody_is_refused_and_one_for_some_is_a_warning():
    everybody = dataclasses.replace(GOOD_SOCKET, mode=0o666)
    some = dataclasses.replace(GOOD_SOCKET, members=("deploy",))

    assert _bad(dataclasses.replace(GOOD, socket=everybody)) == {("socket", Level.REFUSED)}
    assert _bad(dataclasses.replace(GOOD, socket=some)) == {("socket", Level.WARNING)}


def test_an_absent_engine_is_refused_with_its_cause():
    found = findings(Facts(engine=None, problem="connection refused", debootstrap=True))

    assert worst(found) is Level.REFUSED
    assert found[0].said == "connection refused"


def test_whatever_is_not_well_says_what_mends_it():
    worst_engine = dataclasses.replace(
        GOOD_ENGINE, api_version="1.20", runc="1.0.0", containerd="1.0.0", version="17.0.0",
        default_runtime="crun", runtimes=(), security=(), cgroup_version=1, storage_driver="vfs",
        live_restore=True, limits_missing=("memory", "swap", "pids", "cpu"), kernel="4.4.0",
    )  # fmt: skip
    for facts in (Facts(engine=worst_engine), Facts(engine=None), Facts(engine=GOOD_ENGINE)):
        for finding in findings(facts):
            assert (finding.level is Level.OK) == (not finding.mend), finding


def test_debians_answers_are_read_with_their_builds_and_upstreams_with_their_releases():
    debian = report_of(
        {"RuncCommit": {"ID": "1.1.5+ds1-1+deb12u1"}, "MemoryLimit": True, "PidsLimit": True},
        {"Components": [{"Name": "runc", "Version": "1.1.5+ds1"}]},
    )
    upstream = report_of(
        {"RuncCommit": {"ID": "v1.2.5-0-g59923ef"}, "SwapLimit": True, "CpuCfsQuota": True},
        {"Components": [{"Name": "runc", "Version": "1.2.5"}]},
    )

    assert debian.runc == "1.1.5+ds1-1+deb12u1"
    assert debian.limits_missing == ("swap", "cpu")
    assert upstream.runc == "1.2.5"
    assert upstream.limits_missing == ("memory", "pids")


def test_an_engine_that_says_nothing_at_all_is_refused():
    report = report_of({}, {})

    assert worst(findings(Facts(engine=report))) is Level.REFUSED
