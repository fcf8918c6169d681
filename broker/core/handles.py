"""A result that was released can be named in place of a value: `{"$result": …, "pointer": …}`.

What is named is put in before anything else looks at the call, so that the value itself is what is
digested, judged, reviewed and sent. It is put in once: what stands inside it names nothing, and
neither does text that reads like a handle.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue, MalformedJson, parse_object
from broker.core.canonical import canonical_bytes
from broker.core.limits import ARGUMENTS_BYTES_MAX
from broker.core.pointers import Missing, Pointer

RESULT: Final = "$result"
RESULT_UNKNOWN: Final = "RESULT_UNKNOWN"
RESULT_TOO_LARGE: Final = "RESULT_TOO_LARGE"
HANDLES_MAX: Final = 32
RESULTS_MAX: Final = 8  # that one call may name
_MEMBERS: Final = {RESULT, "pointer"}
_NAME_CHARACTERS_MAX: Final = 64


class HandleRefused(ValueError):
    """A handle stands for nothing, or for too much. `str()` is for the model.

    Attributes:
        code: RESULT_UNKNOWN or RESULT_TOO_LARGE.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """What stands for a part of a result.

    Attributes:
        invocation: that released it.
        pointer: into the result.
    """

    invocation: str
    pointer: Pointer


def named_results(arguments: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """The invocations whose results the arguments name, each once.

    Raises:
        HandleRefused: one is not written as it should be, or there are too many.
    """
    if RESULT in arguments:
        raise _unknown("The arguments as a whole are no handle.")
    handles = list(_handles(dict(arguments)))
    names = tuple(dict.fromkeys(handle.invocation for handle in handles))
    if len(handles) > HANDLES_MAX or len(names) > RESULTS_MAX:
        sentence = f"A call names at most {HANDLES_MAX} values of {RESULTS_MAX} results."
        raise HandleRefused(RESULT_TOO_LARGE, sentence)
    return names


def with_results(
    arguments: Mapping[str, JsonValue], results: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """The arguments with the values themselves in place of their handles.

    Args:
        arguments: that `named_results` has accepted.
        results: that were released to this session, by invocation.

    Raises:
        HandleRefused: a handle stands for nothing, or the whole is beyond an argument's bounds.
    """
    room = [ARGUMENTS_BYTES_MAX]
    put_in = {name: _put_in(member, results, room) for name, member in arguments.items()}
    try:
        return parse_object(canonical_bytes(put_in))
    except MalformedJson:
        raise _too_large() from None


def _handles(value: JsonValue) -> Iterator[Handle]:
    if isinstance(value, dict):
        if RESULT in value:
            yield _handle(value)
            return
        for member in value.values():
            yield from _handles(member)
    elif isinstance(value, list):
        for member in value:
            yield from _handles(member)


def _handle(value: Mapping[str, JsonValue]) -> Handle:
    name, pointer = value[RESULT], value.get("pointer")
    if value.keys() != _MEMBERS or not isinstance(name, str) or not isinstance(pointer, str):
        raise _unknown(f'A handle has "{RESULT}" and "pointer", both text, and nothing else.')
    try:
        at = Pointer.parse(pointer)
    except ValueError:
        raise _unknown("A handle's pointer is a JSON Pointer, such as /0/id.") from None
    if len(name) > _NAME_CHARACTERS_MAX or not name.isascii() or not name.isprintable():
        raise _nothing()
    return Handle(invocation=name, pointer=at)


def _put_in(value: JsonValue, results: Mapping[str, JsonValue], room: list[int]) -> JsonValue:
    if isinstance(value, list):
        return [_put_in(member, results, room) for member in value]
    if not isinstance(value, dict):
        return value
    if RESULT not in value:
        return {name: _put_in(member, results, room) for name, member in value.items()}
    handle = _handle(value)
    if handle.invocation not in results:
        raise _nothing()
    found = handle.pointer.resolve(results[handle.invocation])
    if isinstance(found, Missing):
        raise _nothing()
    room[0] -= len(canonical_bytes(found))
    if room[0] < 0:
        raise _too_large()
    return found


def _unknown(sentence: str) -> HandleRefused:
    return HandleRefused(RESULT_UNKNOWN, sentence)


def _nothing() -> HandleRefused:
    # One answer for another session's, one that was not released, and one that never was.
    return _unknown("A handle stands for nothing that was released in this session.")


def _too_large() -> HandleRefused:
    sentence = "With the named results in place the arguments are beyond their bounds."
    return HandleRefused(RESULT_TOO_LARGE, sentence)
