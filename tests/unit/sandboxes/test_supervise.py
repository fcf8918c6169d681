"""What was seen of a call, and what it is told as."""

import pytest

from sandboxes.engine import ContainerState
from sandboxes.entry.frames import Answer, File
from sandboxes.hearing import Answered, Broke, Ended, Heard
from sandboxes.profile import Profile
from sandboxes.supervise import Ending, Observation, Outcome, Stopped, decide

PROFILE = Profile(name="p", description="", cpus=0.5, cpu_s_max=10, memory_bytes=64 << 20)
RUNNING = ContainerState(running=True, exit_code=0, out_of_memory=False)


def exited(code: int, *, out_of_memory: bool = False) -> ContainerState:
    return ContainerState(running=False, exit_code=code, out_of_memory=out_of_memory)


def told(
    heard: Heard | None,
    *,
    stopped: Stopped | None = None,
    state: ContainerState | None = None,
    lost: str = "",
    lived_s: float = 1.0,
) -> Outcome:
    seen = Observation(
        heard=heard, stopped=stopped, state=state, engine_lost=lost, took_s=0.5, lived_s=lived_s
    )
    return decide(seen, PROFILE, deadline_s=2.0)


@pytest.mark.parametrize(
    ("seen", "ending", "code", "word"),
    [
        ({"heard": None, "stopped": Stopped.DEADLINE, "state": exited(137)},
         Ending.KILLED, "TOOL_TIMED_OUT", "2 s"),
        ({"heard": None, "stopped": Stopped.CANCELLED, "state": exited(137)},
         Ending.KILLED, "CANCELLED", "asked for"),
        ({"heard": Broke("OUTPUT_TRAILING", "It went on."), "state": exited(137)},
         Ending.KILLED, "OUTPUT_TRAILING", "It went on."),
        ({"heard": Ended(), "state": exited(3)}, Ending.BROKEN, "TOOL_DIED", "exit code 3"),
        ({"heard": Ended(), "state": exited(0)}, Ending.BROKEN, "TOOL_DIED", "exit code 0"),
        ({"heard": Ended(), "state": RUNNING}, Ending.BROKEN, "TOOL_DIED", "closed its output"),
        ({"heard": Ended(), "state": None}, Ending.BROKEN, "TOOL_DIED", "closed its output"),
        ({"heard": Ended(), "state": exited(137, out_of_memory=True)},
         Ending.BROKEN, "TOOL_OUT_OF_MEMORY", "64 MiB"),
        ({"heard": Ended(), "state": exited(0, out_of_memory=True)},
         Ending.BROKEN, "TOOL_OUT_OF_MEMORY", "64 MiB"),
        ({"heard": Ended(), "state": exited(152)}, Ending.BROKEN, "TOOL_CPU_EXHAUSTED", "10 s"),
        ({"heard": Ended(), "state": exited(137), "lived_s": 20.0},
         Ending.BROKEN, "TOOL_CPU_EXHAUSTED", "10 s"),
        ({"heard": Ended(), "state": exited(137), "lived_s": 17.0},
         Ending.BROKEN, "TOOL_DIED", "exit code 137"),
        ({"heard": Ended(), "lost": "It was restarted."},
         Ending.UNKNOWN, "ENGINE_LOST", "It was restarted."),
        ({"heard": None, "stopped": Stopped.DEADLINE, "lost": "It hangs."},
         Ending.UNKNOWN, "ENGINE_LOST", "It hangs."),
    ],
)  # fmt: skip
def test_each_end_has_one_code_and_its_cause(
    seen: dict[str, object], ending: Ending, code: str, word: str
) -> None:
    outcome = told(**seen)

    assert (outcome.ending, outcome.code) == (ending, code)
    assert word in outcome.message
    assert outcome.took_s == 0.5


def test_the_exit_code_is_told_only_where_it_was_seen() -> None:
    assert told(Ended(), state=exited(3)).exit_code == 3
    assert told(Ended(), state=RUNNING).exit_code is None
    assert told(Ended(), lost="away").exit_code is None


def test_an_answer_is_told_with_its_files() -> None:
    answer = Answer(nonce="n", result_json=b'{"a":1}', files=(File("a", b"x"),))

    outcome = told(Answered(answer))

    assert outcome.ending is Ending.ANSWERED
    assert (outcome.result_json, outcome.files) == (b'{"a":1}', answer.files)
    assert (outcome.code, outcome.message) == ("", "")


def test_a_failure_is_told_in_the_tools_own_words_and_without_files() -> None:
    answer = Answer(nonce="n", result_json=b"1", files=(File("a", b"x"),), failure=("NO", "No."))

    outcome = told(Answered(answer))

    assert (outcome.ending, outcome.code, outcome.message) == (Ending.TOOL_FAILED, "NO", "No.")
    assert (outcome.result_json, outcome.files) == (b"", ())


@pytest.mark.parametrize(
    ("result", "code"), [(b"{", "OUTPUT_NOT_JSON"), (b"[" * 33 + b"]" * 33, "OUTPUT_TOO_DEEP")]
)
def test_an_answer_that_is_no_result_is_broken(result: bytes, code: str) -> None:
    outcome = told(Answered(Answer(nonce="n", result_json=result)))

    assert (outcome.ending, outcome.code) == (Ending.BROKEN, code)
    assert outcome.result_json == b""
