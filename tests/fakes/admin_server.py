"""A broker's ReviewService and AdminService with answers that a test puts there, on a real port.

`asked` keeps every request with the token that it came with. An answer that is an exception class's
instance of `Refusal` is sent as a status.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc

from broker.v1 import admin_pb2_grpc, review_pb2_grpc


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A status instead of an answer."""

    code: grpc.StatusCode
    message: str
    reason: str = "SOME_REASON"


@dataclass(kw_only=True)
class FakeServices:
    """What is answered, by method name: a message, a list of messages for a stream, a Refusal."""

    address: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any, str]] = field(default_factory=list)

    def request(self, method: str) -> Any:
        """The last request of a method."""
        return next(request for name, request, _ in reversed(self.asked) if name == method)

    def answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        token = dict(context.invocation_metadata()).get("authorization", "")
        self.asked.append((method, request, str(token)))
        answer = self.answers.get(method)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Refusal):
            if answer.reason:
                context.set_trailing_metadata((("callbroker-reason", answer.reason),))
            context.abort(answer.code, answer.message)
        if answer is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the test has no answer to {method}")
        return answer


def _servicer(base: type, services: FakeServices) -> Any:
    def method_of(name: str) -> Any:
        return lambda _self, request, context: services.answer(name, request, context)

    names = [name for name in vars(base) if not name.startswith("_")]
    return type("Fake", (base,), {name: method_of(name) for name in names})()


@contextlib.contextmanager
def fake_services() -> Iterator[FakeServices]:
    """Serve on a free port of this machine until the block ends."""
    services = FakeServices()
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        review_pb2_grpc.add_ReviewServiceServicer_to_server(
            _servicer(review_pb2_grpc.ReviewServiceServicer, services), server
        )
        admin_pb2_grpc.add_AdminServiceServicer_to_server(
            _servicer(admin_pb2_grpc.AdminServiceServicer, services), server
        )
        services.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield services
        finally:
            server.stop(0).wait()
