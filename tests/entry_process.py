"""The entry program as a process of this machine: the same files as in an image, no container."""

import json
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandboxes.entry import frames
from sandboxes.images.layout import entry_files

DEADLINE_S = 30
NONCE = "5f" * 16
_STARTS = """
import sys
sys.path.append({root!r})
from sandboxes.entry.serving import main
main({root!r}, {work!r})
"""


@dataclass(frozen=True)
class Answered:
    """What came after READY."""

    result: Any
    files: Mapping[str, bytes]
    failure: tuple[str, str] | None
    errors: str


class Entry:
    """One entry program with one tool."""

    def __init__(self, directory: Path, tool: str, beside: Mapping[str, str] | None = None) -> None:
        self.root, self.work = directory / "callbroker", directory / "work"
        self.work.mkdir()
        for path, content in entry_files().items():
            _write(self.root, path.removeprefix("/callbroker/"), content)
        for name, source in {"tool.py": tool, **(beside or {})}.items():
            _write(self.root, f"tool/{name}", source.encode())

    def run(self, stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
        """Start it, say all of this at once, and hear all of it."""
        starts = _STARTS.format(root=str(self.root), work=str(self.work))
        return subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", starts],
            input=stdin,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def ask(self, files: Sequence[tuple[str, bytes]] = (), **arguments: Any) -> Answered:
        """One call."""
        handed = [frames.File(name, content) for name, content in files]
        question = frames.Question(NONCE, json.dumps(arguments).encode(), handed)
        ended = self.run(frames.encode_question(question))
        assert ended.returncode == 0, ended.stderr.decode()
        return answered(ended.stdout, ended.stderr)


def answered(output: bytes, errors: bytes) -> Answered:
    """READY and one answer, and not a byte more."""
    assert output.startswith(frames.READY), output
    rest = output.removeprefix(frames.READY)
    kind, length = struct.unpack(">4sI", rest[:8])
    assert kind == frames.ANSWER
    header = json.loads(rest[8 : 8 + length])
    assert header["nonce"] == NONCE
    at = 8 + length + header["result"]
    result = rest[8 + length : at]
    found = {}
    for file in header["files"]:
        found[file["name"]] = rest[at : at + file["size"]]
        at += file["size"]
    assert at == len(rest), "more was written than was announced"
    failure = tuple(header["failure"]) if "failure" in header else None
    return Answered(json.loads(result) if result else None, found, failure, errors.decode())


def _write(root: Path, relative: str, content: bytes) -> None:
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
