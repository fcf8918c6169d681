"""`callbroker sign-ins`: the list, and the end of one."""

import json

from broker.cli.failures import ExitCode
from broker.v1 import signing_in_pb2
from tests.fakes.admin_server import FakeServices
from tests.unit.cli.conftest import Run

ONE = signing_in_pb2.SignIn(
    name="sign-ins/00112233aabbccdd",
    reviewer="lead\x1b[31m",
    person="https://login.example.com#7",
    groups=["support-leads"],
    how="oidc",
)


def test_who_is_signed_in_is_told_without_acting_characters(
    run: Run, services: FakeServices
) -> None:
    services.answers["ListSignIns"] = signing_in_pb2.ListSignInsResponse(sign_ins=[ONE])
    ran = run("sign-ins", "list")
    assert ran.code == ExitCode.OK
    assert "00112233aabbccdd" in ran.out
    assert "support-leads" in ran.out
    assert "\x1b[31m" not in ran.out
    assert json.loads(run("sign-ins", "list", "--json").out)["sign_ins"][0]["how"] == "oidc"
    services.answers["ListSignIns"] = signing_in_pb2.ListSignInsResponse()
    assert run("sign-ins", "list").out == "Nobody is signed in.\n"


def test_a_sign_in_is_revoked_by_what_the_list_calls_it(run: Run, services: FakeServices) -> None:
    services.answers["RevokeSignIn"] = signing_in_pb2.RevokeSignInResponse(sign_in=ONE)
    for name in ("00112233aabbccdd", ONE.name):
        ran = run("sign-ins", "revoke", name, "--reason", "Laptop lost.")
        assert ran.code == ExitCode.OK
        request = services.request("RevokeSignIn")
        assert (request.name, request.reason) == (ONE.name, "Laptop lost.")
