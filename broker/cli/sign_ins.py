"""`callbroker sign-ins`: who is signed in at the review page, and out again."""

from typing import Annotated, Final

import typer

from broker.cli.connection import administering, looking
from broker.cli.json_output import plain, print_json
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import around, list_width, ours, say, table, theirs
from broker.cli.times import epoch, length
from broker.v1 import signing_in_pb2

app = group("Sign-ins at the review page.")

KIND: Final = "sign-ins/"
_HEADERS: Final = ("Sign-in", "Reviewer", "Person", "How", "Good for", "Groups")


@app.command("list", epilog="Example: callbroker sign-ins list")
def list_sign_ins(*, as_json: AsJson = False) -> None:
    """Who is signed in, newest first, and for how long yet at most."""
    with looking() as line:
        request = signing_in_pb2.ListSignInsRequest()
        found = line.ask(line.stub.ListSignIns, request).sign_ins
    if as_json:
        print_json({"sign_ins": [plain(one) for one in found]})
        return
    shown = around()
    if not found:
        say("Nobody is signed in.")
        return
    rows = [
        [
            ours(one.name.removeprefix(KIND), "bold"),
            theirs(one.reviewer),
            theirs(one.person),
            ours(one.how),
            ours(length(epoch(one.expire_time) - shown.now)),
            theirs(", ".join(one.groups)),
        ]
        for one in found
    ]
    say(*table(_HEADERS, rows, width=list_width(shown)))


@app.command(epilog='Example: callbroker sign-ins revoke 7be0d35e4f2a91c7 --reason "Laptop lost."')
def revoke(
    name: Annotated[str, typer.Argument(metavar="SIGN-IN", help="As `sign-ins list` prints it.")],
    *,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """End a sign-in at once; live pages that it opened end within seconds."""
    with administering() as line:
        request = signing_in_pb2.RevokeSignInRequest(
            name=KIND + name.removeprefix(KIND), reason=reason
        )
        ended = line.ask(line.stub.RevokeSignIn, request).sign_in
    if as_json:
        print_json(plain(ended))
    else:
        say(theirs(ended.reviewer) + ours(" is signed out there."))
