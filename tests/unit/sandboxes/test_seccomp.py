"""The list of system calls is generated, native, and has a reason for each of its parts."""

import json
from pathlib import Path

import pytest

from sandboxes import seccomp

ARCHITECTURES = tuple(seccomp.ARCHITECTURES)
NEVER = {
    "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_settime", "create_module",
    "delete_module", "execveat", "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen",
    "fspick", "init_module", "inotify_init", "inotify_init1", "io_setup", "io_submit",
    "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp",
    "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mbind", "memfd_create",
    "memfd_secret", "mincore", "mknod", "mknodat", "mlock", "mlockall", "modify_ldt", "mount",
    "mount_setattr", "move_mount", "move_pages", "mq_open", "msgget", "name_to_handle_at",
    "open_by_handle_at", "open_tree", "perf_event_open", "personality", "pidfd_getfd",
    "pivot_root", "pkey_alloc", "preadv2", "process_madvise", "process_vm_readv",
    "process_vm_writev", "ptrace", "quotactl", "reboot", "remap_file_pages", "request_key",
    "rt_sigqueueinfo", "sched_setscheduler", "seccomp", "semget", "setns", "setpriority", "setuid",
    "setgid", "setgroups", "setresuid", "shmget", "signalfd4", "splice", "swapon", "sync",
    "syncfs", "sysinfo", "syslog", "tee", "timerfd_create", "umount2", "unshare", "uselib",
    "userfaultfd", "ustat", "vhangup", "vmsplice",
}  # fmt: skip


def allowed(architecture: str) -> dict[str, list[dict]]:
    """Each allowed call with its rules."""
    found: dict[str, list[dict]] = {}
    for rule in seccomp.document(architecture)["syscalls"]:
        if rule["action"] == "SCMP_ACT_ALLOW":
            for name in rule["names"]:
                found.setdefault(name, []).append(rule)
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_stored_is_what_the_groups_come_to(architecture):
    assert seccomp.stored(architecture) == seccomp.written(architecture), (
        "run `python -m sandboxes.seccomp`"
    )


def test_all_are_written_at_once(tmp_path: Path):
    seccomp.main(tmp_path)
    for architecture in ARCHITECTURES:
        made = json.loads((tmp_path / f"{architecture}.json").read_text(encoding="utf-8"))
        assert made == seccomp.document(architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_whatever_is_not_named_fails_and_the_native_entry_is_the_only_one(architecture):
    listed = seccomp.document(architecture)
    assert listed["defaultAction"] == "SCMP_ACT_ERRNO"
    assert listed["architectures"] == [f"SCMP_ARCH_{architecture.upper()}"]
    assert "archMap" not in listed


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_call_is_there_that_is_a_way_on(architecture):
    assert allowed(architecture).keys() & NEVER == set()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_condition_is_undone_by_an_unconditional_rule(architecture):
    for name, rules in allowed(architecture).items():
        if len(rules) > 1:
            assert all("args" in rule for rule in rules), name
    refused = {
        name
        for rule in seccomp.document(architecture)["syscalls"]
        if rule["action"] != "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }
    assert refused & allowed(architecture).keys() == set()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_rule_has_one_condition_as_runtimes_take_several_on_one_argument_for_alternatives(
    architecture,
):
    rules = seccomp.document(architecture)["syscalls"]
    assert all(len(rule.get("args", [])) <= 1 for rule in rules)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_rule_says_its_reason(architecture):
    assert all(len(rule["comment"]) > 20 for rule in seccomp.document(architecture)["syscalls"])


def test_a_younger_architecture_has_nothing_of_the_old_calls():
    legacy = {name for group in seccomp.ALLOWED for name in group.legacy.split()}
    legacy |= {name for each in seccomp.CONDITIONS for name in each.legacy.split()}
    assert legacy <= allowed("x86_64").keys()
    assert allowed("aarch64").keys() == allowed("x86_64").keys() - legacy
    assert {"open", "fork", "arch_prctl", "chmod"} <= legacy


@pytest.mark.parametrize("architecture", ["riscv64", "../x86_64", ""])
def test_there_is_no_list_for_another_architecture(architecture):
    with pytest.raises(KeyError):
        seccomp.stored(architecture)
    with pytest.raises(KeyError):
        seccomp.document(architecture)


def test_sockets_are_local_and_clones_have_no_namespace():
    rules = allowed("x86_64")
    (sockets,) = rules["socket"]
    assert sockets["args"] == [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]
    (clones,) = rules["clone"]
    assert clones["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"
    namespaces = (
        0x20000,
        0x2000000,
        0x4000000,
        0x8000000,
        0x10000000,
        0x20000000,
        0x40000000,
        0x80,
    )
    assert clones["args"][0]["value"] == sum(namespaces)
    assert clones["args"][0]["valueTwo"] == 0
