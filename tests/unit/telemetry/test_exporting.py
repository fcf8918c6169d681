"""Spans go to a real receiver over HTTP, which takes them, is away, hangs or answers nonsense."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from broker.issuers.bounded import ANSWER_BYTES_MAX
from broker.telemetry.exporting import Exporter, Pace
from broker.telemetry.otlp import Resource
from broker.telemetry.spans import Span
from broker.telemetry.tally import NOT_DELIVERED, QUEUE_FULL, REJECTED, STOPPED
from tests.notice_receiver import (
    Answer,
    Receiver,
    answering,
    certified,
    dripping,
    hanging,
    receiving,
    streaming,
)
from tests.span_receiver import PATH, told, until

RESOURCE = Resource(service="callbroker", version="1.2.3", instance="brokers/1")
SOON = Pace(every_s=0.01, deadline_s=20.0, attempts_max=2, pause_s=0.01)
IMPATIENT = Pace(every_s=0.01, deadline_s=1.0, attempts_max=2, pause_s=0.01)


def spans(count: int, *, begin: int = 1) -> list[Span]:
    return [
        Span(name="a", begun_ns=1, ended_ns=2, trace_id=7, span_id=number)
        for number in range(begin, begin + count)
    ]


def url_of(receiver: Receiver) -> str:
    return f"{receiver.scheme}://localhost:{receiver.port}{PATH}"


@contextlib.asynccontextmanager
async def exporting(
    url: str, *, pace: Pace = SOON, token: str = "", ca_file: Path | None = None
) -> AsyncGenerator[Exporter]:
    """One that sends until the block ends."""
    exporter = Exporter(url, RESOURCE, token=token, ca_file=ca_file, pace=pace)
    running = asyncio.create_task(exporter.run())
    try:
        yield exporter
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await exporter.close(within_s=1.0)


async def test_spans_are_posted_with_who_tells_and_the_token():
    async with (
        receiving(answering(200)) as receiver,
        exporting(url_of(receiver), token="t-1") as exporter,
    ):
        exporter.offer(spans(3))
        await until(lambda: exporter.tally.exported == 3)
    [one] = receiver.received
    assert one.line.startswith(f"POST {PATH} ")
    assert one.headers["authorization"] == "Bearer t-1"
    assert one.headers["content-type"] == "application/x-protobuf"
    assert {span.id for span in told([one])} == {f"{n:016x}" for n in (1, 2, 3)}
    assert {b"callbroker", b"1.2.3", b"brokers/1"} <= {
        word for word in (b"callbroker", b"1.2.3", b"brokers/1") if word in one.body
    }


async def test_many_spans_go_in_batches_and_none_twice():
    pace = Pace(every_s=0.01, batch_max=10)
    async with (
        receiving(answering(200)) as receiver,
        exporting(url_of(receiver), pace=pace) as exporter,
    ):
        exporter.offer(spans(35))
        await until(lambda: exporter.tally.exported == 35)
    ids = [span.id for span in told(receiver.received)]
    assert len(receiver.received) == 4
    assert len(ids) == len(set(ids)) == 35


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_could_not_be_taken_just_now_is_sent_again(status: int):
    async with receiving(answering(status)) as receiver, exporting(url_of(receiver)) as exporter:
        exporter.offer(spans(2))
        await until(lambda: len(receiver.received) == 1)
        receiver.answer = answering(200)
        await until(lambda: exporter.tally.exported == 2)
    assert [span.id for span in told(receiver.received[-1:])] == [f"{n:016x}" for n in (1, 2)]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 413, 500])
async def test_what_is_refused_for_good_is_counted_and_not_sent_again(status: int):
    async with (
        receiving(answering(status, "location: http://localhost:1/")) as receiver,
        exporting(url_of(receiver)) as exporter,
    ):
        exporter.offer(spans(2))
        await until(lambda: exporter.tally.dropped[REJECTED] == 2)
        receiver.answer = answering(200)
        exporter.offer(spans(1, begin=9))
        await until(lambda: exporter.tally.exported == 1)
    assert len(receiver.received) == 2


async def test_spans_that_the_answer_says_were_rejected_are_counted_so():
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    body = answer.SerializeToString()
    async with (
        receiving(answering(200, body=body)) as receiver,
        exporting(url_of(receiver)) as exporter,
    ):
        exporter.offer(spans(5))
        await until(lambda: exporter.tally.exported == 3)
    assert exporter.tally.dropped[REJECTED] == 2


@pytest.mark.parametrize("rejected", [-5, 2**60])
async def test_an_answer_that_rejects_more_than_there_was_is_not_believed(rejected: int):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    body = answer.SerializeToString()
    async with (
        receiving(answering(200, body=body)) as receiver,
        exporting(url_of(receiver)) as exporter,
    ):
        exporter.offer(spans(5))
        await until(lambda: exporter.waiting == 0)
    assert exporter.tally.exported == max(0, 5 - max(0, rejected))
    assert exporter.tally.dropped[REJECTED] == 5 - exporter.tally.exported


async def _closing(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.com ESMTP\r\n")
    await writer.drain()


async def _compressed(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd")
    await writer.drain()


_TOO_LONG = answering(200, body=b"x" * 2 * ANSWER_BYTES_MAX)


@pytest.mark.parametrize(
    "answer", [_closing, _nonsense, _compressed, _TOO_LONG, hanging, streaming, dripping]
)
async def test_a_receiver_that_is_no_receiver_costs_spans_and_nothing_else(answer: Answer):
    async with (
        receiving(answer) as receiver,
        exporting(url_of(receiver), pace=IMPATIENT) as exporter,
    ):
        exporter.offer(spans(2))
        await until(lambda: exporter.tally.dropped[NOT_DELIVERED] == 2)
        receiver.answer = answering(200)
        exporter.offer(spans(1))
        await until(lambda: exporter.tally.exported == 1)
        assert exporter.waiting == 0


async def test_a_body_that_is_not_protobuf_says_nothing():
    async with (
        receiving(answering(200, body=b"\xff<html>")) as receiver,
        exporting(url_of(receiver)) as exporter,
    ):
        exporter.offer(spans(2))
        await until(lambda: exporter.tally.exported == 2)


async def test_nobody_there_is_tried_again_and_then_given_up():
    async with exporting(f"http://127.0.0.1:{_free_port()}{PATH}") as exporter:
        exporter.offer(spans(2))
        await until(lambda: exporter.tally.dropped[NOT_DELIVERED] == 2)


async def test_what_finds_no_room_is_dropped_whole_and_counted():
    exporter = Exporter("http://127.0.0.1:1/v1/traces", RESOURCE, pace=Pace(queue_max=10))
    exporter.offer(spans(8))
    exporter.offer(spans(3))
    exporter.offer(spans(2))
    assert exporter.waiting == 10
    assert exporter.tally.dropped[QUEUE_FULL] == 3
    await exporter.close(within_s=0.2)
    assert exporter.tally.dropped[NOT_DELIVERED] + exporter.tally.dropped[STOPPED] == 10


async def test_what_is_on_its_way_counts_as_waiting():
    pace = Pace(every_s=0.0, queue_max=4, deadline_s=5.0)
    async with receiving(hanging) as receiver, exporting(url_of(receiver), pace=pace) as exporter:
        exporter.offer(spans(4))
        await until(lambda: len(receiver.received) == 1)
        exporter.offer(spans(1))
        assert exporter.tally.dropped[QUEUE_FULL] == 1


async def test_closing_sends_what_is_left():
    async with receiving(answering(200)) as receiver:
        exporter = Exporter(url_of(receiver), RESOURCE)
        exporter.offer(spans(600))
        await exporter.close()
    assert exporter.tally.exported == 600
    assert len(told(receiver.received)) == 600


async def test_closing_ends_though_the_receiver_hangs():
    async with receiving(hanging) as receiver:
        exporter = Exporter(url_of(receiver), RESOURCE)
        exporter.offer(spans(600))
        async with asyncio.timeout(5.0):
            await exporter.close(within_s=0.2)
    assert exporter.tally.dropped[STOPPED] == 600
    exporter.offer(spans(1))
    assert exporter.waiting == 0
    assert exporter.tally.dropped[STOPPED] == 601


async def test_over_tls_only_whom_the_ca_vouches_for_is_told(tmp_path: Path):
    tls, ca_file = certified(tmp_path, "localhost")
    async with receiving(answering(200), tls=tls) as receiver:
        async with exporting(url_of(receiver), ca_file=ca_file) as exporter:
            exporter.offer(spans(1))
            await until(lambda: exporter.tally.exported == 1)
        async with exporting(url_of(receiver)) as stranger:
            stranger.offer(spans(1))
            await until(lambda: stranger.tally.dropped[NOT_DELIVERED] == 1)
    assert len(receiver.received) == 1


async def test_a_ca_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        Exporter("https://localhost/v1/traces", RESOURCE, ca_file=tmp_path / "ca.pem")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
