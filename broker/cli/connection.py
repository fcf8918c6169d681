"""A command speaks to the broker with the one token that its service takes, or says how to get it.

The token is in the environment or in the state directory, for its owner's eyes alone. Every
question has a deadline. What gRPC answers becomes one sentence and an exit code.
"""

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.config import CONFIG_NAME, config_path
from broker.sdk.configuration import settings_from
from broker.sdk.errors import PlaintextRefused
from broker.sdk.patience import pauses
from broker.token_files import token_path
from broker.v1.admin_pb2_grpc import AdminServiceStub
from broker.v1.review_pb2_grpc import ReviewServiceStub

REPETITIONS_MAX: Final = 4
"""Of a read that nobody answered, within about a second: a broker that is busy is not away."""
DEADLINE_S: Final = 30.0
ACTIVATE_DEADLINE_S: Final = 180.0

_REASON_KEY: Final = "callbroker-reason"
_PAGES: Final = {
    "STORE_UNAVAILABLE": ("docs/runbooks/store-cannot-commit.md",),
    "POLICY_UNAVAILABLE": ("docs/runbooks/policy-engine-away.md",),
}
"""Where to go on, of what a broker that answers cannot do now."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_HOW_TO_MAKE: Final = {
    "operator": "with the broker stopped, `callbroker token create operator NAME --first --save` "
    "makes one",
    "reviewer": "an operator makes one with "
    "`callbroker token create reviewer NAME --person PERSON --group GROUP --save`",
    "auditor": "an operator makes one with `callbroker token create auditor NAME --save`",
}

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token and where it is from, for messages."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Generic[S]):
    """One service of the broker, with who asks."""

    stub: S
    address: str
    token: Token

    def ask(
        self,
        rpc: "grpc.UnaryUnaryMultiCallable[Q, A]",
        request: Q,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> A:
        """Ask one question, and again what only reads; the deadline is for all of it together.

        Raises:
            CommandFailed: there is no answer, or the answer is no.
        """
        end = time.monotonic() + deadline_s
        again = islice(pauses(), REPETITIONS_MAX if _only_reads(request) else 0)
        while True:
            left_s = end - time.monotonic()
            try:
                return rpc(request, metadata=self._metadata(), timeout=left_s)
            except grpc.RpcError as error:
                pause_s = next(again, deadline_s)  # without another time it is over
                if time.monotonic() + pause_s >= end or not _is_unanswered(error):
                    raise self._failed(error) from error
            time.sleep(pause_s)

    def follow(
        self,
        rpc: "grpc.UnaryStreamMultiCallable[Q, A]",
        request: Q,
        *,
        deadline_s: float | None = None,
    ) -> Iterator[A]:
        """Read a stream to its end, or for ever where there is no deadline.

        Raises:
            CommandFailed: the stream broke.
        """
        answers = rpc(request, metadata=self._metadata(), timeout=deadline_s)
        try:
            yield from answers
        except grpc.RpcError as error:
            raise self._failed(error) from error
        finally:
            answers.cancel()

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token.text}"),)

    def _failed(self, error: grpc.RpcError) -> CommandFailed:
        return failure_of(error, address=self.address, token=self.token)


@contextlib.contextmanager
def reviewing() -> Iterator[Line[ReviewServiceStub]]:
    """A line to ReviewService, with the reviewer's token."""
    with _channel() as (channel, address):
        yield Line(stub=ReviewServiceStub(channel), address=address, token=find_token("reviewer"))


@contextlib.contextmanager
def administering() -> Iterator[Line[AdminServiceStub]]:
    """A line to AdminService for changes, with the operator's token."""
    with _channel() as (channel, address):
        yield Line(stub=AdminServiceStub(channel), address=address, token=find_token("operator"))


@contextlib.contextmanager
def looking() -> Iterator[Line[AdminServiceStub]]:
    """A line to AdminService for what only reads, with the operator's or the auditor's token."""
    with _channel() as (channel, address):
        token = find_token("operator", "auditor")
        yield Line(stub=AdminServiceStub(channel), address=address, token=token)


def find_token(*classes: str) -> Token:
    """The first token that there is, of these classes.

    Raises:
        CommandFailed: there is none; the findings say where one belongs and what makes it.
    """
    for kind in classes:
        variable = f"CALLBROKER_{kind.upper()}_TOKEN"
        text = os.environ.get(variable, "").strip()
        if text:
            return Token(text=text, origin=variable)
    configured = settings()
    for kind in classes:
        path = token_path(configured, kind)
        if path.is_file():
            return Token(text=_read(path), origin=str(path))
    wanted = classes[0]
    place = token_path(configured, wanted)
    elsewhere = (
        f"there is no {CONFIG_NAME} here either: go where it is, or name it in CALLBROKER_CONFIG",
    )
    raise CommandFailed(
        f"There is no {' or '.join(classes)} token.",
        exit_code=ExitCode.USAGE,
        findings=(
            *(() if config_path() else elsewhere),
            f"set CALLBROKER_{wanted.upper()}_TOKEN, or keep it in {place}",
            _HOW_TO_MAKE[wanted],
        ),
    )


def open_channel(address: str) -> grpc.Channel:
    """A channel in the clear, for this machine's own broker.

    Raises:
        PlaintextRefused: the address is not this machine.
    """
    options = settings_from({}, address=address).options()
    return grpc.insecure_channel(address, options=options)


def failure_of(error: grpc.RpcError, *, address: str, token: Token) -> CommandFailed:
    """What an RPC's error means to whoever typed the command."""
    if _is_unanswered(error):
        return CommandFailed(
            f"The broker at {address} does not answer. `callbroker serve` starts one; "
            "CALLBROKER_ADDRESS says where it is.",
            exit_code=ExitCode.UNREACHABLE,
        )
    code, told, reason = _parts(error)
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return CommandFailed(
                told, exit_code=ExitCode.UNREACHABLE, findings=_PAGES.get(reason, ())
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return CommandFailed(
                f"The broker at {address} did not answer in time; `callbroker status` shows how "
                "it is.",
                exit_code=ExitCode.UNREACHABLE,
            )
        case grpc.StatusCode.UNAUTHENTICATED:
            return CommandFailed(
                f"The broker does not take the token of {token.origin}: it is wrong, expired or "
                "revoked. An operator makes another with `callbroker token create`.",
                exit_code=ExitCode.NOT_PERMITTED,
            )
        case grpc.StatusCode.PERMISSION_DENIED:
            return CommandFailed(
                f"{told} It was asked with the token of {token.origin}.",
                exit_code=ExitCode.NOT_PERMITTED,
            )
        case _:
            return CommandFailed(told or f"The broker answered {code.name}.")


def _only_reads(request: Message) -> bool:
    return request.DESCRIPTOR.name.startswith(("Get", "List"))  # AIP-131, AIP-132


def _is_unanswered(error: grpc.RpcError) -> bool:
    code, _, reason = _parts(error)
    return code is grpc.StatusCode.UNAVAILABLE and not reason


def _parts(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, str]:
    call: Any = error  # what a stub raises is a `grpc.Call` too
    metadata: Sequence[tuple[str, Any]] = tuple(call.trailing_metadata() or ())
    reason = next((str(value) for key, value in metadata if key == _REASON_KEY), "")
    return call.code(), call.details() or "", reason


@contextlib.contextmanager
def _channel() -> Iterator[tuple[grpc.Channel, str]]:
    address = os.environ.get("CALLBROKER_ADDRESS")
    if not address:
        configured = settings()
        address = configured.listen
        if configured.tls_certificate_file and not os.environ.get("CALLBROKER_CA_FILE"):
            raise CommandFailed(
                f"The broker at {address} speaks TLS: set CALLBROKER_CA_FILE to the PEM file of "
                "its certificate's authority.",
                exit_code=ExitCode.USAGE,
            )
    try:
        found = settings_from(address=address)
    except PlaintextRefused as refused:
        raise CommandFailed(str(refused), exit_code=ExitCode.USAGE) from refused
    except OSError as error:
        raise CommandFailed(f"CALLBROKER_CA_FILE: {error}", exit_code=ExitCode.USAGE) from error
    credentials = found.credentials()
    if credentials is None:
        with open_channel(found.address) as channel:
            yield channel, found.address
        return
    with grpc.secure_channel(found.address, credentials, options=found.options()) as channel:
        yield channel, found.address


def _read(path: Path) -> str:
    if path.stat().st_mode & _OTHERS:
        raise CommandFailed(f"{path} is open to others: chmod go= {path}", exit_code=ExitCode.USAGE)
    return path.read_text(encoding="ascii", errors="replace").strip()
