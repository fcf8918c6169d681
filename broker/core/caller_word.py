"""What `runner: caller` means: the agent's own process executes, and its word is all that there is.

An operator says so tool by tool, in the manifest, and neither policy nor an agent can. Whoever
registers such a tool is told plainly what it costs; its results are untrusted whatever the manifest
says of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

CALLER: Final = "caller"
BY_AGENT: Final = "agent"
# Of a call that a Person has settled; no tool says it of itself.
RECONCILED: Final = "RECONCILED"


def runner_advice(document: Mapping[str, Any]) -> Iterator[str]:
    """What follows from a manifest's `runner: caller`, for whoever registers it; nothing else."""
    if document.get("runner") != CALLER:
        return
    yield (
        "/runner: the agent's own process carries this out: it may do something else or do it"
        " twice, and nobody can stop it once it has its permit; its word is all that is recorded"
    )
    behaviour = document.get("behaviour", {})
    if behaviour.get("destructive", not behaviour.get("read_only", False)):
        yield (
            "/behaviour/destructive: what it destroys the agent's process can destroy without"
            " asking, as long as it holds the credentials for it"
        )
    if document.get("output", {}).get("trust") == "trusted":
        yield "/output/trust: counts as untrusted: it is the agent's word"
