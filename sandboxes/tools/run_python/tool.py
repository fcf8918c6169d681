"""Runs Python that nobody has read, and says what it printed and what it came to.

The code runs in a child of its own, so that one that dies, hangs or floods is still told of. What
it may reach is the container's business, not this module's.
"""

import ast
import json
import linecache
import math
import os
import sys
import traceback

from callbroker_tool import ToolFailed, run_child

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs a waiting container memory
    from collections.abc import Sequence
    from typing import Any

    from callbroker_tool import Call, Ended

    JsonObject = dict[str, Any]

SHOWN_BYTES_MAX = 48_000
RECORD_BYTES_MAX = 1_000_000
DEADLINE_S = 15.0
DEPTH_MAX = 12
NODES_MAX = 5_000
TEXT_MAX = 60_000  # in the worst case six bytes each, and 1 MiB is all that may come back
INTEGER_MAX = 2**53 - 1  # beyond it, JSON readers differ (RFC 7493 §2.2)
_NAME = "<code>"
_XCPU = 24


def run(call: "Call", *, code: str, stdin: str = "", files: "Sequence[str]" = ()) -> "JsonObject":
    """Run some code in the container's work directory.

    Args:
        call: its files lie in `in/` below the work directory; what is put into `out/` comes back.
        code: a module's text. The value of its last expression, or of a variable `result`, is told.
        stdin: what it reads.
        files: names of artefacts; they are in `call` already.
    """
    del files
    os.chdir(call.work)
    ended = run_child(
        lambda: _child(code),
        stdin=stdin.encode("utf-8", "replace"),
        deadline_s=DEADLINE_S,
        bytes_max=RECORD_BYTES_MAX,
    )
    record = _record(ended)
    return {
        "stdout": _shown(ended.stdout, ended.stdout_lost),
        "stderr": _shown(ended.stderr, ended.stderr_lost),
        **record,
    }


def _record(ended: "Ended") -> "JsonObject":
    """What the child said that it came to; a child that said nothing has died."""
    line, whole, _ = ended.record.partition(b"\n")
    if whole:
        return _checked(line)
    if ended.timed_out:
        raise ToolFailed("CODE_TIMED_OUT", f"The code ran for more than {DEADLINE_S:g} s.")
    if ended.signal == _XCPU:
        raise ToolFailed("CODE_CPU_EXHAUSTED", "The code used up its processor time.")
    if ended.signal:
        raise ToolFailed(
            "CODE_KILLED",
            f"The code was ended by signal {ended.signal}"
            + (", most likely for the memory that it took." if ended.signal == 9 else "."),  # noqa: PLR2004
        )
    raise ToolFailed("CODE_DIED", f"The code ended its process, with exit code {ended.exit_code}.")


def _checked(line: bytes) -> "JsonObject":
    """The code shares the child with whoever wrote this: nothing about it is certain."""
    try:
        said = json.loads(line)
        return {name: said[name] for name in ("result", "exit_code", "error")}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ToolFailed("CODE_DIED", "The code wrote where only its result belongs.") from None


def _child(code: str) -> None:
    """In the child: run it, then say what it came to, unless it has ended the process."""
    sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    said: JsonObject = {"result": None, "exit_code": 0, "error": None}
    own = os.getpid()
    try:
        said["result"] = told(_value(code))
    except SystemExit as ended:
        said["exit_code"] = _exit_code(ended.code)
    except BaseException as error:  # noqa: BLE001 - it is told, whatever it is
        said["exit_code"] = 1
        said["error"] = _cut(f"{type(error).__name__}: {error}", 2_000)
        _print_error(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    if os.getpid() != own:  # a copy that the code made of itself has nothing to tell
        os._exit(0)
    line = json.dumps(said).encode() + b"\n"
    while line:
        line = line[os.write(3, line) :]


def _value(code: str) -> object:
    """The value of the last expression, else of `result`."""
    lines = code.splitlines(keepends=True)
    linecache.cache[_NAME] = (len(code), None, lines, _NAME)  # a traceback then shows them
    tree = ast.parse(code, _NAME)
    last = None
    ending = tree.body[-1] if tree.body else None
    if isinstance(ending, ast.Expr):
        tree.body.pop()
        last = ast.Expression(ending.value)
    room = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(compile(tree, _NAME, "exec", dont_inherit=True), room)  # noqa: S102 - that is what it is for
    if last is None:
        return room.get("result")
    value = eval(compile(last, _NAME, "eval", dont_inherit=True), room)  # noqa: S307 - likewise
    return room.get("result") if value is None else value


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _print_error(error: BaseException) -> None:
    """The traceback, from the code's own first line on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != _NAME:
        frames = frames.tb_next
    sys.stderr.write("".join(traceback.format_exception(type(error), error, frames, limit=-30)))


def told(value: object) -> "Any":
    """A value as JSON where it is plain and small, else as its `repr`, cut."""
    try:
        return _plain(value, DEPTH_MAX, [NODES_MAX, TEXT_MAX])
    except (TypeError, ValueError):
        return _cut(_repr(value), TEXT_MAX)


def _plain(value: object, depth: int, left: "list[int]") -> "Any":
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise ValueError("too deep or too much")
    if value is None or type(value) is bool:
        return value
    if type(value) is int and abs(value) <= INTEGER_MAX:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is str:
        left[1] -= len(value)
        if left[1] < 0:
            raise ValueError("too long")
        value.encode()  # a lone surrogate is no text
        return value
    if type(value) is list or type(value) is tuple:
        return [_plain(one, depth - 1, left) for one in value]
    if type(value) is dict and all(type(key) is str for key in value):
        return {_plain(k, depth - 1, left): _plain(v, depth - 1, left) for k, v in value.items()}
    raise TypeError("not plain")


def _repr(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - the code's own
        text = f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(text: str, most: int) -> str:
    plain = text.encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= most else f"{plain[:most]} [{len(plain) - most} characters more]"


def _shown(kept: bytes, lost: int) -> str:
    text = kept[:SHOWN_BYTES_MAX].decode("utf-8", "replace")
    more = len(kept) - len(kept[:SHOWN_BYTES_MAX]) + lost
    return f"{text}\n[{more} bytes more]" if more else text
