"""A guarded shop whose broker tells of its calls, and the receiver that it tells."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.telemetry_settings import Metrics, Traces
from broker.v1 import broker_pb2, types_pb2
from tests.e2e.guarded_shop import GuardedShop, Session
from tests.e2e.opening import open_shop
from tests.notice_receiver import Receiver, answering, receiving
from tests.replay.running import Loop
from tests.span_receiver import PATH, Told, told, until

REFUND = {"order_id": "O-9", "amount_minor": 1}


@dataclass(frozen=True)
class Traced:
    shop: GuardedShop
    receiver: Receiver
    loop: Loop

    def of(self, invocation: str, *names: str) -> list[Told]:
        """The spans of a call, once all with these names are there."""
        wanted = set(names)
        trace = invocation.rpartition("/")[2].replace("-", "")

        def found() -> list[Told]:
            return [span for span in told(self.receiver.received) if span.trace == trace]

        self.loop.run(until(lambda: wanted <= {span.name for span in found()}))
        return found()


@contextlib.contextmanager
def traced(ratio: float = 1.0, metrics: Metrics | None = None) -> Iterator[Traced]:
    """A shop whose broker tells a receiver, which is in a thread of its own."""
    with Loop() as loop, contextlib.ExitStack() as stack:
        opened = receiving(answering(200))
        receiver = loop.run(opened.__aenter__())
        stack.callback(lambda: loop.run(opened.__aexit__(None, None, None)))
        url = f"http://127.0.0.1:{receiver.port}{PATH}"
        shop = stack.enter_context(open_shop(metrics=metrics, traces=Traces(url=url, ratio=ratio)))
        yield Traced(shop, receiver, loop)


def invoked(
    shop: GuardedShop,
    session: Session,
    tool: str = "refund",
    arguments: Mapping[str, object] = REFUND,
    **metadata: str,
) -> types_pb2.Invocation:
    """One call, asked for with this metadata besides."""
    how = shop.by("agent", session.agent)
    how["metadata"] = (*how["metadata"], *metadata.items())
    shop._requests += 1
    request = broker_pb2.InvokeRequest(
        session=session.name,
        session_secret=session.secret,
        request_id=f"m-{shop._requests}",
        tool=tool,
        arguments_json=json.dumps(arguments).encode(),
    )
    return shop.broker.Invoke(request, **how).invocation
