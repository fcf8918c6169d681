"""The entry program loads the tool first, says only frames, and never lets its errors out."""

from pathlib import Path

import pytest

from sandboxes.entry import frames
from tests.entry_process import Entry

ECHO = "def run(call, **arguments):\n    return arguments\n"


def test_a_tool_s_value_comes_back_as_json(tmp_path: Path) -> None:
    answer = Entry(tmp_path, ECHO).ask(text="é", number=1.5, nothing=None)

    assert answer.result == {"text": "é", "number": 1.5, "nothing": None}
    assert answer.failure is None


def test_what_a_tool_prints_is_no_part_of_the_answer(tmp_path: Path) -> None:
    tool = """
        import os, subprocess, sys
        print("while loading")
        def run(call):
            print("while running")
            os.write(1, b"straight to the descriptor")
            subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
            return 1
    """
    answer = Entry(tmp_path, _dedented(tool)).ask()

    assert answer.result == 1
    for printed in ("while loading", "while running", "straight to", "from a child"):
        assert printed in answer.errors


def test_files_are_handed_in_and_plain_ones_come_back(tmp_path: Path) -> None:
    tool = """
        def run(call):
            for path in call.files:
                (call.out / path.name).write_bytes(path.read_bytes().upper())
            return [path.name for path in call.files]
    """
    answer = Entry(tmp_path, _dedented(tool)).ask([("b.txt", b"two"), ("a.txt", b"one")])

    assert answer.result == ["b.txt", "a.txt"]
    assert answer.files == {"a.txt": b"ONE", "b.txt": b"TWO"}


def test_a_tool_fails_in_its_own_words(tmp_path: Path) -> None:
    tool = """
        from callbroker_tool import ToolFailed
        def run(call):
            raise ToolFailed("NOT_FOUND", "There is no such thing.")
    """
    answer = Entry(tmp_path, _dedented(tool)).ask()

    assert answer.failure == ("NOT_FOUND", "There is no such thing.")
    assert answer.result is None


@pytest.mark.parametrize("code", ["lower", "", "A B", "É", "X" * 65, "1A"])
def test_a_failure_s_code_is_plain_or_replaced(tmp_path: Path, code: str) -> None:
    tool = f"""
        from callbroker_tool import ToolFailed
        def run(call):
            raise ToolFailed({code!r}, "no")
    """
    assert Entry(tmp_path, _dedented(tool)).ask().failure == ("TOOL_FAILED", "no")


@pytest.mark.parametrize(
    "raised", ["ValueError('secret')", "SystemExit('secret')", "KeyboardInterrupt('secret')"]
)
def test_an_error_s_own_text_reaches_the_log_alone(tmp_path: Path, raised: str) -> None:
    answer = Entry(tmp_path, f"def run(call):\n    raise {raised}\n").ask()

    assert answer.failure == ("TOOL_ERROR", "The tool failed with an error of its own.")
    assert "secret" in answer.errors


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("float('nan')", "OUTPUT_NOT_JSON"),
        ("b'bytes'", "OUTPUT_NOT_JSON"),
        ("'\\ud800'", "OUTPUT_NOT_JSON"),
        ("call", "OUTPUT_NOT_JSON"),
        ("deep()", "OUTPUT_TOO_DEEP"),
    ],
)
def test_a_value_that_is_no_json_is_a_failure(tmp_path: Path, value: str, code: str) -> None:
    tool = f"""
        def deep():
            value = []
            for _ in range(100_000):
                value = [value]
            return value
        def run(call):
            return {value}
    """
    failure = Entry(tmp_path, _dedented(tool)).ask().failure

    assert failure is not None
    assert failure[0] == code


def test_a_tool_that_cannot_be_loaded_never_says_ready(tmp_path: Path) -> None:
    ended = Entry(tmp_path, "import no_such_module\n").run(b"")

    assert ended.stdout == b""
    assert ended.returncode == 3
    assert b"no_such_module" in ended.stderr


def test_a_node_that_hangs_up_ends_it(tmp_path: Path) -> None:
    ended = Entry(tmp_path, ECHO).run(b"")

    assert ended.stdout == frames.READY
    assert ended.returncode == 0


@pytest.mark.parametrize("said", [b"CBRQ", b"no question", b"CBRQ\xff\xff\xff\xff", b"\0" * 64])
def test_what_is_no_whole_question_is_not_answered(tmp_path: Path, said: bytes) -> None:
    ended = Entry(tmp_path, ECHO).run(said)

    assert ended.stdout == frames.READY


def test_a_module_of_the_tool_s_may_be_called_as_ours(tmp_path: Path) -> None:
    """`frames` and `files` are natural names, and the entry program has modules of that name."""
    tool = "import frames, files\ndef run(call):\n    return [frames.NAME, files.NAME]\n"
    beside = {"frames.py": "NAME = 'own frames'\n", "files.py": "NAME = 'own files'\n"}

    assert Entry(tmp_path, tool, beside).ask().result == ["own frames", "own files"]


def test_standard_input_is_empty_for_the_tool(tmp_path: Path) -> None:
    assert (
        Entry(tmp_path, "import sys\ndef run(call):\n    return sys.stdin.read()\n").ask().result
        == ""
    )


def test_little_is_loaded_before_a_call(tmp_path: Path) -> None:
    """Each of these would cost every waiting container a megabyte or so, and its start time."""
    tool = "import sys\ndef run(call):\n    return sorted(sys.modules)\n"

    loaded = set(Entry(tmp_path, tool).ask().result)

    assert not loaded & {"typing", "dataclasses", "inspect", "pathlib", "subprocess", "socket"}


def _dedented(source: str) -> str:
    lines = source.strip("\n").splitlines()
    return "\n".join(line[8:] for line in lines) + "\n"
