"""Runs a shell script that nobody has read, and says what it printed and how it ended."""

import os

from callbroker_tool import ToolFailed, run_child

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs a waiting container memory
    from collections.abc import Sequence
    from typing import Any

    from callbroker_tool import Call

SHOWN_BYTES_MAX = 64_000
DEADLINE_S = 15.0
_SHELL = "/bin/bash"
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}  # noqa: S108
_SCRIPT = "script.sh"


def run(
    call: "Call", *, script: str, stdin: str = "", files: "Sequence[str]" = ()
) -> "dict[str, Any]":
    """Run a script with bash in the container's work directory.

    Args:
        call: its files lie in `in/` below the work directory; what is put into `out/` comes back.
        script: its text.
        stdin: what it reads.
        files: names of artefacts; they are in `call` already.
    """
    del files
    os.chdir(call.work)
    with open(_SCRIPT, "w", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        file.write(script)
    ended = run_child(
        _become_shell,
        stdin=stdin.encode("utf-8", "replace"),
        deadline_s=DEADLINE_S,
        bytes_max=SHOWN_BYTES_MAX,
    )
    if ended.timed_out:
        raise ToolFailed("SCRIPT_TIMED_OUT", f"The script ran for more than {DEADLINE_S:g} s.")
    return {
        "exit_code": ended.exit_code if ended.exit_code is not None else 128 + ended.signal,
        "stdout": _shown(ended.stdout, ended.stdout_lost),
        "stderr": _shown(ended.stderr, ended.stderr_lost),
    }


def _become_shell() -> None:
    os.execve(_SHELL, (_SHELL, "--noprofile", "--norc", _SCRIPT), _ENVIRONMENT)  # noqa: S606


def _shown(kept: bytes, lost: int) -> str:
    text = kept.decode("utf-8", "replace")
    return f"{text}\n[{lost} bytes more]" if lost else text
