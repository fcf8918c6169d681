"""`callbroker retention`: a principal whose name is misspelt is neither kept nor forgotten."""

import pytest

from broker.cli.failures import ExitCode
from broker.v1 import admin_pb2, retention_pb2
from broker.v1.retention_pb2 import LegalHold
from tests.fakes.admin_server import FakeServices
from tests.unit.cli.conftest import Run

UNHEARD_OF = "no call was ever made for customers/c-240"
ONE_CALL = admin_pb2.ListInvocationsResponse(invocations=[admin_pb2.InvocationSummary()])
NO_CALL = admin_pb2.ListInvocationsResponse()


@pytest.mark.parametrize(("calls", "is_noted"), [(NO_CALL, True), (ONE_CALL, False)])
def test_a_legal_hold_on_somebody_unheard_of_is_noted(
    run: Run,
    services: FakeServices,
    calls: admin_pb2.ListInvocationsResponse,
    is_noted: bool,  # noqa: FBT001 - a case
) -> None:
    kept = LegalHold(name="legal-holds/1", kind=LegalHold.KIND_PRINCIPAL, subject="customers/c-240")
    services.answers["CreateLegalHold"] = retention_pb2.CreateLegalHoldResponse(legal_hold=kept)
    services.answers["ListInvocations"] = calls
    ran = run("retention", "legal-hold", "principal", "customers/c-240", "--reason", "Case 12.")
    assert ran.code == ExitCode.OK
    assert (UNHEARD_OF in ran.out) is is_noted
    assert services.request("ListInvocations").principal == "customers/c-240"


def test_erasing_for_somebody_unheard_of_is_noted(run: Run, services: FakeServices) -> None:
    services.answers["EraseContents"] = retention_pb2.EraseContentsResponse()
    services.answers["ListInvocations"] = NO_CALL
    words = ("retention", "erase", "customers/c-240", "--reason", "Asked.", "--yes")
    ran = run(*words)
    assert ran.code == ExitCode.OK
    assert UNHEARD_OF in ran.out
    services.answers["ListInvocations"] = ONE_CALL
    assert UNHEARD_OF not in run(*words).out
    services.answers["EraseContents"] = retention_pb2.EraseContentsResponse(mandates=1)
    services.answers["ListInvocations"] = NO_CALL
    assert UNHEARD_OF not in run(*words).out, "there was something, though no call"
