"""What an operator does once, as a program: tools, policy, grants and credentials.

The same as `callbroker tools put`, `policy activate`, `access grant` and `token create`; a demo has
nobody to type them. One blocking channel with the operator's token.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from broker.v1 import admin_pb2, admin_pb2_grpc, types_pb2

_DEADLINE_S = 60.0


class Operator(AbstractContextManager["Operator"]):
    """Speaks to AdminService. To be entered with `with`."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._admin = admin_pb2_grpc.AdminServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def put_tools(
        self, documents: Iterable[Mapping[str, Any]], *, deadline_s: float = _DEADLINE_S
    ) -> None:
        """Put manifests in force, all or none."""
        manifests = [json.dumps(document).encode() for document in documents]
        self._admin.PutTools(
            admin_pb2.PutToolsRequest(manifests_json=manifests, reason="set up"),
            metadata=self._metadata,
            timeout=deadline_s,
        )

    def put_directory(self, document: Mapping[str, Any]) -> None:
        """Put all that one source says of known people and places in force."""
        kind, sensitivity = admin_pb2.DirectoryEntry.Kind, types_pb2.Artefact.Sensitivity
        entries = [
            admin_pb2.DirectoryEntry(
                kind=kind.Value(f"KIND_{entry['kind'].upper()}"),
                value=entry["value"],
                subject=entry.get("for", "*"),
                sensitivity=sensitivity.Value(
                    f"SENSITIVITY_{entry.get('sensitivity', 'none').upper()}"
                ),
            )
            for entry in document["entries"]
        ]
        self._admin.PutDirectory(
            admin_pb2.PutDirectoryRequest(
                source=document["source"], entries=entries, reason="set up"
            ),
            metadata=self._metadata,
            timeout=_DEADLINE_S,
        )

    def activate_policy(self, directory: Path | None = None, *, preset: str = "") -> Sequence[str]:
        """Put the shipped rule families in force, and those of a directory; returns their names."""
        files = (
            {str(p.relative_to(directory)): p.read_bytes() for p in _files(directory)}
            if directory is not None
            else {}
        )
        answer = self._admin.ActivatePolicy(
            admin_pb2.ActivatePolicyRequest(files=files, preset=preset, reason="set up"),
            metadata=self._metadata,
            timeout=_DEADLINE_S,
        )
        return list(answer.families)

    def grant(self, subject: str, scope: str, *, reason: str = "set up") -> None:
        """Give a principal, a group or an agent a scope."""
        self._admin.CreateGrant(
            admin_pb2.CreateGrantRequest(
                subject=subject, scope=types_pb2.Scope(name=scope), reason=reason
            ),
            metadata=self._metadata,
            timeout=_DEADLINE_S,
        )

    def create_token(  # noqa: D417 - groups, person and tools are as in the request
        self,
        kind: str,
        subject: str,
        *,
        person: str = "",
        groups: Sequence[str] = (),
        tools: Sequence[str] = (),
    ) -> str:
        """Make a credential and return its token.

        Args:
            kind: `host`, `agent`, `worker`, `reviewer`, `operator` or `auditor`.
            subject: who holds it.
        """
        answer = self._admin.CreateCredential(
            admin_pb2.CreateCredentialRequest(
                credential_class=admin_pb2.CredentialClass.Value(
                    f"CREDENTIAL_CLASS_{kind.upper()}"
                ),
                subject=subject,
                person=person,
                groups=groups,
                tools=tools,
            ),
            metadata=self._metadata,
            timeout=_DEADLINE_S,
        )
        return answer.token

    def workers(self) -> int:
        """How many workers are connected."""
        status = self._admin.GetStatus(
            admin_pb2.GetStatusRequest(), metadata=self._metadata, timeout=_DEADLINE_S
        )
        return len(status.workers)

    def holds_pending(self) -> int:
        """How many calls wait for a person."""
        status = self._admin.GetStatus(
            admin_pb2.GetStatusRequest(), metadata=self._metadata, timeout=_DEADLINE_S
        )
        return status.holds_pending

    def summary(self, invocation: str) -> str:
        """What people read of a call: its manifest's template, filled in."""
        return self._call(invocation).summary

    def hold(self, invocation: str) -> str:
        """The hold that a call waits in; empty where it does not wait."""
        return self._call(invocation).invocation.hold

    def _call(self, invocation: str) -> admin_pb2.InvocationSummary:
        return self._admin.ShowInvocation(
            admin_pb2.ShowInvocationRequest(name=invocation),
            metadata=self._metadata,
            timeout=_DEADLINE_S,
        ).invocation


def _files(directory: Path) -> Iterable[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())
