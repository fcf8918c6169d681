"""Recorded tools become manifests by one rule for all of them; a shop's own overlay adds its facts.

The record's annotations say what an operator would declare: what a tool reads, reaches and carries,
and whose words come back. They become behaviour, targets, payload and output word for word. What an
annotation does not say is assumed at its worst, as in any manifest. Each tool needs a scope of its
own. Nothing here knows a tool or a suite by name.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

# Effects after which something is gone or in other hands.
_DESTRUCTIVE = frozenset({"delete", "admin", "credential", "exec"})


def broker_names(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """For each recorded name, one that a manifest may have; different ones stay different."""
    names: dict[str, str] = {}
    for record in records:
        plain = re.sub(r"[^a-z0-9_.-]+", "_", record["name"].lower())[:56].strip("_") or "tool"
        name = plain if plain[0].isalpha() else f"t_{plain}"
        while name in names.values():
            name = f"{name[:60]}_{len(names)}"
        names[record["name"]] = name
    return names


def manifest(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The manifest of a recorded tool."""
    said = record["annotations"]
    read_only = said["read_only"] is True
    properties = record["input_schema"].get("properties", {})
    return {
        "name": name,
        "description": record["description"][:4000] or name,
        "summary": name,
        "arguments": record["input_schema"],
        "output": {
            "trust": "untrusted" if said["untrusted_output"] else "trusted",
            "sensitivity": "personal" if said["sensitive_output"] else "none",
        },
        "behaviour": {
            "read_only": read_only,
            "destructive": not read_only and said["effect"] in _DESTRUCTIVE,
            "idempotent": read_only,
            "open_world": _reaches_outside(said),
        },
        "targets": [_pointer(t) for t in said["targets"] if t in properties],
        "payload": [_pointer(p) for p in said["payload"] if p in properties],
        "scopes": [{"name": f"{name}:use"}],
        "runner": "worker",
        "deadline_s": 30,
    }


def directory(said: Mapping[str, Any]) -> dict[str, Any]:
    """What an operator would have provisioned, as one source of the directory."""
    entries = [
        *(
            {"kind": _kind(value), "value": value, "sensitivity": "secret"}
            for value in said["self"]
        ),
        *({"kind": "domain", "value": value} for value in said["org_domains"]),
        *({"kind": _kind(value), "value": value} for value in said["known_recipients"]),
        *({"kind": "account", "value": value} for value in said["known_payees"]),
        *({"kind": "person", "value": value} for value in said["members"]),
        *({"kind": "channel", "value": value} for value in said["channels"]),
    ]
    return {"source": "provisioned", "entries": _each_once(entries)}


def _kind(value: str) -> str:
    return "mailbox" if "@" in value else "account"


def _each_once(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of those that say the same of one value."""
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        first.setdefault((entry["kind"], entry["value"].casefold()), entry)
    return list(first.values())


def _reaches_outside(said: Mapping[str, Any]) -> bool:
    """A fetch tells the address to whoever is there; consequences are somebody's, or destroy."""
    if said["effect"] == "fetch":
        return True
    return said["consequential"] is not False and said["effect"] not in _DESTRUCTIVE


def overlaid(document: dict[str, Any], overlay: Path, *, origin: str) -> dict[str, Any]:
    """The manifest with its shop's facts, bound scopes and exclusive keys, where it has some.

    Args:
        document: a manifest of `manifest`.
        overlay: a directory of `{tool}.yaml`.
        origin: of the shop's interface, which is at another port in every run.
    """
    path = overlay / f"{document['name']}.yaml"
    if not path.is_file():
        return document
    text = path.read_text(encoding="utf-8").replace("http://127.0.0.1:1", origin)
    return {**document, **yaml.safe_load(text)}


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
