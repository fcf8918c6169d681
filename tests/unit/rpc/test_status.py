"""Every error has a status, a reason and one sentence, and nothing else leaves."""

import inspect

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from broker.core import errors
from broker.core.errors import BrokerError, LimitExceeded, MalformedRequest
from broker.rpc.status import DETAILS_KEY, DOMAIN, REASON_KEY, status_of

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, BrokerError)
]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_declares_its_status_and_reason(error):
    status = status_of(error("One sentence."))
    assert status.code.name == error.code
    assert dict(status.trailing)[REASON_KEY] == error.reason
    assert error.reason.isupper()
    assert len(error.reason) <= 63


def test_the_details_say_the_same_in_the_standard_form():
    wrong = MalformedRequest("No such field.", metadata={"field": "name"})
    status = status_of(wrong)
    told = status_pb2.Status.FromString(dict(status.trailing)[DETAILS_KEY])
    info = error_details_pb2.ErrorInfo()
    assert told.details[0].Unpack(info)
    assert (told.code, told.message) == (3, "No such field.")
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "MALFORMED_REQUEST",
        DOMAIN,
        {"field": "name"},
    )
    assert status.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_very_long_sentence_still_fits_into_trailers():
    status = status_of(LimitExceeded("x" * 100_000))
    assert sum(len(value) for _, value in status.trailing) + len(status.message) < 8_000
