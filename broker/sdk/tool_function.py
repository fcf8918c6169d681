"""A tool is a function; what it takes and returns is read from its signature, once.

Nothing of a tool's code runs before its arguments fit: what does not fit was never started, and
the answer says so. What a function raises is `ToolFailed` (nothing took effect; the model reads it)
or anything else (it may have taken effect; the log reads it).
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, ParamSpec, TypeVar

from broker.sdk.encoding import to_json
from broker.sdk.signature import (
    Parameters,
    Schema,
    decode,
    parameters,
    parameters_schema,
    result_schema,
)
from broker.sdk.values import Call, Change
from broker.v1 import worker_pb2

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

MESSAGE_CHARACTERS_MAX: Final = 1_000
RESULT_BYTES_MAX: Final = 1024 * 1024
PREVIEW_SUFFIX: Final = ".preview"
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}")


class ToolFailed(Exception):
    """Raised by a tool that did nothing: nothing took effect, and this is why.

    Attributes:
        code: UPPER_SNAKE, at most 63 characters; stable.
        message: for the model; what is past 1000 characters is cut.
    """

    def __init__(self, code: str, message: str) -> None:
        if not _CODE.fullmatch(code):
            raise ValueError(
                f"A failure's code is UPPER_SNAKE, such as ORDER_CLOSED, not {code!r}."
            )
        super().__init__(code, message)
        self.code = code
        self.message = message[:MESSAGE_CHARACTERS_MAX]

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ToolFunction(Generic[P, R]):
    """A function that implements a tool; calling it calls the function.

    Attributes:
        name: the tool's.
        parameters_schema: JSON Schema 2020-12 of its arguments.
        result_schema: of what it returns; None where it does not say.
        previewer: set by `@tool.preview`; asked before a call that waits for people, and again
            before it runs.
        reconciler: set by `@tool.reconcile`; kept, not asked yet.
    """

    def __init__(self, name: str, function: Callable[P, R]) -> None:
        self.name = name
        self.function = function
        self.parameters_schema: Schema = parameters_schema(function)
        self.result_schema: Schema | None = result_schema(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self.previewer: PreviewFunction | None = None
        self.reconciler: Callable[..., Any] | None = None
        self._parameters: Parameters = parameters(function)
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function."""
        return self.function(*args, **kwargs)

    def preview(self, function: F) -> F:
        """Names the read-only function that says what a call would change, as a list of `Change`.

        It takes what the tool takes, or `**others` for what it does not need, and says the same of
        the same state of things: an approval is for exactly what it said.

        Raises:
            TypeError: the signature has no JSON Schema.
            ValueError: there is one already.
        """
        if self.previewer is not None:
            raise ValueError(f"There is a preview of {self.name} already.")
        self.previewer = PreviewFunction(f"{self.name}{PREVIEW_SUFFIX}", function)
        return function

    def reconcile(self, function: F) -> F:
        """Names the read-only function that finds what an earlier attempt did."""
        self.reconciler = function
        return function

    def bound(self, call: Call, arguments: Mapping[str, Any]) -> Callable[[], Any]:
        """The function with its arguments in place.

        Raises:
            TypeError: they do not fit the signature.
        """
        annotations = self._parameters.annotations
        keywords = {
            name: decode(annotations.get(name, self._parameters.others), value)
            for name, value in arguments.items()
        }
        if self._parameters.call:
            if self._parameters.call in arguments:
                raise TypeError(f"{self.name} has no argument {self._parameters.call!r}.")
            keywords = {self._parameters.call: call, **keywords}
        inspect.signature(self.function).bind(**keywords)
        return lambda: self.function(**keywords)  # type: ignore[call-arg]  # bind has checked them

    def result_json(self, result: object) -> bytes:
        """What it returned, as JSON.

        Raises:
            TypeError, ValueError: as of the function of this name.
        """
        return result_json(result)

    def offer(self) -> worker_pb2.ToolOffer:
        """What the worker tells the broker of it, and of its preview."""
        parameters_json, returned_json = self.schemas_json()
        told = self.previewer.schemas_json() if self.previewer is not None else (b"", b"")
        return worker_pb2.ToolOffer(
            name=self.name,
            parameters_schema_json=parameters_json,
            result_schema_json=returned_json,
            preview_parameters_schema_json=told[0],
            preview_result_schema_json=told[1],
        )

    def schemas_json(self) -> tuple[bytes, bytes]:
        """JSON Schemas of its arguments and of its result; the second empty where there is none."""
        result = self.result_schema
        return (
            to_json(self.parameters_schema, what=f"schema of {self.name}"),
            b"" if result is None else to_json(result, what=f"result schema of {self.name}"),
        )


class PreviewFunction(ToolFunction[..., Any]):
    """A function that says what a call would change."""

    def result_json(self, result: object) -> bytes:
        """The lines of the preview, as JSON, without what a line does not say.

        Raises:
            TypeError: it is no list of `Change`, or what is in one is not JSON.
        """
        if not isinstance(result, list) or not all(isinstance(line, Change) for line in result):
            raise TypeError(f"{self.name} returns a list of Change.")
        return result_json([_line(line) for line in result])


def _line(change: Change) -> dict[str, object]:
    """One kind of value has `before` and `after`, even where one is None; the other is money."""
    if change.before_minor is None and change.after_minor is None:
        return {"label": change.label, "before": change.before, "after": change.after}
    money = {
        "before_minor": change.before_minor,
        "after_minor": change.after_minor,
        "currency": change.currency,
    }
    return {"label": change.label, **{k: v for k, v in money.items() if v is not None}}


def result_json(result: object) -> bytes:
    """What a tool returned, as JSON. Dataclasses become objects.

    Raises:
        TypeError: it is not JSON.
        ValueError: it is more than 1 MiB.
    """
    encoded = to_json(_plain(result), what="result")
    if len(encoded) > RESULT_BYTES_MAX:
        raise ValueError(f"The result has {len(encoded)} bytes; at most {RESULT_BYTES_MAX} are.")
    return encoded


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
