r"""What a program reads: one JSON document, pure ASCII, with the protocol's own names.

Times are RFC 3339, enum members go without their prefix, and a field that carries JSON (`…_json`)
is that JSON.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_JSON_SUFFIX: Final = "_json"


def print_json(value: Any) -> None:
    """One document, for a command that ends."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """One line, for a command that goes on."""
    sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def plain(message: Message) -> dict[str, Any]:
    """A message as JSON values, every field of it; a message or time that is not there is null."""
    told: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        name, value = field.name, getattr(message, field.name)
        if field.message_type is not None and not field.is_repeated:
            told[name] = _plain_message(value) if message.HasField(name) else None
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            told[name] = {key: _parsed(value[key]) for key in value}
        elif name.endswith(_JSON_SUFFIX):
            told[name] = _parsed_field(field, value)
        else:
            told[name] = _plain_field(field, value)
    return told


def _plain_message(message: Message) -> Any:
    match message:
        case Timestamp():
            return message.ToJsonString()
        case Duration():
            return message.seconds + message.nanos / 1e9
        case _:
            return plain(message)


def _plain_field(field: Any, value: Any) -> Any:
    if field.is_repeated:
        return [_plain_one(field, item) for item in value]
    return _plain_one(field, value)


def _plain_one(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return enum_word(field.enum_type, value)
    if isinstance(value, Message):
        return _plain_message(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _parsed_field(field: Any, value: Any) -> Any:
    return [_parsed(item) for item in value] if field.is_repeated else _parsed(value)


def _parsed(value: bytes | str) -> Any:
    """The JSON that a field carries; null where it is empty, the text where it is not JSON."""
    try:
        return json.loads(value) if value else None
    except ValueError:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def enum_word(enum_type: Any, number: int) -> str:
    """`PENDING` for STATE_PENDING, without the prefix of all members; the number if unknown."""
    names: Mapping[int, Any] = enum_type.values_by_number
    if number not in names:
        return str(number)
    prefix = names[0].name.removesuffix("UNSPECIFIED")
    return str(names[number].name).removeprefix(prefix)
