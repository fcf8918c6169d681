"""Hostile programs for containers: each is what an image has in place of our entry.

The part before them speaks the frames as anybody could write them down, so that a program is a few
lines and breaks exactly one rule.
"""

from textwrap import dedent

_BEFORE = """
import json, os, signal, struct, sys, time
READY = b"CBRDY1\\n"
def read(size):
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data
def question():
    kind, length = struct.unpack(">4sI", read(8))
    header = json.loads(read(length))
    given = json.loads(read(header["input"]))
    read(sum(each["size"] for each in header["files"]))
    return header["nonce"], given
def say(data, to=1):
    left = memoryview(data)
    while left:
        left = left[os.write(to, left):]
def framed(header, body=b"", kind=b"CBRS"):
    encoded = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack(">4sI", kind, len(encoded)) + encoded + body
def answer(nonce, result=b"1", files=(), **more):
    header = {"nonce": nonce, "result": len(result),
              "files": [{"name": name, "size": len(content)} for name, content in files], **more}
    return framed(header, result + b"".join(content for _, content in files))
"""


def program(source: str) -> str:
    """The text of one."""
    return _BEFORE + dedent(source)


OBEYING = program("""
say(READY)
nonce, given = question()
exec(given["do"])
time.sleep(600)
""")
"""Does whatever its input says, so that one image serves for many attacks; then it stays."""


def orders(source: str) -> dict[str, str]:
    """The input that has OBEYING do something."""
    return {"do": dedent(source)}
