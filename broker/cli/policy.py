"""`callbroker policy`: rules come into force only once they answer; the ones before are kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from broker.cli import (
    policy_activate,
    policy_bundle,
    policy_case,
    policy_explain,
    policy_input,
    policy_new,
    policy_replay,
    policy_test,
)
from broker.cli.connection import ACTIVATE_DEADLINE_S, Line, administering, looking
from broker.cli.environment import settings
from broker.cli.failures import CommandFailed
from broker.cli.hold_picture import digest
from broker.cli.json_output import plain, print_json
from broker.cli.library_picture import library_text
from broker.cli.options import AsJson, Reason, group
from broker.cli.policy_observe import EPILOG as OBSERVE_EPILOG
from broker.cli.policy_observe import observe
from broker.cli.policy_shadow import EPILOG as SHADOW_EPILOG
from broker.cli.policy_shadow import shadow
from broker.cli.screen import around, list_width, ours, say, table, theirs
from broker.cli.times import clock, epoch
from broker.cli.trees import checked, documents, policy_files
from broker.cli.trial_picture import observation_line, shadow_line
from broker.ports import PolicyOrder
from broker.v1 import admin_pb2, observing_pb2
from broker.v1.admin_pb2 import Policy
from broker.v1.admin_pb2_grpc import AdminServiceStub

app = group("The rules.")

Directory = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Of broker/rules/FAMILY/, parameters/, presets/, lib/."),
]
Preset = Annotated[str, typer.Option(help="As configured where left out.")]


@app.command(epilog="Example: callbroker policy check policies/ --tools tools/")
def check(
    directory: Directory,
    *,
    tools: Annotated[
        Path | None,
        typer.Option(help="Manifests that rules are typed by; as configured where left out."),
    ] = None,
    preset: Preset = "",
    as_json: AsJson = False,
) -> None:
    """Check a policy here, without a broker.

    As `activate` would: layout, types, traps, entry point; but not against the policy in force. And
    what `activate` does not mind: formatting, length, names.
    """
    configured = settings()
    where = tools or configured.tools
    manifests = checked(documents([where])) if where is not None else []
    order = PolicyOrder(
        files=policy_files(directory),
        preset=preset or configured.preset,
        previous_families=(),
        dropped=(),
    )
    # OPA's parts, for this command alone.
    from broker.cli.policy_check import checked_policy, require_style  # noqa: PLC0415

    bundle = checked_policy(order, manifests, configured.opa)
    require_style(order.files, configured.opa)
    if as_json:
        print_json({"policy_revision": bundle.revision, "families": list(bundle.families)})
    else:
        typed = "" if manifests else " No tools were given, so arguments and facts are not typed."
        say(
            ours(f"{_count(bundle.families)}, nothing refused: ")
            + theirs(", ".join(bundle.families))
            + ours(f".{typed}")
        )


app.command("activate", epilog=policy_activate.ACTIVATE_EPILOG)(policy_activate.activate)
app.command("upgrade", epilog=policy_activate.UPGRADE_EPILOG)(policy_activate.upgrade)


@app.command(epilog='Example: callbroker policy rollback --reason "It held everything."')
def rollback(
    revision: Annotated[
        str, typer.Argument(help="One that was in force; the one before where left out.")
    ] = "",
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Put an earlier policy back in force."""
    with administering() as line:
        request = admin_pb2.RollbackPolicyRequest(
            policy_revision=_resolved(line, revision) if revision else "", reason=reason
        )
        told = line.ask(line.stub.RollbackPolicy, request, deadline_s=ACTIVATE_DEADLINE_S)
    if as_json:
        print_json(plain(told))
    else:
        say(ours("Policy ") + theirs(digest(told.policy_revision), "bold") + ours(" in force."))


app.command("observe", epilog=OBSERVE_EPILOG)(observe)
app.command("shadow", epilog=SHADOW_EPILOG)(shadow)


@app.command("list", epilog="Example: callbroker policy list")
def list_policies(*, as_json: AsJson = False) -> None:
    """Every policy that is or was in force, newest first."""
    with looking() as line:
        found = _kept(line)
        asked = observing_pb2.ListObservationsRequest()
        observed = line.ask(line.stub.ListObservations, asked).observations
        beside = line.ask(line.stub.GetShadow, observing_pb2.GetShadowRequest())
    if as_json:
        print_json(
            {
                "policies": [plain(policy) for policy in found],
                "observations": [plain(one) for one in observed],
                "shadow": plain(beside)["shadow"],
            }
        )
        return
    shown = around()
    rows = [
        [
            theirs(digest(policy.policy_revision), "bold"),
            ours(clock(epoch(policy.activate_time), now=shown.now, zone=shown.zone)),
            ours("in force" if policy.active else "", "green"),
            library_text(policy.library if policy.HasField("library") else None),
            theirs(", ".join(policy.families)),
        ]
        for policy in found
    ]
    if rows:
        say(*table(("Policy", "First", "", "Library", "Families"), rows, width=list_width(shown)))
    else:
        say("No policy was ever in force: callbroker policy activate DIR")
    say(*(ours("Observed ") + observation_line(one, shown) for one in observed))
    if beside.HasField("shadow"):
        say(ours("Shadow ") + shadow_line(beside.shadow, shown))


app.command("test", epilog=policy_test.EPILOG)(policy_test.policy_test)
app.command("bundle", epilog=policy_bundle.EPILOG)(policy_bundle.policy_bundle)
app.command("input", epilog=policy_input.EPILOG)(policy_input.policy_input)
app.command("case", epilog=policy_case.EPILOG)(policy_case.policy_case)
app.command("explain", epilog=policy_explain.EPILOG)(policy_explain.policy_explain)
app.add_typer(policy_new.app, name="new")
app.command("replay", epilog=policy_replay.EPILOG)(policy_replay.policy_replay)


def _resolved(line: Line[AdminServiceStub], text: str) -> str:
    """A whole revision for the beginning of one."""
    wanted = text.removeprefix("sha256:")
    revisions = [policy.policy_revision for policy in _kept(line)]
    found = [r for r in revisions if r.removeprefix("sha256:").startswith(wanted)]
    if len(found) == 1:
        return found[0]
    problem = "fits no policy" if not found else f"fits {len(found)} policies"
    raise CommandFailed(f"{text!r} {problem}: see `callbroker policy list`.")


def _kept(line: Line[AdminServiceStub]) -> Sequence[Policy]:
    return line.ask(line.stub.ListPolicies, admin_pb2.ListPoliciesRequest()).policies


def _count(families: Sequence[str]) -> str:
    return f"{len(families)} {'family' if len(families) == 1 else 'families'}"
