"""A tool that only looks, and how a manifest names it for what became of refunds."""

from typing import Any, Final

LOOKS: Final = {"read_only": True, "destructive": False, "idempotent": True, "open_world": False}
FIND: Final[dict[str, Any]] = {
    "name": "find_refund",
    "description": "Look whether a refund was made.",
    "summary": "Look for refund {/key}",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "required": ["key"],
        "properties": {
            "key": {"type": "string", "maxLength": 100},
            "order_id": {"type": "string"},
        },
    },
    "result": {
        "type": "object",
        "additionalProperties": False,
        "required": ["made"],
        "properties": {"made": {"type": "boolean"}, "state": {"enum": ["PAID", "NONE", "BUSY"]}},
    },
    "output": {"trust": "trusted", "sensitivity": "none"},
    "behaviour": LOOKS,
    "scopes": [{"name": "refunds:write"}],
    "runner": "worker",
    "deadline_s": 2,
}
RECONCILE: Final[dict[str, Any]] = {
    "tool": "find_refund",
    "arguments": {"key": "invocation#/name", "order_id": "/order_id"},
    "answer": "/made",
}
