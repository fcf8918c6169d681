"""A tool that takes files and leaves some, in a world where its runner is the test's."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from broker.artefacts import Upload
from broker.core.artefacts import Artefact
from broker.core.calls import Caller, Invocation
from broker.ports import CarriedFile, FrozenCall, Outcome, Succeeded
from tests.world import AGENT, CUSTOMER, World, world

CONVERT = {
    "name": "convert",
    "description": "Make one file of others.",
    "summary": "Convert {/document}",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "document": {"type": "string", "maxLength": 200},
            "beside": {"type": "array", "items": {"type": "string", "maxLength": 200}},
        },
    },
    "output": {"trust": "trusted", "sensitivity": "none"},
    "behaviour": {"read_only": True, "open_world": False},
    "scopes": [{"name": "files:convert"}],
    "runner": "sandbox",
    "sandbox": {
        "image": f"sha256:{'1' * 64}",
        "files": {"in": ["/document", "/beside"], "out": {"max": 2, "bytes_max": 1_000}},
    },
}


@contextlib.asynccontextmanager
async def filed_world(path: Path, **changed: Any) -> AsyncIterator[tuple[World, Caller]]:
    """A broker with the tool, and a session that may use it; `changed` is the manifest's."""
    async with world(path) as w:
        await w.put_tool(CONVERT, **changed)
        await w.grant("groups/customers", "files:convert")
        await w.grant(AGENT, "files:convert")
        leaving(w)
        yield w, await another(w)


async def another(w: World, principal: str = CUSTOMER) -> Caller:
    """One more session of the same agent, for the same principal if no other is named."""
    return await w.caller(principal, scopes=("files:convert",))


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def upload(
    w: World, caller: Caller, content: bytes = b"content", *, name: str = "a.txt", **said: Any
) -> Artefact:
    """A file of the session; `said` is what is announced otherwise than it is."""
    announced = Upload(**{"file_name": name, "size": len(content), **said})
    return await w.artefacts.create(caller, announced, chunks(content))


async def convert(w: World, caller: Caller, **arguments: Any) -> Invocation:
    """One call of the tool."""
    w.requests += 1
    return await w.enforcer.invoke(
        caller,
        request_id=f"c{w.requests}",
        tool="convert",
        arguments_json=json.dumps(arguments).encode(),
    )


def leaving(w: World, *files: tuple[str, bytes], trail: dict[str, Any] | None = None) -> None:
    """Have the tool answer with these files."""

    def answer(call: FrozenCall) -> Outcome:
        del call
        left = tuple(CarriedFile(name=name, content=content) for name, content in files)
        return Succeeded(result_json=b'{"done":true}', files=left, trail=trail or {})

    w.runner.effect = answer


async def ended(w: World, invocation: Invocation) -> dict[str, Any]:
    """The entry of a call's end."""
    entries = await w.store.entries(invocation.name)
    return dict([one for one in entries if one["kind"] == "call.ended"][-1])
