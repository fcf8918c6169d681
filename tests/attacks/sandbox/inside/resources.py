"""Using up what others need. Every probe stops a little above what the profile gives."""

import ctypes
import mmap
import os
import signal
import time

from kit import GIVEN, call, probe, scratch

MEGABYTE = 1 << 20
BURN_S = 1.0
BURNERS = 8
SLACK = 8


@probe
def res__memory():
    """I take more memory than I was given."""
    held, wanted = [], GIVEN["memory_bytes"] + 16 * MEGABYTE
    while len(held) * 4 * MEGABYTE < wanted:
        held.append(b"x" * (4 * MEGABYTE))
    return f"{len(held) * 4} MiB"


@probe
def res__processes():
    """I fork until nobody else can."""
    children = []
    try:
        while len(children) < GIVEN["processes_max"] + SLACK:
            child = os.fork()
            if child == 0:
                time.sleep(20)
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return f"{len(children)} processes"


@probe
def res__processor():
    """I compute in more processes than there are processors."""
    begun, children = time.monotonic(), []
    for _ in range(BURNERS):
        child = os.fork()
        if child == 0:
            while time.monotonic() < begun + BURN_S:
                pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    lasted = time.monotonic() - begun
    used = os.times()
    share = (used.children_user + used.children_system) / lasted
    return f"{share:.2f} processors" if share > GIVEN["cpus"] * 1.2 + 0.05 else None


@probe
def res__scratch_bytes():
    """I fill the scratch space, and more."""
    written, number = 0, 0
    while written <= GIVEN["scratch_bytes"]:
        handle = os.open(scratch(f"fill{number}"), os.O_CREAT | os.O_WRONLY, 0o600)
        number += 1
        size = min(4 * MEGABYTE, GIVEN["file_bytes_max"])
        while size > 0:
            count = os.write(handle, b"\0" * min(size, MEGABYTE // 4))
            size -= count
            written += count
        os.close(handle)
    return f"{written} bytes"


@probe
def res__scratch_files():
    """I make empty files: they cost kernel memory, and no bytes."""
    for number in range(GIVEN["scratch_inodes"] + SLACK):
        os.close(os.open(scratch(f"file{number}"), os.O_CREAT | os.O_WRONLY, 0o600))
    return "made"


@probe
def res__file_size():
    """I make one file larger than I may."""
    handle = os.open(scratch("large"), os.O_CREAT | os.O_WRONLY, 0o600)
    os.ftruncate(handle, GIVEN["file_bytes_max"] + 1)
    return "made"


@probe
def res__open_files():
    """I open more files than I may."""
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(GIVEN["open_files_max"] + SLACK)]
    return f"{len(held)} open"


@probe
def res__locked_memory():
    """I lock memory, so that it is never given back."""
    page = mmap.mmap(-1, MEGABYTE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return f"returned {call('mlock', ctypes.c_void_p(address), MEGABYTE)}"
