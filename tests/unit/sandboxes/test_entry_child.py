"""Code in a child is listened to until it ends, whatever it does, and no longer than allowed."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

_RUNS = """
import json, os, signal, sys, time
from sandboxes.entry.child import run_child
def work():
    {work}
ended = run_child(work, stdin={stdin}, deadline_s={deadline_s}, bytes_max=1000)
print(json.dumps([ended.exit_code, ended.signal, ended.timed_out, ended.stdout.decode(),
                  ended.stdout_lost, ended.record.decode()]))
"""


def child(work: str, *, stdin: str = 'b""', deadline_s: float = 20) -> list[Any]:
    """In a process of its own, as a forked test runner would not be the same afterwards."""
    source = _RUNS.format(work=work, stdin=stdin, deadline_s=deadline_s)
    ended = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()
    told: list[Any] = json.loads(ended.stdout)
    return told


def test_a_child_is_heard_to_its_end() -> None:
    assert child("os.write(1, b'out'); os.write(3, b'done\\n')") == [
        0,
        0,
        False,
        "out",
        0,
        "done\n",
    ]


def test_an_exit_code_is_told() -> None:
    assert child("os._exit(7)")[:3] == [7, 0, False]


def test_a_signal_is_told() -> None:
    assert child("os.kill(os.getpid(), signal.SIGKILL)")[:2] == [None, signal.SIGKILL]


def test_output_beyond_the_cap_is_counted_and_dropped() -> None:
    ended = child("[os.write(1, b'x' * 1000) for _ in range(1000)]; os.write(3, b'\\n')")

    assert (len(ended[3]), ended[4]) == (1000, 999_000)


def test_standard_input_larger_than_a_pipe_goes_through() -> None:
    counts = "os.write(1, str(len(sys.stdin.buffer.read())).encode())"

    assert child(counts, stdin="b'y' * 300_000")[3] == "300000"


def test_a_child_that_reads_nothing_ends_all_the_same() -> None:
    assert child("os._exit(0)", stdin="b'y' * 300_000")[0] == 0


def test_a_child_that_sleeps_is_killed_at_the_deadline() -> None:
    assert child("time.sleep(60)", deadline_s=0.2)[1:3] == [signal.SIGKILL, True]


def test_a_child_that_closed_its_pipes_is_still_killed_at_the_deadline() -> None:
    assert child("os.closerange(0, 10); time.sleep(60)", deadline_s=0.2)[2] is True


def test_processes_that_it_leaves_behind_do_not_hold_the_answer_up() -> None:
    ended = child("os.fork() or time.sleep(60); os.write(3, b'done\\n')")

    assert ended[5] == "done\n"


@pytest.mark.parametrize("descriptor", range(4, 12))
def test_no_descriptor_but_its_own_is_open_in_it(descriptor: int) -> None:
    opened = f"""
    try:
        os.fstat({descriptor})
        os.write(1, b"open")
    except OSError:
        os.write(1, b"closed")
    """
    assert child(opened.strip())[3] == "closed"
