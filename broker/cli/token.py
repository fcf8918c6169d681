"""`callbroker token`: credentials of six classes. A token is shown once, or kept for you alone.

What goes with an issuer's access tokens, or with a certificate alone, has no token to show.

The first operator token is made by whoever can open the database, while no broker runs on it.
"""

import enum
from typing import Annotated, Final

import typer
from rich.text import Text

from broker.cli.connection import administering, looking
from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import enum_word, plain, print_json
from broker.cli.names import resolve, short
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import around, list_width, ours, say, table, theirs
from broker.cli.times import epoch, length, parse_length
from broker.core.limits import CREDENTIAL_EXPIRING_S
from broker.token_files import save_token, token_path
from broker.v1 import admin_pb2, credentials_pb2
from broker.v1.admin_pb2 import Credential, CredentialClass

app = group("Credentials.")

_HEADERS: Final = (
    "Credential", "Class", "Subject", "Person", "Good for", "Used", "Groups, tools, proof"
)  # fmt: skip


class Class(enum.StrEnum):
    """What a credential is good for, and on which service."""

    HOST = "host"
    AGENT = "agent"
    WORKER = "worker"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    AUDITOR = "auditor"


_OF_PERSONS: Final = frozenset({Class.AGENT, Class.REVIEWER, Class.OPERATOR})


@app.command(
    epilog="""\b
Examples:
  callbroker token create agent agents/support --person support-engineer
  callbroker token create worker workers/shop --tool refund --tool read_order
  callbroker token create reviewer lead-2 --person lead-2 --group support-leads --save"""
)
def create(
    kind: Annotated[
        Class,
        typer.Argument(metavar="CLASS", help="host, agent, worker, reviewer, operator or auditor."),
    ],
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="Who holds it; an agent's begins with agents/.")
    ],
    *,
    person: Annotated[
        str,
        typer.Option(
            help='The Person behind it, "issuer#subject" or "subject": an agent\'s owner, the '
            "reviewer, the operator."
        ),
    ] = "",
    group: Annotated[
        list[str] | None, typer.Option(metavar="GROUP", help="A reviewer's; repeatable.")
    ] = None,
    tool: Annotated[
        list[str] | None, typer.Option(metavar="TOOL", help="A worker's; repeatable.")
    ] = None,
    life: Annotated[
        str,
        typer.Option(metavar="LENGTH", help="How long it is good: 12h, 30d; 90 days if not given."),
    ] = "",
    save: Annotated[
        bool, typer.Option("--save", help="Keep it in state/tokens/CLASS instead of printing it.")
    ] = False,
    identity: Annotated[
        str,
        typer.Option(
            metavar="ISSUER#SUBJECT",
            help="No token of ours: access tokens of a configured issuer for this subject.",
        ),
    ] = "",
    certificate_san: Annotated[
        str,
        typer.Option(
            "--certificate-san",
            metavar="NAME",
            help="The certificate that its holder must show, too: uri:spiffe://shop.example/worker "
            "or dns:worker.shop.example.",
        ),
    ] = "",
    certificate_alone: Annotated[
        bool, typer.Option("--certificate-alone", help="That certificate and no token at all.")
    ] = False,
    first: Annotated[
        bool,
        typer.Option(
            "--first",
            help="Operators: write it into the database itself, while no broker runs. For the "
            "first one, or when all are lost.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a credential. Its token is shown once and stored nowhere else."""
    if first:
        _first(kind, subject, person=person, life=life, save=save, as_json=as_json)
        return
    if kind in _OF_PERSONS and not person and not (identity and kind is not Class.AGENT):
        raise CommandFailed(
            f"Behind every {kind} is a Person: say which with --person, such as "
            f"--person {subject.rpartition('/')[2]}.",
            exit_code=ExitCode.USAGE,
        )
    if kind is Class.WORKER and not tool:
        raise CommandFailed(
            "A worker is for the tools that it implements: say which with --tool NAME, once each.",
            exit_code=ExitCode.USAGE,
        )
    if kind is Class.REVIEWER and not group:
        raise CommandFailed(
            "A reviewer is in groups, which rules name: say which with --group NAME, once each.",
            exit_code=ExitCode.USAGE,
        )
    with administering() as line:
        request = admin_pb2.CreateCredentialRequest(
            credential_class=CredentialClass.Value(f"CREDENTIAL_CLASS_{kind.name}"),
            subject=subject,
            person=person,
            groups=group or (),
            tools=tool or (),
            life=parse_length(life) if life else None,
            identity=identity,
            certificate_san=certificate_san,
            certificate_alone=certificate_alone,
        )
        made = line.ask(line.stub.CreateCredential, request)
    if made.token:
        _hand_over(kind, made.token, save=save, as_json=as_json, credential=made.credential)
    elif as_json:
        print_json({"credential": plain(made.credential)})
    else:
        goes_with = _goes_with(made.credential)
        say(ours(f"{short(made.credential.name)} goes with ") + theirs(goes_with))


@app.command("list", epilog="Example: callbroker token list --all")
def list_tokens(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Expired and revoked ones too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Credentials, without their tokens, oldest first."""
    with looking() as line:
        found = line.ask(line.stub.ListCredentials, admin_pb2.ListCredentialsRequest()).credentials
    shown = around()
    kept = [c for c in found if everything or _is_good(c, shown.now)]
    if as_json:
        print_json({"credentials": [plain(credential) for credential in kept]})
        return
    rows = [
        [
            ours(short(c.name), "bold"),
            ours(_class(c)),
            theirs(c.subject),
            theirs(c.person),
            _left(c, shown.now),
            _used(c, shown.now),
            theirs(", ".join([*c.groups, *c.tools, *filter(None, [_goes_with(c)])])),
        ]
        for c in kept
    ]
    say(*table(_HEADERS, rows, width=list_width(shown), below=len(_HEADERS) - 1))


@app.command(epilog='Example: callbroker token revoke c-3fa9c2d1 --reason "Laptop lost."')
def revoke(
    name: Annotated[str, typer.Argument(metavar="CREDENTIAL", help="As `token list` prints it.")],
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """End a credential at once; streams that it opened end within seconds."""
    with administering() as line:
        known = line.ask(line.stub.ListCredentials, admin_pb2.ListCredentialsRequest()).credentials
        whole = resolve("credentials", name, (credential.name for credential in known))
        request = admin_pb2.RevokeCredentialRequest(name=whole, reason=reason)
        line.ask(line.stub.RevokeCredential, request)
    if as_json:
        print_json({"name": whole, "revoked": True})
    else:
        say(ours(f"{short(whole)} is revoked."))


@app.command(epilog="Example: callbroker token rotate c-3fa9c2d1 --overlap 1h")
def rotate(
    name: Annotated[str, typer.Argument(metavar="CREDENTIAL", help="As `token list` prints it.")],
    *,
    overlap: Annotated[
        str,
        typer.Option(
            metavar="LENGTH",
            help="How long the token of before goes on beside the new one: 1h if not given; 0s "
            "where somebody else may have it.",
        ),
    ] = "1h",
    reason: Annotated[str, typer.Option(help="For the audit log.")] = "",
    save: Annotated[
        bool, typer.Option("--save", help="Keep it in state/tokens/CLASS instead of printing it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make another token for the same holder, with the same class, groups and tools.

    It lasts as long as the one before was meant to. Streams that the old one opened end with it.
    """
    with administering() as line:
        known = line.ask(line.stub.ListCredentials, admin_pb2.ListCredentialsRequest()).credentials
        whole = resolve("credentials", name, (credential.name for credential in known))
        kind = next(Class(_class(c)) for c in known if c.name == whole)
        request = credentials_pb2.RotateCredentialRequest(
            name=whole, overlap=parse_length(overlap), reason=reason
        )
        made = line.ask(line.stub.RotateCredential, request)
    if save:
        _hand_over(kind, made.token, save=True, as_json=as_json)
    elif as_json:
        print_json(
            {
                "name": made.name,
                "token": made.token,
                "replaced": whole,
                "replaced_expire_time": made.replaced_expire_time.ToJsonString(),
            }
        )
    else:
        say(made.token)


@app.command(
    "revoke-identity",
    epilog="Example: callbroker token revoke-identity https://login.example.com#ann "
    '--reason "Has left."',
)
def revoke_identity(
    identity: Annotated[
        str, typer.Argument(metavar="ISSUER#SUBJECT", help="As the issuer's tokens say it.")
    ],
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Let somebody in no more, whatever their issuer signs, until `token create` binds them anew.

    Whatever was bound to them is revoked; streams that it opened end within seconds.
    """
    with administering() as line:
        request = credentials_pb2.RevokeIdentityRequest(identity=identity, reason=reason)
        told = line.ask(line.stub.RevokeIdentity, request)
    if as_json:
        print_json({"identity": identity, "revoked": list(told.revoked)})
    else:
        also = ", ".join(short(name) for name in told.revoked)
        ended = f"; {also} is revoked." if also else "."
        say(theirs(identity) + ours(f" is let in no more{ended}"))


def _first(kind: Class, subject: str, *, person: str, life: str, save: bool, as_json: bool) -> None:
    if kind is not Class.OPERATOR:
        raise CommandFailed(
            "--first makes operators alone; they make everybody else's token.",
            exit_code=ExitCode.USAGE,
        )
    from broker.bootstrap import operator_token  # noqa: PLC0415 - the database, for this alone
    from broker.cli.opening import refusing  # noqa: PLC0415

    life_s = float(parse_length(life).seconds) if life else None
    with refusing():
        token = operator_token(settings(), subject=subject, person=person, life_s=life_s)
    _hand_over(kind, token, save=save, as_json=as_json)


def _hand_over(
    kind: Class, token: str, *, save: bool, as_json: bool, credential: Credential | None = None
) -> None:
    path = token_path(settings(), kind) if save else None
    if path is not None:
        try:
            save_token(path, token)
        except OSError as error:
            raise CommandFailed(
                f"{path} cannot be written ({error.strerror}), and the token is lost: revoke it, "
                "and make another."
            ) from error
    if as_json:
        told = plain(credential) if credential is not None else None
        kept = {"file": str(path)} if path is not None else {"token": token}
        print_json({"credential": told, **kept})
    elif path is not None:
        say(ours("Kept in ") + theirs(str(path)))
    else:
        say(token)


def _is_good(credential: Credential, now: float) -> bool:
    return not credential.revoked and now < epoch(credential.expire_time)


def _left(credential: Credential, now: float) -> Text:
    if credential.revoked:
        return ours("revoked")
    left_s = epoch(credential.expire_time) - now
    if left_s <= 0:
        return ours("expired")
    return ours(length(left_s), "yellow" if left_s < CREDENTIAL_EXPIRING_S else "")


def _used(credential: Credential, now: float) -> Text:
    """How long ago; one that never was may be one that nobody needs."""
    if not credential.HasField("last_use_time"):
        return ours("never", "yellow")
    return ours(f"{length(max(now - epoch(credential.last_use_time), 0.0))} ago")


def _goes_with(credential: Credential) -> str:
    """What its holder shows, besides or instead of a token of ours."""
    shown = [credential.identity and f"tokens of {credential.identity}", credential.certificate_san]
    alone = bool(credential.certificate_san) and not (credential.identity or credential.has_token)
    return " and ".join(filter(None, shown)) + (" alone" if alone else "")


def _class(credential: Credential) -> str:
    return enum_word(CredentialClass.DESCRIPTOR, credential.credential_class).lower()
