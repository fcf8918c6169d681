"""The tools of a test's shop and the rules that they are under.

Every way to be decided is there: allowed, held for one person or two, denied, an error, a loop.
"""

from collections.abc import Mapping
from typing import Any

AGENT, OTHER_AGENT = "agents/assistant", "agents/stranger"
CUSTOMER = "customers/c-204"
LINGER_S = 2.5
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b1m\u202e\u200b\r[bold]"
TEXT = {"type": "string"}


def tool(name: str, properties: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
    """A manifest; all arguments are required but `note`.

    It says as little as the rules that are shipped have nothing to say of, so that these here do.
    """
    return {
        "name": name,
        "description": "A tool of a test.",
        "summary": f"Carry out {name}",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "required": [key for key in properties if key != "note"],
            "properties": properties,
        },
        "behaviour": {"read_only": False, "destructive": False, "open_world": False},
        "targets": [],
        "payload": [],
        "scopes": [{"name": f"{name}:use"}],
        "runner": "worker",
        "deadline_s": 10,
        **more,
    }


READ_NOTE = tool(
    "read_note",
    {"note_id": TEXT},
    behaviour={"read_only": True, "destructive": False, "idempotent": True, "open_world": False},
)
REFUND = tool(
    "refund",
    {"order_id": TEXT, "amount_minor": {"type": "integer", "minimum": 1}, "note": TEXT},
    exclusive=["/order_id"],
    limits={"refunds": {"per": "principal", "window_s": 86_400, "calls": 1_000}},
)
DELETE_NOTE = tool(
    "delete_note",
    {"note_id": TEXT, "labels": {"type": "object", "additionalProperties": TEXT}},
    summary="Delete {/note_id}, called {note#/title}",
    facts={
        "note": {
            "source": "shop",
            "sql": "SELECT title FROM notes WHERE id = :id",
            "parameters": {"id": "/note_id"},
            "absent": "DENY",
            "deadline_s": 5,
            "shape": {"type": "object", "required": ["title"], "properties": {"title": TEXT}},
        }
    },
    review={"beside": {"/note_id": ["note#/title"]}},
)
WIPE = tool("wipe", {"note_id": TEXT})
PROBE = tool("probe", {"address": TEXT, "size": {"type": "integer"}})
LEDGER = tool("ledger", {"line": TEXT})
ARCHIVE = tool("archive", {"note_id": TEXT})
LINGER = tool("linger", {"line": TEXT})
TOOLS = (READ_NOTE, REFUND, DELETE_NOTE, WIPE, PROBE, LEDGER, ARCHIVE, LINGER)
NOT_GRANTED = "archive"

RULES = """\
package broker.rules.desk

verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."} if {
	input.call.tool in {"refund", "ledger", "probe", "linger"}
}

verdicts contains {
	"effect": "HOLD",
	"code": "ASK",
	"message": "A person decides on this note.",
	"hold": {"reviewers": ["leads"], "approvals_required": needed},
} if {
	needed := {"delete_note": 1, "wipe": 2}[input.call.tool]
}

verdicts contains {"effect": "DENY", "code": "INSIDE", "message": "Inside."} if {
	input.call.tool == "probe"
	net.cidr_contains("10.0.0.0/8", input.call.arguments.address)
}

verdicts contains {"effect": "DENY", "code": "NEVER", "message": "Never."} if {
	input.call.tool == "probe"
	some a in numbers.range(1, input.call.arguments.size)
	some b in numbers.range(1, input.call.arguments.size)
	a * b == -1
}
"""
FAMILY = {"broker/rules/desk/desk.rego": RULES.encode()}
