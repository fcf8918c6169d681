"""A credential has so many streams open and no more, and what ends makes room."""

import asyncio

import grpc
import pytest

from broker.core.credentials import CredentialClass
from broker.core.errors import LimitExceeded
from broker.rpc.streams import Streams
from broker.v1 import review_pb2
from tests.served import Served, served

WITHIN_S = 30.0


def test_each_credential_has_its_own():
    streams = Streams(most=2)
    with streams.one_more("a"), streams.one_more("a"), streams.one_more("b"):
        with pytest.raises(LimitExceeded) as refused, streams.one_more("a"):
            raise AssertionError("It may not.")
        assert float(refused.value.metadata["retry_after_s"]) > 0
    with streams.one_more("a"), streams.one_more("a"):
        pass
    assert not streams._open


def watch(broker: Served):
    return broker.review.WatchHolds(
        review_pb2.WatchHoldsRequest(), metadata=broker.by(CredentialClass.REVIEWER)
    )


async def test_one_more_is_refused_until_another_has_ended(tmp_path):
    async with served(tmp_path, streams_max=2) as broker:
        held = [watch(broker), watch(broker)]
        for call in held:
            await call.initial_metadata()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watch(broker).read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        held.pop().cancel()
        async with asyncio.timeout(WITHIN_S):
            while True:
                again = watch(broker)
                reading = asyncio.ensure_future(again.read())
                done, _ = await asyncio.wait({reading}, timeout=0.3)
                if not done:
                    again.cancel()
                    await asyncio.wait({reading})
                    break
                assert reading.exception() is not None
        held.pop().cancel()
