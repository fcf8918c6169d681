"""One container, one question, one answer.

The tool is loaded before anything is asked, so that a waiting container is ready; standard output
is taken away before that, so that nothing but this module's frames is ever written to the node.
After the answer there is nothing: the process ends a moment later, without tidying up. The
standard library alone, Python 3.9 and on.
"""

import gc
import os
import sys
import time

from sandboxes.entry import callbroker_tool, files, frames, plain_json

NOT_LOADED = 3  # exit code: the tool's module could not be loaded, nothing was asked
NOT_ASKED = 0
CODE_CHARACTERS_MAX = 64
MESSAGE_CHARACTERS_MAX = 1_000
TOOL_MODULE = "tool"
# An engine works hardest when a container ends: calls of the same moment shall not wait for that.
LINGER_S = 0.04
_SIGKILL = 9  # of every Linux; `signal` loads enum, half a megabyte of a waiting container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Run = Callable[..., Any]


class _EndedEarly(Exception):
    """The node hung up before it had asked."""


def main(root: str = "/callbroker", work: str = "/tmp") -> "NoReturn":  # noqa: S108
    """Load the tool, say so, take one question, answer it, end.

    Args:
        root: where the image keeps the tool.
        work: the one place that may be written to.
    """
    answers = _take_standard_output()
    os.umask(0o077)
    try:
        os.mkdir(f"{work}/out", 0o700)  # noqa: PTH102 - pathlib costs memory
        run = _load(root)
    except BaseException:  # noqa: BLE001 - also what a module raises to end the process
        sys.excepthook(*sys.exc_info())
        os._exit(NOT_LOADED)
    _make_ready()
    try:
        _write(answers, frames.READY)
        question = _read_question()
    except (_EndedEarly, OSError):
        os._exit(NOT_ASKED)
    answer = _answer(run, question, work)
    _flush()
    _write(answers, frames.encode_answer(answer))
    time.sleep(LINGER_S)
    os._exit(0)


def _take_standard_output() -> int:
    """Its only descriptor is ours from here on; what is printed goes where errors go."""
    taken = os.dup(1)  # not inherited by programs that the tool starts (PEP 446)
    os.dup2(2, 1)
    return taken


def _load(root: str) -> "Run":
    sys.path.insert(0, f"{root}/tool")
    sys.path.append(f"{root}/packages")
    sys.modules["callbroker_tool"] = callbroker_tool
    if os.path.exists("/callbroker/egress"):  # noqa: PTH110 - pathlib costs memory
        callbroker_tool.fetch  # noqa: B018 - loads it before anything is asked
    run: Run = __import__(TOOL_MODULE).run
    return run


def _make_ready() -> None:
    """Go once through what an answer needs, and spare later collections what is there to stay."""
    frames.encode_answer(frames.Answer("", plain_json.dumps(plain_json.loads(b'{"a":[1.5]}'))))
    gc.collect()
    gc.freeze()


def _read_question() -> frames.Question:
    kind, length = frames.unpack_prefix(_read(frames.PREFIX_BYTES))
    if kind != frames.QUESTION or length > frames.HEADER_BYTES_MAX:
        raise _EndedEarly
    header = plain_json.loads(_read(length))
    input_json = _read(header["input"])
    handed = [frames.File(told["name"], _read(told["size"])) for told in header["files"]]
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return frames.Question(header["nonce"], input_json, handed)


def _read(size: int) -> bytes:
    pieces = []
    while size > 0:
        piece = os.read(0, min(size, 1 << 20))
        if not piece:
            raise _EndedEarly
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _answer(run: "Run", question: frames.Question, work: str) -> frames.Answer:
    try:
        result = _run(run, question, work)
        _end_other_processes()
        return frames.Answer(question.nonce, _encoded(result), files.collect(f"{work}/out"))
    except callbroker_tool.ToolFailed as failed:
        return frames.Answer(question.nonce, failure=_failure(failed.code, failed.message))
    except files.FileRefused as refused:
        return frames.Answer(question.nonce, failure=("OUTPUT_FILE_REFUSED", str(refused)))
    except BaseException:  # noqa: BLE001 - whatever a tool raises is the tool's failure
        sys.excepthook(*sys.exc_info())  # for the node's log; the model never reads it
        told = ("TOOL_ERROR", "The tool failed with an error of its own.")
        return frames.Answer(question.nonce, failure=told)


def _run(run: "Run", question: frames.Question, work: str) -> "Any":
    names = tuple(file.name for file in question.files)
    if names:
        files.lay_in(f"{work}/in", question.files)
    return run(callbroker_tool.Call(work, names), **plain_json.loads(question.input_json))


def _end_other_processes() -> None:
    """Nothing that the tool started may still write to the files that are about to be read."""
    if os.getpid() != 1:  # not alone in a namespace: -1 would be every process there is
        return
    while True:
        try:
            os.kill(-1, _SIGKILL)
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            continue
        except ProcessLookupError:
            return


def _flush() -> None:
    """What was printed reaches the log; a tool may have closed or replaced either stream."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001, S112 - the answer matters, and nothing else
            continue


def _encoded(result: object) -> bytes:
    try:
        return plain_json.dumps(result)
    except RecursionError:
        raise callbroker_tool.ToolFailed(
            "OUTPUT_TOO_DEEP", "The tool's result is nested too deeply."
        ) from None
    except (TypeError, ValueError) as wrong:
        sys.stderr.write(f"the result is not JSON: {wrong}\n")
        raise callbroker_tool.ToolFailed(
            "OUTPUT_NOT_JSON", "The tool's result is not JSON."
        ) from None


def _failure(code: object, message: object) -> "tuple[str, str]":
    told = str(message)[:MESSAGE_CHARACTERS_MAX].encode("utf-8", "replace").decode()
    named = str(code)
    plain = named.isascii() and named.replace("_", "").isalnum() and named == named.upper()
    if not plain or not named[0].isalpha() or len(named) > CODE_CHARACTERS_MAX:
        named = "TOOL_FAILED"
    return named, told
