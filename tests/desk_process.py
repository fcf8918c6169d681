"""The support desk as somebody starts it: a process of its own, on any free port."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STOP_S = 60


@contextlib.contextmanager
def desk_process(
    state: Path, *, engine: str = "none"
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The desk once its agents are done and it serves, and what it said until then.

    It is stopped on leaving, where it has not ended before.

    Args:
        state: its directory.
        engine: of containers; none, whatever this machine has, where left out.
    """
    given = ("--port", "0", "--state", str(state), "--engine", engine)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "examples.support_desk", *given],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        else:
            raise AssertionError(f"the desk ended early:\n{said}")
        yield process, said
    finally:
        process.terminate()
        process.wait(timeout=STOP_S)
        process.stdout.close()
