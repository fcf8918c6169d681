"""A function's signature is its schema: what JSON Schema cannot say is refused, never guessed.

Understood: str, int, float, bool, None, list, dict, tuple[X, ...], Sequence, Mapping, Literal,
unions, dataclasses, TypedDict, object and Any. Annotated passes its type through; a mapping among
its metadata adds keywords (`Annotated[str, {"pattern": "^O-"}]`), a string a description. Objects
are closed, unless a function takes `**others`. Standard library only: the command that drafts
manifests uses it too.
"""

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]

_SCALARS: Final[Mapping[object, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    None: "null",
    type(None): "null",
}
_ANYTHING: Final = (Any, object, inspect.Parameter.empty)
_ARRAYS: Final = (list, tuple, Sequence)
_MAPPINGS: Final = (dict, Mapping)
_MARKERS: Final = frozenset({typing.Required, typing.NotRequired})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a tool's function takes.

    Attributes:
        call: name of the first parameter where it is the `Call`, else empty.
        annotations: by parameter, without the call.
        required: those without a default.
        others: annotation of `**others`; None where the function takes no others.
    """

    call: str
    annotations: Mapping[str, Any]
    required: tuple[str, ...]
    others: Any


def parameters(function: Callable[..., object]) -> Parameters:
    """Reads a signature.

    The first parameter is the call where it is named `call` or annotated with a class `Call`.

    Raises:
        TypeError: a positional-only parameter, `*args`, or an annotation that has no value.
    """
    hints = _hints(function)
    annotations: dict[str, Any] = {}
    required: list[str] = []
    call, others = "", None
    for place, (name, parameter) in enumerate(inspect.signature(function).parameters.items()):
        annotation = hints.get(name, Any)
        if place == 0 and (name == "call" or getattr(annotation, "__name__", "") == "Call"):
            call = name
        elif parameter.kind is parameter.VAR_KEYWORD:
            others = annotation
        elif parameter.kind in {parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL}:
            raise TypeError(f"{_name(function)}: {parameter} cannot be given by name.")
        else:
            annotations[name] = annotation
            if parameter.default is parameter.empty:
                required.append(name)
    return Parameters(call=call, annotations=annotations, required=tuple(required), others=others)


def parameters_schema(function: Callable[..., object]) -> Schema:
    """JSON Schema 2020-12 of a function's arguments, as one object.

    Raises:
        TypeError: names the parameter whose annotation has no schema.
    """
    taken = parameters(function)
    members = {
        name: _schema(annotation, f"{_name(function)}({name})")
        for name, annotation in taken.annotations.items()
    }
    others: object = False
    if taken.others is not None:
        others = _schema(taken.others, f"{_name(function)}(**)") or True
    return _object(members, taken.required, others=others)


def result_schema(function: Callable[..., object]) -> Schema | None:
    """JSON Schema 2020-12 of what a function returns; None where it does not say.

    Raises:
        TypeError: the annotation has no schema.
    """
    hints = _hints(function)
    if "return" not in hints:
        return None
    return _schema(hints["return"], f"{_name(function)} -> result")


def decode(annotation: Any, value: Any) -> Any:
    """Gives a JSON value the shape that a parameter is annotated with.

    Dataclasses are built, arrays become tuples where a tuple is asked for, and a whole number
    becomes a float where one is: canonical JSON writes 1.0 as 1. All else passes unchanged.

    Raises:
        TypeError: a dataclass lacks a field or does not have one.
    """
    plain = _plain(annotation)
    if plain is float and type(value) is int:
        return float(value)
    if isinstance(value, dict):
        return _decode_object(plain, value)
    if isinstance(value, list):
        return _decode_array(plain, value)
    return value


def _decode_object(plain: Any, value: dict[str, Any]) -> Any:
    record = _record_among(plain)
    if record is not None:
        hints = typing.get_type_hints(record, include_extras=True)
        members = {key: decode(hints.get(key, Any), member) for key, member in value.items()}
        return members if typing.is_typeddict(record) else record(**members)
    arguments = typing.get_args(plain)
    if typing.get_origin(plain) in _MAPPINGS and arguments:
        return {key: decode(arguments[1], member) for key, member in value.items()}
    return value


def _decode_array(plain: Any, value: list[Any]) -> Any:
    for choice in _choices(plain):
        origin, arguments = typing.get_origin(choice) or choice, typing.get_args(choice)
        if origin in _ARRAYS:
            items = [decode(arguments[0], item) for item in value] if arguments else value
            return tuple(items) if origin is tuple else items
    return value


def _record_among(plain: Any) -> Any:
    """The one dataclass or TypedDict among the choices; None where there is none, or a doubt."""
    records = [c for c in _choices(plain) if dataclasses.is_dataclass(c) or typing.is_typeddict(c)]
    return records[0] if len(records) == 1 else None


def _choices(plain: Any) -> tuple[Any, ...]:
    if _is_union(plain):
        return tuple(_plain(choice) for choice in typing.get_args(plain))
    return (plain,)


def _schema(annotation: Any, where: str, within: tuple[Any, ...] = ()) -> Schema:
    plain = _plain(annotation)
    if any(plain is anything for anything in _ANYTHING):
        return _extra(annotation)
    return {**_described(plain, where, within), **_extra(annotation)}


def _described(plain: Any, where: str, within: tuple[Any, ...]) -> Schema:
    origin = typing.get_origin(plain) or plain
    if _is_scalar(plain):
        return {"type": _SCALARS[plain]}
    if origin is typing.Literal:
        return {"enum": list(typing.get_args(plain))}
    if _is_union(plain):
        return {"anyOf": [_schema(choice, where, within) for choice in typing.get_args(plain)]}
    for kinds, describe in ((_ARRAYS, _array), (_MAPPINGS, _mapping)):
        if origin in kinds:
            return describe(plain, where, within)
    if dataclasses.is_dataclass(plain) or typing.is_typeddict(plain):
        return _record(plain, where, within)
    raise TypeError(
        f"{where}: {plain!r} has no JSON Schema; use str, int, float, bool, None, list, dict, "
        "Literal, a dataclass or a TypedDict."
    )


def _array(plain: Any, where: str, within: tuple[Any, ...]) -> Schema:
    arguments = typing.get_args(plain)
    if typing.get_origin(plain) is tuple and (len(arguments) != 2 or arguments[1] is not ...):  # noqa: PLR2004 - X and ...
        raise TypeError(f"{where}: of tuples, only tuple[X, ...] has a schema here.")
    items = _schema(arguments[0], where, within) if arguments else {}
    return {"type": "array", "items": items} if items else {"type": "array"}


def _mapping(plain: Any, where: str, within: tuple[Any, ...]) -> Schema:
    arguments = typing.get_args(plain)
    if not arguments:
        return {"type": "object"}
    if arguments[0] is not str:
        raise TypeError(f"{where}: the keys of a JSON object are str.")
    return {"type": "object", "additionalProperties": _schema(arguments[1], where, within) or True}


def _record(plain: Any, where: str, within: tuple[Any, ...]) -> Schema:
    if plain in within:
        raise TypeError(f"{where}: {plain.__name__} contains itself; that has no schema here.")
    hints = typing.get_type_hints(plain, include_extras=True)
    required: Sequence[str]
    if typing.is_typeddict(plain):
        required = [name for name in hints if _is_required_key(plain, name, hints[name])]
        names: Sequence[str] = list(hints)
    else:
        fields = [field for field in dataclasses.fields(plain) if field.init]
        names = [field.name for field in fields]
        required = [field.name for field in fields if _is_required(field)]
    inside = (*within, plain)
    members = {name: _schema(hints[name], f"{where}.{name}", inside) for name in names}
    return _object(members, required, others=False)


def _is_required_key(plain: Any, name: str, hint: Any) -> bool:
    """By the resolved marker: `__required_keys__` misses markers in postponed annotations."""
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    marker = typing.get_origin(hint)
    return marker is typing.Required or (
        marker is not typing.NotRequired and name in plain.__required_keys__
    )


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _object(members: Mapping[str, Schema], required: Sequence[str], *, others: object) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": others}
    if required:
        schema["required"] = list(required)
    schema["properties"] = dict(members)
    return schema


def _plain(annotation: Any) -> Any:
    """The type under Annotated, Required, NotRequired and NewType."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated or origin in _MARKERS:
        return _plain(typing.get_args(annotation)[0])
    if isinstance(annotation, typing.NewType):
        return _plain(annotation.__supertype__)
    return annotation


def _extra(annotation: Any) -> Schema:
    """What Annotated adds."""
    if typing.get_origin(annotation) in _MARKERS:
        return _extra(typing.get_args(annotation)[0])
    extra: Schema = {}
    for note in getattr(annotation, "__metadata__", ()):
        if isinstance(note, Mapping):
            extra.update(note)
        elif isinstance(note, str):
            extra["description"] = note
    return extra


def _is_scalar(plain: Any) -> bool:
    return plain is None or (isinstance(plain, type) and plain in _SCALARS)


def _is_union(plain: Any) -> bool:
    return typing.get_origin(plain) in {typing.Union, types.UnionType}


@functools.lru_cache(maxsize=1024)
def _hints(function: Callable[..., object]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as unknown:
        raise TypeError(
            f"{_name(function)}: an annotation cannot be resolved: {unknown}"
        ) from unknown


def _name(function: Callable[..., object]) -> str:
    return str(getattr(function, "__qualname__", function))
