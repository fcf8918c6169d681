"""Asks the entry point of a built bundle on real OPA, many questions at once."""

import json
import tempfile
from pathlib import Path
from typing import Any

from broker.policy import opa_command
from broker.policy.bundle import PolicyBundle
from broker.policy.opa_command import ENTRY_POINT
from tests.fakes.policy_trees import opa


def ask(
    bundle: PolicyBundle, questions: list[Any], *, families: list[str] | None = None, **data: Any
) -> list[Any]:
    """Evaluate the entry point on many inputs; an undefined answer is None.

    Args:
        families: instead of the bundle's own.
        data: other members of `data.callbroker` to replace.
    """
    replaced = data if families is None else {"families": families, **data}
    swaps = "".join(
        f" with data.callbroker.{name} as {json.dumps(value)}" for name, value in replaced.items()
    )
    query = f"{{i: d | some i, x in input.batch; d := {ENTRY_POINT} with input as x{swaps}}}"
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bundle.tar.gz"
        path.write_bytes(bundle.bundle)
        printed = opa_command.query(opa(), query, bundle=path, given={"batch": questions})
    answers = printed["result"][0]["expressions"][0]["value"]
    return [answers.get(str(number)) for number in range(len(questions))]
