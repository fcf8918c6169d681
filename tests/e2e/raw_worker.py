"""A worker's stream by hand, to say what the SDK never would."""

import json
import queue
from typing import Any, Self

from broker.v1 import worker_pb2
from tests.e2e.guarded_shop import GuardedShop
from tests.e2e.refusals import bearer
from tests.e2e.shop_tools import LEDGER, TOOLS


class RawWorker:
    """A worker's stream, said and heard message by message."""

    def __init__(self, shop: GuardedShop, token: str, *tools: str, **metadata: str) -> None:
        self._out: queue.SimpleQueue[worker_pb2.ConnectRequest | None] = queue.SimpleQueue()
        how = bearer(token)
        how["metadata"] = (*how["metadata"], *metadata.items())
        self._stream = shop.worker.Connect(iter(self._out.get, None), **how)
        documents = {str(t["name"]): t for t in TOOLS}
        offers = [
            worker_pb2.ToolOffer(
                name=name,
                parameters_schema_json=json.dumps(
                    documents.get(name, LEDGER)["arguments"]
                ).encode(),
            )
            for name in tools
        ]
        self.say(hello=worker_pb2.WorkerHello(slots=1, tools=offers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._out.put(None)
        for _ in self._stream:
            pass

    def say(self, **message: Any) -> None:
        self._out.put(worker_pb2.ConnectRequest(**message))

    def answer(self, handover: worker_pb2.Handover, result: bytes, *, token: str = "") -> None:
        self.say(
            answer=worker_pb2.WorkerAnswer(
                invocation=handover.invocation,
                fencing_token=token or handover.fencing_token,
                result_json=result,
            )
        )

    def hear(self) -> worker_pb2.ConnectResponse:
        return next(self._stream)
