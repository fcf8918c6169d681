"""The policy of a directory, built here as a broker would build it, to be tried on past calls."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.cli.connection import Line, looking
from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.in_force import tools_in_force
from broker.cli.opening import refusing
from broker.cli.policy_check import checked_policy
from broker.cli.trees import checked, documents, policy_files
from broker.core.manifest import ToolManifest, parse
from broker.policy import opa_binary
from broker.policy.bundle import PolicyBundle
from broker.ports import PolicyOrder
from broker.v1.admin_pb2_grpc import AdminServiceStub


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A policy that is built.

    Attributes:
        manifests: that its rules were typed by.
        path: the file that OPA loads; gone when the block ends.
    """

    bundle: PolicyBundle
    manifests: Sequence[ToolManifest]
    preset: str
    opa: Path
    path: Path


@contextlib.contextmanager
def candidate(
    directory: Path | None, *, preset: str, tools: Path | None, asks: bool = False
) -> Iterator[Candidate]:
    """Build a policy.

    Args:
        directory: an operator's own tree; the shipped library alone where there is none.
        preset: as configured where empty.
        tools: manifests that its rules are typed by; as configured where there are none.
        asks: where none are configured, take those that the broker has in force.

    Raises:
        CommandFailed: it is refused, with every finding, or there is no OPA.
    """
    configured = settings()
    where = tools or configured.tools
    manifests = _in_force() if asks and where is None else _read(where)
    order = PolicyOrder(
        files={} if directory is None else policy_files(directory),
        preset=preset or configured.preset,
    )
    with built(order, manifests) as found:
        yield found


@contextlib.contextmanager
def built(order: PolicyOrder, manifests: Sequence[ToolManifest]) -> Iterator[Candidate]:
    """Build a policy of these sources, typed by these manifests.

    Raises:
        CommandFailed: it is refused, with every finding, or there is no OPA.
    """
    configured = settings()
    bundle = checked_policy(order, manifests, configured.opa)
    with refusing():
        opa = opa_binary.find(configured.opa)
    if opa is None or not isinstance(bundle, PolicyBundle):
        raise CommandFailed("There is no OPA here any more.", exit_code=ExitCode.USAGE)
    with tempfile.TemporaryDirectory(prefix="callbroker-candidate-") as scratch:
        path = Path(scratch) / "bundle.tar.gz"
        path.write_bytes(bundle.bundle)
        yield Candidate(bundle=bundle, manifests=manifests, preset=order.preset, opa=opa, path=path)


def _read(where: Path | None) -> list[ToolManifest]:
    return [] if where is None else checked(documents([where]))


def _in_force() -> list[ToolManifest]:
    with looking() as line:
        return manifests_in_force(line)


def manifests_in_force(line: Line[AdminServiceStub]) -> list[ToolManifest]:
    """Those of the broker."""
    return [parse(json.loads(manifest.document_json)) for manifest in tools_in_force(line)]
