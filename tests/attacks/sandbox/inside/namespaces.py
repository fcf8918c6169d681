"""A world of one's own: in a new namespace the attacker has every capability, and old bugs."""

import contextlib
import os
import signal

from kit import call, probe

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REMOUNT, MNT_DETACH, OPEN_TREE_CLONE, AT_FDCWD = 4096, 32, 2, 1, -100


def cloned(*arguments):
    child = call(*arguments)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return f"child {child}"


@probe
def ns__user():
    """I unshare the user namespace and am root in it."""
    call("unshare", CLONE_NEWUSER)
    return "unshared"


@probe
def ns__user_by_clone():
    """The same by clone()."""
    return cloned("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)


@probe
def ns__user_by_clone3():
    """The same by clone3(), whose flags no filter sees."""
    words = [CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0]
    given = b"".join(word.to_bytes(8, "little") for word in words)
    return cloned("clone3", given, len(given))


@probe
def ns__mounts():
    """I unshare the mount namespace."""
    call("unshare", CLONE_NEWNS)
    return "unshared"


@probe
def ns__network():
    """I unshare the network: netfilter, packet sockets and their bugs are mine."""
    call("unshare", CLONE_NEWNET)
    return "unshared"


@probe
def ns__others():
    """Any of the rest."""
    for flag in (CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWCGROUP):
        try:
            call("unshare", flag)
        except OSError:
            continue
        return hex(flag)
    return None


@probe
def ns__enter_another():
    """I enter a namespace of whoever I can see."""
    handle = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    call("setns", handle, 0)
    return "entered"


@probe
def ns__mount():
    """I mount a file system."""
    call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
    return "mounted"


@probe
def ns__remount():
    """I mount the root anew, for writing."""
    call("mount", b"none", b"/", None, MS_REMOUNT | MS_BIND, None)
    return "mounted"


@probe
def ns__unmount():
    """I take away what covers /proc/kcore."""
    for path in (b"/proc/kcore", b"/proc/keys", b"/sys", b"/tmp"):
        try:
            call("umount2", path, MNT_DETACH)
        except OSError:
            continue
        return path.decode()
    return None


@probe
def ns__new_mount_calls():
    """The younger calls do the same, and old filters do not know them."""
    tries = (
        ("fsopen", b"tmpfs", 0),
        ("open_tree", AT_FDCWD, b"/", OPEN_TREE_CLONE),
        ("move_mount", AT_FDCWD, b"/tmp", AT_FDCWD, b"/mnt", 0),
        ("mount_setattr", AT_FDCWD, b"/tmp", 0, bytes(32), 32),
    )
    for name, *arguments in tries:
        try:
            call(name, *arguments)
        except OSError:
            continue
        return name
    return None


@probe
def ns__pivot_root():
    """I leave the root by pivot_root."""
    call("pivot_root", b"/tmp", b"/tmp")
    return "pivoted"


@probe
def ns__chroot():
    """Or by chroot, twice."""
    call("chroot", b"/tmp")
    return "changed"


@probe
def ns__cgroup_release_agent():
    """A cgroup of version 1 starts a program of mine on the host when it gets empty."""
    with contextlib.suppress(OSError):
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP)
    call("mount", b"cgroup", b"/tmp", b"cgroup", 0, b"memory")
    return "mounted"


@probe
def ns__list():
    """The kernel lists every namespace that there is."""
    return f"{call('listns', bytes(32), bytes(64), 8, 0)} found"
