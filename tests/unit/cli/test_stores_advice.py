"""`tools check` looks at all manifests together, without a broker."""

import json
from pathlib import Path
from typing import Any

from tests.unit.cli.conftest import Run

TOOL: dict[str, Any] = {
    "description": "Does it.",
    "summary": "Do it",
    "arguments": {"type": "object", "additionalProperties": False, "properties": {}},
    "result": False,
    "scopes": [{"name": "wiki:use"}],
}
READ = {
    **TOOL,
    "name": "read_page",
    "output": {"trust": "trusted", "sensitivity": "none"},
    "behaviour": {"read_only": True, "open_world": False},
    "stores": {"reads": ["wiki"], "writes": []},
}
EDIT = {**TOOL, "name": "edit_page", "stores": {"reads": [], "writes": ["wiki"]}}


def test_whose_word_does_not_count_is_said_with_who_takes_it(run: Run, here: Path) -> None:
    for manifest in (READ, EDIT):
        (here / f"{manifest['name']}.yaml").write_text(json.dumps(manifest))
    assert "counts as untrusted" not in run("tools", "check", "read_page.yaml").out
    ran = run("tools", "check", ".")
    assert ran.code == 0
    assert (
        "look at read_page: /output/trust: counts as untrusted: it reads wiki, which edit_page can"
        " write for an agent" in ran.out
    )
