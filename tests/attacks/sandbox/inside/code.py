"""Code that the attacker brings along, and that no image held."""
# ruff: noqa: PTH101, PTH116, PTH123, PTH207 - as plain as an attacker writes

import ctypes
import glob
import mmap
import os
import shutil
import stat

from kit import X86, call, probe, scratch

AT_EMPTY_PATH = 0x1000


def dropped():
    path = scratch("dropped")
    shutil.copyfile("/bin/true", path)
    os.chmod(path, 0o700)
    return path


def run(path, *arguments):
    child = os.posix_spawn(path, [path, *arguments], {})
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise PermissionError(1, f"ended with {status}")
    return f"{path} ran"


@probe
def code__program():
    """I drop a program and start it."""
    return run(dropped())


@probe
def code__program_by_the_loader():
    """I have the image's own loader start it: that needs no right to execute."""
    loaders = glob.glob("/lib*/ld-linux-*") + glob.glob("/lib/*/ld-linux-*")
    return run(loaders[0], dropped())


@probe
def code__library():
    """I drop a library and load it."""
    libc = next(iter(glob.glob("/lib/*/libz.so*") + glob.glob("/lib/*/libm.so*")))
    path = scratch("dropped.so")
    shutil.copyfile(os.path.realpath(libc), path)
    ctypes.CDLL(path)
    return "loaded"


@probe
def code__script():
    """I drop a script, and an interpreter of the image reads it."""
    path = scratch("script.sh")
    with open(path, "w") as handle:
        handle.write("exit 0\n")
    return run("/bin/sh", path)


@probe
def code__memory_file():
    """A file that is nowhere is on no file system that forbids execution."""
    return f"descriptor {call('memfd_create', b'x', 0)}"


@probe
def code__secret_memory_file():
    """The same, and not even the kernel reads it."""
    return f"descriptor {call('memfd_secret', 0)}"


@probe
def code__execute_a_descriptor():
    """I execute by descriptor, not by path."""
    handle = os.open("/bin/true", os.O_RDONLY)
    child = os.fork()
    if child == 0:
        try:
            call("execveat", handle, b"", None, None, AT_EMPTY_PATH)
        finally:
            os._exit(42)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if status == 42 else f"ended with {status}"


@probe
def code__setuid_bit():
    """I leave a program with a setuid bit."""
    path = dropped()
    os.chmod(path, 0o4755)
    return "set" if os.stat(path).st_mode & stat.S_ISUID else None


@probe
def code__writable_and_executable_memory():
    """I write machine code into memory and run it, as any just-in-time compiler does."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    return "mapped"


def machine_code(code):
    """Run machine code that returns a number."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_long)(address)()


@probe
def code__32_bit_entry():
    """The 32-bit entry has other numbers: a rule on socket() does not see socketcall()."""
    if not X86:
        return None
    # push rbx; mov eax, 20 (getpid of i386); int 0x80; cdqe; pop rbx; ret
    result = machine_code(b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x48\x98\x5b\xc3")
    return f"returned {result}" if result > 0 else None


@probe
def code__x32_entry():
    """So has x32."""
    if not X86:
        return None
    # mov eax, 0x40000027 (getpid of x32); syscall; ret
    result = machine_code(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3")
    return f"returned {result}" if result > 0 else None
