"""What a desk in a browser's tests is provided with: tools, rules, tokens and a worker."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from broker.tools.registry import read_manifests
from broker.yaml_documents import read_yaml
from examples.support_desk import agents
from examples.support_desk.operating import Operator

ROOT = Path(__file__).resolve().parents[2]
DESK = ROOT / "examples" / "support_desk"
LEADS = "support-leads"

STEP_UP_OVER_MINOR = 20_000
HIGH = f"""# METADATA
# title: High
# description: |
#   Whoever lets very much money go shows anew who they are. Times differ.
# schemas:
#   - input: schema.input
#   - input.call.arguments: schema.tools.refund.arguments
package broker.rules.high

verdicts contains {{
	"effect": "HOLD",
	"code": "REFUND_IS_HIGH",
	"message": "A very large refund takes a fresh sign-in.",
	"hold": {{"reviewers": ["{LEADS}"], "step_up": true}},
}} if {{
	input.call.tool == "refund"
	input.call.arguments.amount_minor > {STEP_UP_OVER_MINOR}
}}

verdicts contains {{
	"effect": "HOLD",
	"code": "CANCEL_NEEDS_PERSON",
	"message": "What is cancelled is looked at within a day.",
	"hold": {{"reviewers": ["{LEADS}"], "decide_within_s": 86400}},
}} if input.call.tool == "cancel_order"

verdicts contains {{
	"effect": "HOLD",
	"code": "DELETE_IS_SOON",
	"message": "What cannot be taken back is decided within ten minutes, or not at all.",
	"hold": {{"reviewers": ["{LEADS}"], "decide_within_s": 600}},
}} if input.call.tool == "delete_customer"
"""


def provide(operator: Operator, directory: Path, *, rules: str = HIGH) -> Mapping[str, str]:
    """What is in force: the desk's tools and rules, and ours; who may what; everybody's token.

    Args:
        operator: puts it in force.
        directory: of files that it takes.
        rules: ours; none where empty.
    """
    manifests = [document for _, document in read_manifests(DESK / "tools")]
    operator.put_tools(manifests)
    known = read_yaml((DESK / "directory.yaml").read_bytes())
    operator.put_directory(cast("Mapping[str, Any]", known))
    policies = directory / "policies"
    shutil.copytree(DESK / "policies", policies)
    if rules:
        ours = policies / "broker" / "rules" / "high"
        ours.mkdir()
        (ours / "high.rego").write_text(rules, encoding="utf-8")
    operator.activate_policy(policies)
    for scope in agents.SCOPES:
        operator.grant("groups/customers", scope)
        operator.grant(agents.AGENT, scope)
    return {
        "reviewer": operator.create_token("reviewer", "lead-3", person="lead-3", groups=[LEADS]),
        "host": operator.create_token("host", "hosts/shop-front"),
        "agent": operator.create_token("agent", agents.AGENT, person="support-engineer"),
        "worker": operator.create_token(
            "worker", "workers/shop", tools=[str(one["name"]) for one in manifests]
        ),
    }


@contextlib.contextmanager
def working(
    address: str, token: str, shop: Path, module: str = "examples.support_desk.worker", **more: str
) -> Iterator[None]:
    """The desk's own worker, or another module that starts it."""
    environment = {
        **os.environ,
        "CALLBROKER_ADDRESS": address,
        "CALLBROKER_WORKER_TOKEN": token,
        "SUPPORT_DESK_SHOP": str(shop),
        **more,
    }
    with subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)
