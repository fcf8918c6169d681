"""A drafted manifest says only what the code says; whatever it cannot know is assumed at its worst.

So a drafted tool writes, destroys, must not be repeated, reaches outside, and needs a scope of its
own that nobody holds yet. A person makes it milder, line by line.
"""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import cast

import yaml

from broker.core.arguments import JsonValue
from broker.core.manifest import ManifestRefused, parse
from broker.sdk.signature import parameters_schema, result_schema

Document = dict[str, JsonValue]

SCHEMA_COMMENT = "# yaml-language-server: $schema={schema}\n"
_SUMMARY_ARGUMENTS_MAX = 3


class DraftRefused(ValueError):
    """Some functions cannot be drafted; `findings` says which, why and what to do."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


def draft(module: ModuleType) -> dict[str, Document]:
    """Manifests for a module's public functions.

    Args:
        module: imported already. Functions that it defines itself count, where their names do not
            begin with an underscore and `__all__`, if there is one, has them.

    Returns:
        By tool name, each a document that `manifest.parse` takes.

    Raises:
        DraftRefused: there is none, or a signature cannot be written as a schema.
    """
    documents: dict[str, Document] = {}
    findings: list[str] = []
    for name, function in _public_functions(module).items():
        try:
            document = _document(name, function)
            parse(document)
        except TypeError as error:
            findings.append(str(error))
        except ManifestRefused as refused:
            findings.extend(f"{name}: {finding}" for finding in refused.findings)
        else:
            documents[name] = document
    if not documents and not findings:
        findings.append(f"{module.__name__}: defines no public function; write one with types")
    if findings:
        raise DraftRefused(tuple(findings))
    return documents


def to_yaml(document: Document, *, schema: str = "../policies/schemas/manifest.json") -> str:
    """A manifest as a file has it.

    Args:
        document: of JSON values.
        schema: where the file will find the manifests' schema, relative to itself; a line that lets
            editors complete it says so. Empty where there is none.
    """
    text = yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=96
    )
    return (SCHEMA_COMMENT.format(schema=schema) if schema else "") + text


def _public_functions(module: ModuleType) -> dict[str, Callable[..., object]]:
    exported = getattr(module, "__all__", None)
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and (exported is None or name in exported)
    }


def _document(name: str, function: Callable[..., object]) -> Document:
    arguments = cast("Document", parameters_schema(function))
    result = cast("JsonValue", result_schema(function))
    return {
        "name": name,
        "description": _first_line(function) or _spoken(name),
        "summary": _summary(name, arguments),
        "arguments": arguments,
        **({} if result is None else {"result": result}),
        "output": {"trust": "untrusted", "sensitivity": "secret"},
        "behaviour": {
            "read_only": False,
            "destructive": True,
            "idempotent": False,
            "open_world": True,
        },
        "scopes": [{"name": f"{name}:use"}],
        "runner": "worker",
        "deadline_s": 30,
    }


def _first_line(function: Callable[..., object]) -> str:
    return (inspect.getdoc(function) or "").strip().partition("\n")[0].strip()


def _spoken(name: str) -> str:
    words = name.replace("_", " ").strip()
    return f"{words[:1].upper()}{words[1:]}."


def _summary(name: str, arguments: Document) -> str:
    required = arguments.get("required")
    names = [n for n in required if isinstance(n, str)] if isinstance(required, list) else []
    shown = ", ".join(f"{n} {{/{n}}}" for n in names[:_SUMMARY_ARGUMENTS_MAX])
    return f"{_spoken(name).removesuffix('.')}{': ' if shown else ''}{shown}"
