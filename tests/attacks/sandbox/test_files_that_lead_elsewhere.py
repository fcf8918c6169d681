"""A tool leaves something in its directory for files that is no plain file, or too much of it.

Its aim is to have the node read what the tool could not, write where nobody meant it to, run out of
memory, or show a reviewer a name that is not the name. Nothing of it comes out, the reason is one
code, and the container is gone afterwards.
"""

import json
from textwrap import dedent

import pytest

from sandboxes.v1 import sandboxes_pb2 as pb
from tests.engine_api import ContainerEngine
from tests.sandbox_images import tool_image
from tests.sandbox_nodes import NodeClient

pytestmark = pytest.mark.asyncio(loop_scope="module")
TRICKS = {
    "a link to a file of the system": ("os.symlink('/etc/passwd', out + '/a')", "plain file"),
    "a link to the node's socket": ("os.symlink('/run/docker.sock', out + '/a')", "plain file"),
    "a link to another process": ("os.symlink('/proc/1/environ', out + '/a')", "plain file"),
    "a link to nothing": ("os.symlink('/nothing', out + '/a')", "plain file"),
    "a link to itself": ("os.symlink('a', out + '/a')", "plain file"),
    "a pipe": ("os.mkfifo(out + '/a')", ""),
    "a socket": ("import socket; socket.socket(socket.AF_UNIX).bind(out + '/a')", "plain file"),
    "a directory": ("os.mkdir(out + '/a')", "plain file"),
    "a second name of a file": ("w('/tmp/b'); os.link('/tmp/b', out + '/a')", "more than one name"),
    "a file that nobody may read": ("w(out + '/a'); os.chmod(out + '/a', 0)", "cannot be read"),
    "a hole of a terabyte": ("w(out + '/a'); os.truncate(out + '/a', 1 << 40)", ""),
    "a name that is no text": ("w(os.fsencode(out) + b'/\\xff\\xfe')", "cannot be told"),
    "a name of 200 characters": ("w(out + '/' + 'a' * 200)", "cannot be told"),
    "10,000 files": ("[w(out + f'/{n}') for n in range(10_000)]", ""),
    "its directory replaced by a link": (
        "os.rmdir(out); os.symlink('/etc', out)",
        "was replaced",
    ),
}
NAMES = {
    "a name that is hidden": ".bashrc",
    "a name with a line in it": "a\nb",
    "a name with a terminal's command": "a\x1b[2Jb",
    "a name for an option": "-rf",
    "a name of dots": "...",
    "a name with a backslash": "..\\..\\a",
    "a name that turns round": "invoice\u202efdp.exe",
    "a name with a character of no width": "a\u200bb",
    "a name of decomposed characters": "e\u0301",
    "a device of other systems": "NUL.txt",
}
# Does what it is told: one image serves every trick.
OBEDIENT = """
import os, threading, time
def w(path):
    with open(path, "wb") as file:
        file.write(b"x")
def run(call, source):
    room = {**globals(), "out": str(call.out), "told": None}
    exec(source, room)
    return room["told"]
"""


@pytest.fixture(scope="module")
def obedient(container_engine: ContainerEngine) -> str:
    return tool_image(container_engine, OBEDIENT)


async def told(node: NodeClient, image: str, source: str) -> pb.Result:
    return await node.run(image, json.dumps({"source": dedent(source)}).encode())


@pytest.mark.parametrize("what", TRICKS)
async def test_what_is_no_plain_file_never_leaves(
    what: str, node: NodeClient, obedient: str
) -> None:
    """Leave it, and let whoever collects files follow it, open it, or count on its size."""
    does, word = TRICKS[what]

    result = await told(node, obedient, does)

    assert result.ending in (pb.ENDING_TOOL_FAILED, pb.ENDING_BROKEN, pb.ENDING_KILLED), result
    assert not result.files
    assert result.result_json == b""
    if word:
        assert result.code == "OUTPUT_FILE_REFUSED"
        assert word in result.message
        assert result.message.isprintable()


@pytest.mark.parametrize("what", NAMES)
async def test_a_name_that_is_not_plain_never_leaves(
    what: str, node: NodeClient, obedient: str
) -> None:
    """Choose a name that does something where it is saved, printed or shown."""
    result = await told(node, obedient, f"w(out + '/' + {NAMES[what]!r})")

    assert result.code == "OUTPUT_FILE_NAME", result
    assert not result.files


async def test_two_names_that_differ_in_case_never_leave(node: NodeClient, obedient: str) -> None:
    """One overwrites the other where case does not count: have the harmless one checked."""
    result = await told(node, obedient, "w(out + '/report.pdf'); w(out + '/REPORT.pdf')")

    assert result.code == "OUTPUT_FILE_NAME"


async def test_a_file_that_changes_while_it_is_read_is_one_of_its_contents(
    node: NodeClient, obedient: str
) -> None:
    """Grow, shrink and rename it from a thread, so that what is announced is not what is sent."""
    source = """
    def change():
        while True:
            for size in (1, 4_000_000, 0, 70_000):
                with open(out + '/n', "wb") as file:
                    file.write(b"x" * size)
                os.replace(out + '/n', out + '/a')
    w(out + '/a')
    threading.Thread(target=change, daemon=True).start()
    """
    for _ in range(5):
        result = await told(node, obedient, source)

        if result.ending == pb.ENDING_ANSWERED:
            assert {file.name for file in result.files} <= {"a", "n"}
            assert all(set(file.content) <= {ord("x")} for file in result.files)
        else:
            assert result.ending == pb.ENDING_TOOL_FAILED, result


async def test_processes_that_a_tool_left_do_not_write_on(node: NodeClient, obedient: str) -> None:
    """Leave a process in a session of its own, which changes a file after it has been checked."""
    source = """
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.write(write, b"x")
        while True:
            w(out + '/later')
            os.remove(out + '/later')
    os.read(read, 1)
    w(out + '/a')
    told = [name for name in os.listdir('/proc') if name.isdecimal()]
    """
    result = await told(node, obedient, source)

    assert result.ending == pb.ENDING_ANSWERED, result
    assert len(json.loads(result.result_json)) == 2
    assert {file.name for file in result.files} <= {"a", "later"}


async def test_a_tool_cannot_lay_a_trap_for_its_input(
    node: NodeClient, container_engine: ContainerEngine
) -> None:
    """While loading, put a link where input will be laid, so that it is written elsewhere."""
    source = """
import os
os.mkdir('/tmp/trap')
os.symlink('/tmp/trap', '/tmp/in')
def run(call):
    return os.listdir('/tmp/trap')
"""
    result = await node.run(
        tool_image(container_engine, source), files=[pb.File(name="a", content=b"secret")]
    )

    assert (result.ending, result.code) == (pb.ENDING_TOOL_FAILED, "TOOL_ERROR")


async def test_plain_files_do_leave(node: NodeClient, obedient: str) -> None:
    """No attack: what all of the above must not take away."""
    result = await told(node, obedient, "w(out + '/a b (1).txt'); w(out + '/é')")

    assert {file.name: file.content for file in result.files} == {"a b (1).txt": b"x", "é": b"x"}
