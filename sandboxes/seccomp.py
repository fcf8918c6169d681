"""What a tool may ask of the kernel: a list of what is allowed, each group with its reason.

Whatever is not named here fails with EPERM. The list was made from what CPython, its standard
library, a shell and the runtime's own last steps were seen to call, and then cut by what an
attacker gains: a call that reaches rarely used code, the page cache, other processes or what the
host shares stays out where a program does without it. Only the native architecture is listed, so
that neither the 32-bit entry nor x32 gets round a condition. `python -m sandboxes.seccomp` writes
`seccomp/*.json` anew.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from errno import ENOSYS, EOPNOTSUPP
from pathlib import Path
from typing import Any, Final, Literal

Architecture = Literal["x86_64", "aarch64"]
ARCHITECTURES: Final[Mapping[str, str]] = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
}
FOLDER: Final = Path(__file__).with_name("seccomp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Calls that are allowed whatever their arguments.

    Attributes:
        legacy: of x86_64 alone; younger architectures have only their successors.
    """

    name: str
    reason: str
    calls: str
    legacy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Calls that are allowed where one argument, which the kernel takes by value, is one of these.

    Attributes:
        argument: its place, counted from 0.
        values: as they stand after `mask`.
        mask: bits that are looked at; 0 for all 64 of them.
    """

    reason: str
    calls: str
    argument: int
    values: tuple[int, ...]
    mask: int = 0
    legacy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Calls that fail with another error than EPERM, so that libraries take their other way."""

    reason: str
    calls: str
    errno: int


ALLOWED: Final = (
    Group(
        name="reading and writing",
        reason="Files and pipes. No preadv2: RWF_NOWAIT tells what the host has in its page cache.",
        calls="read write readv writev pread64 pwrite64 preadv pwritev lseek close close_range dup"
        " dup3 fsync fdatasync flock ftruncate truncate fallocate",
        legacy="dup2",
    ),
    Group(
        name="paths",
        reason="Finding, making and removing files below /tmp. Nobody needs mknod, chown or xattrs"
        " there. openat2 is openat with fewer ways to be tricked, and container runtimes use it.",
        calls="openat openat2 newfstatat fstat statx statfs fstatfs faccessat faccessat2 readlinkat"
        " getdents64 getcwd chdir fchdir mkdirat unlinkat renameat renameat2 linkat symlinkat"
        " utimensat umask",
        legacy="open creat stat lstat access readlink mkdir rmdir unlink rename link symlink",
    ),
    Group(
        name="memory",
        reason="The allocator and the loader. No mlock, mincore, remap_file_pages, pkeys or NUMA.",
        calls="brk mmap munmap mprotect mremap msync",
    ),
    Group(
        name="threads and processes",
        reason="Starting, waiting, ending; the filter is inherited. Ids can be asked, never set.",
        calls="execve exit exit_group wait4 waitid set_tid_address set_robust_list rseq sched_yield"
        " sched_getaffinity getpid gettid getppid getpgid getsid setpgid setsid prlimit64 getrusage"
        " times",
        legacy="fork vfork getpgrp",
    ),
    Group(
        name="identity",
        reason="Interpreters and shells ask who they are as they start.",
        calls="getuid geteuid getgid getegid getresuid getresgid getgroups uname",
    ),
    Group(
        name="signals",
        reason="Own signals and those of own children. No signalfd, no queued signals, no pidfd.",
        calls="kill tgkill rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend"
        " rt_sigtimedwait sigaltstack restart_syscall",
        legacy="pause alarm",
    ),
    Group(
        name="waiting",
        reason="Event loops. io_uring, inotify, fanotify, timerfd stay out: programs do without.",
        calls="ppoll pselect6 epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 eventfd2",
        legacy="poll select epoll_wait pipe",
    ),
    Group(
        name="time and chance",
        reason="Reading clocks, sleeping, random bytes. No clock can be set.",
        calls="clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday getitimer"
        " getrandom",
    ),
    Group(
        name="local sockets",
        reason="What one does with a socket once it is there; the family is decided below.",
        calls="bind listen accept accept4 connect getsockname getpeername getsockopt shutdown",
    ),
)

CONDITIONS: Final = (
    Condition(
        reason="AF_UNIX alone: no internet family, no netlink, no packet, no AF_VSOCK to the"
        " hypervisor, no AF_ALG into the kernel's own ciphers.",
        calls="socket socketpair",
        argument=0,
        values=(1,),
    ),
    Condition(
        reason="Without MSG_OOB, a corner of AF_UNIX that nothing uses but exploits.",
        calls="sendto recvfrom",
        argument=3,
        mask=0x1,
        values=(0,),
    ),
    Condition(
        reason="Without MSG_OOB; the longer forms of the two above.",
        calls="sendmsg recvmsg",
        argument=2,
        mask=0x1,
        values=(0,),
    ),
    Condition(
        reason="SO_REUSEADDR, _SNDBUF, _RCVBUF, _RCVTIMEO and _SNDTIMEO; SO_ATTACH_FILTER and its"
        " kin, which load programs into the kernel, are other numbers.",
        calls="setsockopt",
        argument=2,
        values=(2, 7, 8, 20, 21),
    ),
    Condition(
        reason="A thread or a process, never with a namespace of its own (CLONE_NEW*).",
        calls="clone",
        argument=0,
        mask=0x7E020080,
        values=(0,),
    ),
    Condition(
        reason="FUTEX_WAIT, _WAKE, _REQUEUE, _CMP_REQUEUE, _WAKE_OP, _WAIT_BITSET, _WAKE_BITSET;"
        " not those that inherit priorities, where the kernel's hardest bugs were.",
        calls="futex",
        argument=1,
        mask=0x7F,
        values=(0, 1, 3, 4, 5, 9, 10),
    ),
    Condition(
        reason="MADV_NORMAL to _DONTNEED, _FREE, _DONTFORK, _DOFORK, _(NO)HUGEPAGE, _DONTDUMP,"
        " _DODUMP, _WIPEONFORK, _KEEPONFORK. Not _MERGEABLE (timing tells what other containers"
        " hold), _PAGEOUT or _HWPOISON.",
        calls="madvise",
        argument=2,
        values=(0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19),
    ),
    Condition(
        reason="Descriptors, flags and locks; no leases, no directory notices, no signals on input,"
        " no greater pipes.",
        calls="fcntl",
        argument=1,
        values=(0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032),
    ),
    Condition(
        reason="TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX: is it a terminal, how"
        " much is there, do not block, close on exec. No TIOCSTI, no pty unlocked, no file cloned.",
        calls="ioctl",
        argument=1,
        values=(0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451),
    ),
    Condition(
        reason="A mode without the setuid and setgid bits.",
        calls="fchmod",
        argument=1,
        mask=0o6000,
        values=(0,),
        legacy="chmod",
    ),
    Condition(
        reason="A mode without the setuid and setgid bits, by the younger calls.",
        calls="fchmodat fchmodat2",
        argument=2,
        mask=0o6000,
        values=(0,),
    ),
    Condition(
        reason="A pipe without O_NOTIFICATION_PIPE.",
        calls="pipe2",
        argument=1,
        mask=0x80,
        values=(0,),
    ),
    Condition(
        reason="PR_(SET|GET)_PDEATHSIG, _DUMPABLE, _NAME, _NO_NEW_PRIVS, PR_CAPBSET_READ,"
        " PR_SET_VMA (libc names its memory): no filter of one's own, no change of mitigations or"
        " of the memory map.",
        calls="prctl",
        argument=0,
        values=(1, 2, 3, 4, 15, 16, 23, 38, 39, 0x53564D41),
    ),
    Condition(
        reason="ITIMER_REAL; the other two are the kernel's timers of processor time.",
        calls="setitimer",
        argument=0,
        values=(0,),
    ),
    Condition(
        reason="ARCH_SET_FS, by which libc finds a thread's own data.",
        calls="",
        legacy="arch_prctl",
        argument=0,
        values=(0x1002,),
    ),
)

ABSENT: Final = (
    Absence(
        reason="Its flags lie in memory, where a filter cannot see them; libc falls back to clone.",
        calls="clone3",
        errno=ENOSYS,
    ),
    Absence(
        reason="They hand pages of the page cache on, as splice does (sendfile into a pipe is"
        " splice); callers read and write instead.",
        calls="sendfile copy_file_range",
        errno=ENOSYS,
    ),
    Absence(
        reason="Timers of processor time; `timeout` takes alarm instead.",
        calls="timer_create",
        errno=ENOSYS,
    ),
    Absence(
        reason="Child watchers try it first and wait in a thread where it is not there.",
        calls="pidfd_open",
        errno=ENOSYS,
    ),
    Absence(
        reason="A file system without extended attributes: copying takes that for an answer.",
        calls="getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr"
        " fsetxattr removexattr lremovexattr fremovexattr",
        errno=EOPNOTSUPP,
    ),
)


def document(architecture: str) -> dict[str, Any]:
    """The list in the form that container engines read.

    Args:
        architecture: as `uname -m` names it.

    Raises:
        KeyError: there is no list for it.
    """
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": [ARCHITECTURES[architecture]],
        "syscalls": list(_rules(legacy=architecture == "x86_64")),
    }


def stored(architecture: str) -> str:
    """The written list, as an engine gets it.

    Raises:
        KeyError: there is no list for it.
    """
    if architecture not in ARCHITECTURES:
        raise KeyError(architecture)
    return (FOLDER / f"{architecture}.json").read_text(encoding="utf-8")


def written(architecture: str) -> str:
    """What belongs into `seccomp/<architecture>.json`."""
    return json.dumps(document(architecture), indent=1) + "\n"


def _rules(*, legacy: bool) -> Iterator[dict[str, Any]]:
    for group in ALLOWED:
        names = _names(group.calls, group.legacy if legacy else "")
        yield _rule(names, "SCMP_ACT_ALLOW", f"{group.name}: {group.reason}")
    for condition in CONDITIONS:
        names = _names(condition.calls, condition.legacy if legacy else "")
        if names:
            # One rule a value: rules of the same call are alternatives, its arguments are not.
            for value in condition.values:
                yield _rule(names, "SCMP_ACT_ALLOW", condition.reason) | {
                    "args": [_argument(condition, value)],
                }
    for absence in ABSENT:
        names = _names(absence.calls, "")
        yield _rule(names, "SCMP_ACT_ERRNO", absence.reason) | {"errnoRet": absence.errno}


def _names(calls: str, legacy: str) -> list[str]:
    return sorted([*calls.split(), *legacy.split()])


def _rule(names: Sequence[str], action: str, comment: str) -> dict[str, Any]:
    return {"names": list(names), "action": action, "comment": comment}


def _argument(condition: Condition, value: int) -> dict[str, Any]:
    if condition.mask:
        return {
            "index": condition.argument,
            "value": condition.mask,
            "valueTwo": value,
            "op": "SCMP_CMP_MASKED_EQ",
        }
    return {"index": condition.argument, "value": value, "valueTwo": 0, "op": "SCMP_CMP_EQ"}


def main(folder: Path = FOLDER) -> None:
    """Write every list."""
    for architecture in ARCHITECTURES:
        (folder / f"{architecture}.json").write_text(written(architecture), encoding="utf-8")


if __name__ == "__main__":
    main()
