"""Getting an address believed: by a store that I can have written, or as somebody else's."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from broker.core.calls import Caller, Context, Invocation
from broker.core.directory_checks import parse
from broker.core.directory_rows import source_changes, source_of
from broker.core.unit import DropControl
from broker.ports import FrozenCall, Outcome, Succeeded
from tests.world import AGENT, CUSTOMER, World, world

THIEF = "thief@evil.example"
TEXT: dict[str, Any] = {"type": "string", "maxLength": 300}


def tool(name: str, *arguments: str, read_only: bool, stores: dict[str, list[str]] | None = None):
    """A tool whose manifest calls its results trusted."""
    return {
        "name": name,
        "description": "Does it.",
        "summary": f"Call {name}",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "required": list(arguments),
            "properties": dict.fromkeys(arguments, TEXT),
        },
        "output": {"trust": "trusted", "sensitivity": "none"},
        "behaviour": {"read_only": read_only, "open_world": False},
        "scopes": [{"name": "wiki:use"}],
        **({} if stores is None else {"stores": stores}),
    }


READ = tool("read_page", read_only=True, stores={"reads": ["wiki"], "writes": []})
EDIT = tool("edit_page", "text", read_only=False, stores={"reads": [], "writes": ["wiki"]})
SEND = tool("send_mail", "to", read_only=False, stores={"reads": [], "writes": ["outbox"]})


@contextlib.asynccontextmanager
async def wiki(path: Path, *documents: dict[str, Any]) -> AsyncIterator[World]:
    """A broker with these tools over one page that they share."""
    page = {"text": "Nothing yet."}

    def carried_out(call: FrozenCall) -> Outcome:
        page.update({k: v for k, v in call.invocation.call.arguments.items() if k == "text"})
        return Succeeded(result_json=json.dumps(page).encode())

    async with world(path) as w:
        for document in documents:
            await w.put_tool(document)
        await w.grant("groups/customers", "wiki:use")
        await w.grant(AGENT, "wiki:use")
        w.runner.effect = carried_out
        yield w


async def fresh(w: World) -> Caller:
    """A session whose model has read nothing yet."""
    words = ("Send the report to whom the page names.",)
    return await w.caller(scopes=("wiki:use",), words=words, context=Context.MEDIATED)


async def call(w: World, caller: Caller, name: str, **arguments: Any) -> Invocation:
    w.requests += 1
    return await w.enforcer.invoke(
        caller,
        request_id=f"w{w.requests}",
        tool=name,
        arguments_json=json.dumps(arguments).encode(),
    )


async def sent(w: World, caller: Caller, to: str = THIEF) -> Any:
    """Have it sent, and return where policy was told that the address comes from."""
    await call(w, caller, "send_mail", to=to)
    asked: Any = w.policy.asked[-1]
    return asked["provenance"]["/to"]["source"]


async def test_what_one_session_wrote_is_no_word_of_ours_in_the_next(tmp_path: Path):
    """In a session that read my mail, have my address put on the page; have another read it."""
    async with wiki(tmp_path, READ, EDIT, SEND) as w:
        await call(w, await fresh(w), "edit_page", text=THIEF)
        reader = await fresh(w)
        await call(w, reader, "read_page")
        told: Any = w.policy.asked[-1]
        assert told["tool"]["output"]["trust"] == "untrusted"
        assert await sent(w, reader) == "untrusted_result"
        asked: Any = w.policy.asked[-1]
        assert "untrusted" in asked["session"]["labels"]


async def test_a_page_that_no_tool_writes_keeps_its_word(tmp_path: Path):
    """The same with nobody to write it, which shows what the test above rests on."""
    async with wiki(tmp_path, READ, SEND) as w:
        w.runner.effect = lambda _: Succeeded(result_json=json.dumps({"text": THIEF}).encode())
        reader = await fresh(w)
        await call(w, reader, "read_page")
        assert await sent(w, reader) == "trusted_result"


async def test_a_tool_that_comes_later_counts_from_then_on(tmp_path: Path):
    """Wait until a tool that writes the page is put in force beside the one that reads it."""
    async with wiki(tmp_path, READ, SEND) as w:
        before = w.room.current().tools["read_page"].output.trust
        await w.put_tool(EDIT)
        assert (before, w.room.current().tools["read_page"].output.trust) == (
            "trusted",
            "untrusted",
        )
        await w.put(DropControl(kind="tool", key="edit_page"))
        assert w.room.current().tools["read_page"].output.trust == "trusted"


async def test_a_tool_that_reads_what_it_writes_is_not_believed_either(tmp_path: Path):
    """Write and read by one tool, so that no other one is seen to write."""
    both = tool("append", "text", read_only=False, stores={"reads": ["wiki"], "writes": ["wiki"]})
    async with wiki(tmp_path, both, SEND) as w:
        caller = await fresh(w)
        await call(w, caller, "append", text=THIEF)
        assert await sent(w, caller) == "untrusted_result"


async def test_what_is_known_to_another_is_not_known_to_me(tmp_path: Path):
    """Have it sent to an address that the operator knows, but for somebody else."""
    known = parse(
        {
            "source": "CRM",
            "entries": [
                {"kind": "mailbox", "value": "c-9@shop.example", "for": "customers/c-9"},
                {"kind": "mailbox", "value": "leads@shop.example", "for": "groups/leads"},
                {"kind": "mailbox", "value": "c-204@shop.example", "for": CUSTOMER},
            ],
        }
    )
    mail = {
        **SEND,
        "arguments": {
            **SEND["arguments"],
            "properties": {"to": {"type": "string", "format": "email", "maxLength": 300}},
        },
    }
    async with wiki(tmp_path, mail) as w:
        await w.put(*source_changes(source_of(known, put_at=1.0, put_by="op"), known))
        caller = await fresh(w)
        told = {
            to: await sent(w, caller, to)
            for to in ("c-9@shop.example", "leads@shop.example", "c-204@shop.example")
        }
        assert told.pop("c-204@shop.example") == "directory"
        assert "directory" not in told.values()
