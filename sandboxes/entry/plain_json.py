"""JSON by the interpreter's own reader and writer, without the package that lies around them.

`json` loads `re` and `enum` for patterns that only its slow paths use: a megabyte of each container
that waits. What CPython's own module for it reads and writes is the same; an interpreter without
that takes `json`. The standard library alone, Python 3.9 and on.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Read = Callable[[str], Any]
    Write = Callable[[object], str]

_SPACE = " \t\n\r"
# As `json.JSONEncoder`: indent, separators of key and item, sort_keys, skipkeys, allow_nan.
_WRITING = (None, ":", ",", False, False, False)


class _Reading:
    """What the C reader asks of a `json.JSONDecoder`."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: "dict[str, str]" = {}  # noqa: RUF012 - the reader's own, emptied after each text


def _of_the_interpreter() -> "tuple[Read, Write]":
    from _json import (  # noqa: PLC0415
        encode_basestring,
        make_encoder,
        make_scanner,
    )

    scan = make_scanner(_Reading)  # type: ignore[arg-type] # typeshed has its own class there

    def read(text: str) -> "Any":
        text = text.strip(_SPACE)
        try:
            value, end = scan(text, 0)
        except (StopIteration, SystemError):  # how the reader fails where `json` is not loaded
            value, end = None, -1
        if end != len(text):
            import json  # noqa: PLC0415 - which says what is wrong with it

            return json.loads(text)
        return value

    def write(value: object) -> str:
        # The first is what is being written, by which it finds what is within itself.
        encode = make_encoder({}, _refuse, encode_basestring, *_WRITING)
        return "".join(encode(value, 0))

    return read, write


def _of_the_package() -> "tuple[Read, Write]":
    import json  # noqa: PLC0415 - see above

    def write(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    return json.loads, write


def _refuse(value: object) -> "Any":
    raise TypeError(f"{type(value).__name__} is not JSON")


try:
    _read, _write = _of_the_interpreter()
except ImportError:
    _read, _write = _of_the_package()


def loads(text: bytes) -> "Any":
    """One JSON text, in UTF-8.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deeply.
    """
    return _read(text.decode())


def dumps(value: object) -> bytes:
    """One JSON text, in UTF-8, without spaces.

    Raises:
        TypeError, ValueError: it is not JSON: of another type, not a number, or within itself.
        RecursionError: it is nested too deeply.
    """
    return _write(value).encode()
