"""A tool in force is compiled at its first call: whoever starts with thousands waits for none.

Its schemas were looked at when it was put in force. They are looked at once more before they are
first used, all of one tool together: if this release refuses one of them, nothing fits any.
"""

from collections.abc import Callable
from typing import Any

from broker.core.control import RegisteredTool
from broker.core.manifest import ToolManifest
from broker.core.manifest_checks import schema_findings
from broker.core.preview_tools import preview_tool
from broker.core.schemas import Validator
from broker.core.stores import effective_output, writers


def compiled(manifest: ToolManifest) -> RegisteredTool:
    """The manifest with its schemas compiled, as if there were no other tool.

    Raises:
        SchemaRefused: a schema does not compile.
    """
    result = None if manifest.result is None else Validator(manifest.result)
    return _tool(manifest, Validator(manifest.arguments), result)


def compiled_later(manifest: ToolManifest) -> RegisteredTool:
    """As `compiled`, of one that was in force before: nothing is compiled until it is used."""
    schemas = _Schemas(manifest)
    result = None if manifest.result is None else _ValidatorLater(schemas.result)
    return _tool(manifest, _ValidatorLater(schemas.arguments), result)


def _tool(manifest: ToolManifest, arguments: Validator, result: Validator | None) -> RegisteredTool:
    return RegisteredTool(
        manifest=manifest,
        output=effective_output(manifest, writers((manifest,))),
        arguments=arguments,
        result=result,
        preview=preview_tool(manifest, arguments),
    )


class _Schemas:
    """Those of one tool, before their first use. Two threads may both look: they find the same."""

    __slots__ = ("_are_good", "_manifest")

    def __init__(self, manifest: ToolManifest) -> None:
        self._manifest = manifest
        self._are_good: bool | None = None

    def arguments(self) -> object:
        """What calls must fit; False, which nothing fits, where a schema of the tool is refused."""
        return self._looked_at() and self._manifest.arguments

    def result(self) -> object:
        """Likewise of results."""
        return self._looked_at() and self._manifest.result

    def _looked_at(self) -> bool:
        if self._are_good is None:
            self._are_good = not schema_findings(self._manifest.document)
        return self._are_good


class _ValidatorLater(Validator):
    """Compiled when it is asked to be, or what it has of a schema is missed; then as any other."""

    __slots__ = ("_is_compiled", "_schema")

    def __init__(self, schema: Callable[[], object]) -> None:
        self._schema = schema
        self._is_compiled = False

    @property
    def is_compiled(self) -> bool:
        return self._is_compiled

    def compile(self) -> None:
        if not self._is_compiled:
            super().__init__(self._schema())
            self._is_compiled = True

    def __getattr__(self, name: str) -> Any:
        if name not in Validator.__slots__:
            raise AttributeError(name)
        self.compile()
        return getattr(self, name)
