"""A container's body has every control and nothing by which a caller could choose one."""

import json
from pathlib import Path
from typing import Any

import pytest

from sandboxes import profiles, spec
from sandboxes.profile import Profile

IMAGE = "sha256:" + "a" * 64
WAY = Path("/run/node/egress/1")
SHIPPED = profiles.shipped()
# Each would give away some of the host, or undo a control.
NEVER_AT_THE_TOP = {
    "Cmd", "Entrypoint", "ExposedPorts", "MacAddress", "NetworkingConfig", "OnBuild", "Shell",
    "Volumes", "StopTimeout",
}  # fmt: skip
NEVER_OF_THE_HOST = {
    "Binds", "BlkioDeviceReadBps", "CapAdd", "Capabilities", "Cgroup", "CgroupParent",
    "ContainerIDFile", "DeviceCgroupRules", "DeviceRequests", "Devices", "DnsOptions", "DnsSearch",
    "ExtraHosts", "GroupAdd", "Isolation", "KernelMemory", "Links", "OomKillDisable", "PidMode",
    "PortBindings", "Privileged", "PublishAllPorts", "ShmSize", "StorageOpt", "Sysctls", "UTSMode",
    "UsernsMode", "VolumeDriver", "VolumesFrom",
}  # fmt: skip


def made(profile: Profile = SHIPPED["strict"], **changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "image": IMAGE, "uid": 700_001, "seccomp": "{}", "labels": {"a": "b"},
        "egress_directory": None if profile.isolated else WAY,
    }  # fmt: skip
    return spec.body(profile, **(given | changed))


@pytest.mark.parametrize("profile", SHIPPED.values(), ids=SHIPPED)
def test_no_body_gives_anything_of_the_host_away(profile):
    body = made(profile)
    assert body.keys() & NEVER_AT_THE_TOP == set()
    assert body["HostConfig"].keys() & NEVER_OF_THE_HOST == set()


@pytest.mark.parametrize("profile", SHIPPED.values(), ids=SHIPPED)
def test_every_body_has_the_controls_that_no_profile_chooses(profile):
    body = made(profile)
    assert body["NetworkDisabled"] is True
    assert body["Tty"] is False
    assert body["Healthcheck"] == {"Test": ["NONE"]}
    fixed = {
        "NetworkMode": "none", "ReadonlyRootfs": True, "CapDrop": ["ALL"], "IpcMode": "none",
        "CgroupnsMode": "private", "AutoRemove": False, "Init": False,
        "LogConfig": {"Type": "none", "Config": {}}, "RestartPolicy": {"Name": "no"},
    }  # fmt: skip
    assert fixed.items() <= body["HostConfig"].items()
    assert body["HostConfig"]["SecurityOpt"] == ["no-new-privileges", "seccomp={}"]


def test_bodies_of_a_profile_differ_in_image_user_and_labels_alone():
    one, two = made(), made(image="sha256:" + "b" * 64, uid=700_002, labels={"c": "d"})
    assert {name for name in one if one[name] != two[name]} == {"Image", "User", "Labels"}


def test_what_a_profile_bounds_is_bounded():
    profile = SHIPPED["compute"]
    host = made(profile)["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == profile.memory_bytes
    assert host["NanoCpus"] == profile.cpus * 1_000_000_000
    assert host["PidsLimit"] == profile.processes_max
    limits = {each["Name"]: (each["Soft"], each["Hard"]) for each in host["Ulimits"]}
    assert limits == {
        "core": (0, 0),
        "cpu": (profile.cpu_s_max, profile.cpu_s_max + 1),
        "fsize": (profile.file_bytes_max, profile.file_bytes_max),
        "memlock": (0, 0),
        "msgqueue": (0, 0),
        "nofile": (profile.open_files_max, profile.open_files_max),
        "nproc": (profile.processes_max, profile.processes_max),
        "sigpending": (profile.processes_max, profile.processes_max),
    }
    (options,) = host["Tmpfs"].values()
    assert {"noexec", "nosuid", "nodev", f"size={profile.scratch_bytes}"} <= set(options.split(","))
    assert f"nr_inodes={profile.scratch_inodes}" in options.split(",")


def test_gvisors_kernel_has_threads_of_its_own_beside_the_tools():
    host = made(SHIPPED["gvisor"])["HostConfig"]
    assert host["Runtime"] == "runsc"
    assert host["PidsLimit"] == SHIPPED["gvisor"].processes_max + 64
    assert made()["HostConfig"]["Runtime"] == "runc"


def test_the_environment_has_a_path_and_a_language_and_no_secret():
    assert [each.partition("=")[0] for each in made()["Env"]] == ["PATH", "LANG"]


def test_the_way_out_is_one_directory_for_reading_of_profiles_that_have_one():
    assert made()["HostConfig"]["Mounts"] == []
    (mount,) = made(SHIPPED["egress"])["HostConfig"]["Mounts"]
    assert mount["ReadOnly"] is True
    assert (mount["Type"], mount["Source"], mount["Target"]) == (
        "bind",
        str(WAY),
        spec.EGRESS_TARGET,
    )


@pytest.mark.parametrize(
    ("profile", "changed", "says"),
    [
        ("strict", {"egress_directory": WAY}, "way out"),
        ("egress", {"egress_directory": None}, "way out"),
        ("strict", {"image": "python:3.11"}, "digest"),
        ("strict", {"image": "python@sha256:" + "a" * 64}, "digest"),
        ("strict", {"uid": 0}, "root"),
        ("strict", {"uid": -1}, "root"),
    ],
)
def test_what_must_not_be_is_refused(profile, changed, says):
    with pytest.raises(ValueError, match=says):
        made(SHIPPED[profile], **changed)


def test_a_body_is_json_and_shares_nothing_with_the_next():
    one, two = made(), made()
    assert json.loads(json.dumps(one)) == one
    one["HostConfig"]["MaskedPaths"].clear()
    one["Labels"]["x"] = "y"
    assert two == made()


def test_of_proc_nothing_but_processes_is_left():
    masked = set(made()["HostConfig"]["MaskedPaths"])
    of_the_kernel = {
        f"/proc/{each.name}"
        for each in Path("/proc").iterdir()
        if not each.name.isdecimal() and not each.is_symlink()
    }
    assert of_the_kernel - masked <= {"/proc/net", "/proc/thread-self", "/proc/self"}
