"""Programs that a build needs of this machine: no shell, no input, and an end in time."""

import subprocess
from collections.abc import Mapping, Sequence

from sandboxes.images.refusals import BuildRefused


def output_of(
    command: Sequence[str], *, name: str, environment: Mapping[str, str], deadline_s: float
) -> tuple[int, str]:
    """Run a program.

    Args:
        command: its first word is a program of ours or of the system.
        name: of the program, for whoever waits.
        environment: all of it.
        deadline_s: after which it is killed, seconds.

    Returns:
        Its exit code, and what it wrote to standard output and standard error.

    Raises:
        BuildRefused: it took longer.
    """
    try:
        ended = subprocess.run(  # noqa: S603 - no shell, and words of our own
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=deadline_s,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as late:
        raise BuildRefused(f"{name} took longer than {deadline_s:g} s") from late
    return ended.returncode, ended.stdout.decode(errors="replace").strip()
