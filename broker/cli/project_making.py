"""What an operator does once for a new project, through a broker that runs for that long.

On a free port, and by the same audited acts as any later change.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from broker import log
from broker.app import Application
from broker.bootstrap import operator_token
from broker.cli.connection import ACTIVATE_DEADLINE_S, Line, Token, open_channel
from broker.cli.environment import settings
from broker.cli.opening import refusing
from broker.cli.trees import as_bytes, documents, policy_files
from broker.config import Settings
from broker.token_files import save_token, token_path
from broker.v1 import admin_pb2
from broker.v1.admin_pb2 import CredentialClass
from broker.v1.admin_pb2_grpc import AdminServiceStub
from broker.v1.types_pb2 import Scope

AGENT: Final = "agents/assistant"
USERS: Final = "groups/users"
SCOPES: Final = ("notes:read", "notes:write")
_REASON: Final = "callbroker init"


def make_ready(configuration: Path) -> Settings:
    """Make the database, the tokens and everything that is in force.

    Args:
        configuration: the project's callbroker.toml.

    Raises:
        CommandFailed: a part cannot be made or started.
    """
    with _configured_by(configuration):
        configured = settings()
    log.configure(level="warning")
    with refusing():
        token = operator_token(configured)
        save_token(token_path(configured, "operator"), token)
        asyncio.run(_provision(configured, token))
    return configured


async def _provision(configured: Settings, token: str) -> None:
    """Put everything in force, as an operator would by command."""
    pages = configured.web.model_copy(update={"listen": ""})
    beside = configured.model_copy(update={"listen": "127.0.0.1:0", "web": pages})
    async with Application(beside) as broker:
        await asyncio.to_thread(_put_in_force, configured, broker.address, token)


def _put_in_force(configured: Settings, address: str, token: str) -> None:
    with open_channel(address) as channel:
        line = Line(
            stub=AdminServiceStub(channel),
            address=address,
            token=Token(text=token, origin="callbroker init"),
        )
        names = _tools_and_policy(line, configured)
        for subject in (USERS, AGENT):
            for scope in SCOPES:
                line.ask(
                    line.stub.CreateGrant,
                    admin_pb2.CreateGrantRequest(
                        subject=subject, scope=Scope(name=scope), reason=_REASON
                    ),
                )
        for name, request in _credentials(names):
            made = line.ask(line.stub.CreateCredential, request)
            save_token(token_path(configured, name), made.token)


def _tools_and_policy(line: Line[AdminServiceStub], configured: Settings) -> list[str]:
    if configured.tools is None or configured.policies is None:
        return []  # the environment says otherwise than the new file
    put = admin_pb2.PutToolsRequest(
        manifests_json=as_bytes(documents([configured.tools])), reason=_REASON
    )
    told = line.ask(line.stub.PutTools, put, deadline_s=ACTIVATE_DEADLINE_S)
    activate = admin_pb2.ActivatePolicyRequest(
        files=policy_files(configured.policies), preset=configured.preset, reason=_REASON
    )
    line.ask(line.stub.ActivatePolicy, activate, deadline_s=ACTIVATE_DEADLINE_S)
    return [manifest.name for manifest in told.manifests]


def _credentials(
    tools: Sequence[str],
) -> Iterator[tuple[str, admin_pb2.CreateCredentialRequest]]:
    yield (
        "host",
        admin_pb2.CreateCredentialRequest(
            credential_class=CredentialClass.CREDENTIAL_CLASS_HOST, subject="hosts/application"
        ),
    )
    yield (
        "agent",
        admin_pb2.CreateCredentialRequest(
            credential_class=CredentialClass.CREDENTIAL_CLASS_AGENT,
            subject=AGENT,
            person="developer",
        ),
    )
    yield (
        "worker",
        admin_pb2.CreateCredentialRequest(
            credential_class=CredentialClass.CREDENTIAL_CLASS_WORKER,
            subject="workers/notes",
            tools=tools,
        ),
    )
    # Another Person than the agent's owner: nobody reviews their own agent's requests.
    yield (
        "reviewer",
        admin_pb2.CreateCredentialRequest(
            credential_class=CredentialClass.CREDENTIAL_CLASS_REVIEWER,
            subject="reviewer",
            person="reviewer",
            groups=("reviewers",),
        ),
    )


@contextlib.contextmanager
def _configured_by(path: Path) -> Iterator[None]:
    """As if CALLBROKER_CONFIG named this file."""
    before = os.environ.get("CALLBROKER_CONFIG")
    os.environ["CALLBROKER_CONFIG"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CALLBROKER_CONFIG"]
        else:
            os.environ["CALLBROKER_CONFIG"] = before
