"""The one tool of recorded hostile code: bash or Python, in a container that is for this alone."""

import os
import subprocess

_PROGRAMS = {"bash": ["/bin/bash", "-c"], "python": ["/usr/bin/python3", "-c"]}
_BYTES_MAX = 10_000


def run(call, *, language, code):
    """Run a snippet to its end.

    Args:
        call: of which nothing is used.
        language: `bash` or `python`.
        code: the snippet.
    """
    del call
    with open("/tmp/output", "w+b") as written:  # noqa: PTH123 - its own, in memory
        done = subprocess.run(
            [*_PROGRAMS[language], code],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            check=False,
            cwd="/tmp",
            env=dict(os.environ),
        )
        written.seek(0)
        output = written.read(_BYTES_MAX).decode("utf-8", "replace")
    return {"exit_code": done.returncode, "output": output}
