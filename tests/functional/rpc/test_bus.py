# SPDX-License-Identifier: Apache-2.0
"""The bus over a real broker: calls, casts, errors, and what happens when somebody is away."""

import threading
import time
from collections.abc import Iterator

import pytest

from common import config
from common.context import RequestContext, service_context
from common.errors import FlavorNotFound, Internal, Invalid, Unavailable
from common.rpc.interface import Interface, call, cast
from common.rpc.transport import Bus
from tests.functional.rabbitmq import RabbitMq, wait_until

CTX = service_context()


class Echo(Interface, topic="echo", namespace="echo"):
    @call(timeout_s=2)
    def echo(self, ctx: RequestContext, text: str) -> str:
        """What came."""

    @call(timeout_s=2)
    def refuse(self, ctx: RequestContext, flavor: str) -> None:
        """Nothing but an error."""

    @call(timeout_s=2)
    def crash(self, ctx: RequestContext) -> None:
        """An error of the programmer's."""

    @cast()
    def note(self, ctx: RequestContext, text: str) -> None:
        """Somebody keeps it."""

    @cast(fanout=True)
    def tell_all(self, ctx: RequestContext, text: str) -> None:
        """Everybody keeps it."""


class EchoServer(Echo):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.requests: list[str] = []

    def echo(self, ctx, text):
        self.requests.append(ctx.request_id)
        return text

    def refuse(self, ctx, flavor):
        raise FlavorNotFound(flavor=flavor)

    def crash(self, ctx):
        raise ZeroDivisionError

    def note(self, ctx, text):
        self.notes.append(text)

    def tell_all(self, ctx, text):
        self.notes.append(text)


@pytest.fixture
def bus(transport_url, tmp_path) -> Iterator[Bus]:
    file = tmp_path / "bus.conf"
    file.write_text(f"[DEFAULT]\ntransport_url = {transport_url}\n")
    made = Bus(config.load("test", ["--config-file", str(file)], []))
    yield made
    made.close()


@pytest.fixture
def server(bus) -> EchoServer:
    implementation = EchoServer()
    bus.serve("echo", "one", [implementation], threads=4).start()
    return implementation


def test_a_call_returns_what_the_server_returned_and_carries_the_request(bus, server):
    assert Echo.client(bus).echo(CTX, "hello") == "hello"
    assert server.requests == [CTX.request_id]


def test_a_large_text_survives_the_way(bus, server):
    text = "äöü € 'quoted' \"twice\" \\ " * 20_000

    assert Echo.client(bus).echo(CTX, text) == text


def test_an_error_arrives_as_the_same_class_with_its_message(bus, server):
    with pytest.raises(FlavorNotFound, match=r"Flavor x1 could not be found\.") as caught:
        Echo.client(bus).refuse(CTX, "x1")

    assert caught.value.details == {"flavor": "x1"}


def test_a_programming_error_reaches_the_caller_without_a_trace(bus, server):
    with pytest.raises(Internal) as caught:
        Echo.client(bus).crash(CTX)

    assert str(caught.value) == "Unexpected error: ZeroDivisionError"


def test_arguments_of_a_wrong_type_are_refused(bus, server):
    with pytest.raises(Invalid, match="Expected `str`"):
        Echo.client(bus).echo(CTX, 7)


def test_a_cast_arrives_and_a_fanout_reaches_every_server(bus, server):
    second = EchoServer()
    bus.serve("echo", "two", [second], threads=2).start()

    Echo.client(bus, server="two").note(CTX, "only you")
    wait_until(lambda: second.notes == ["only you"], "the cast arrived")
    Echo.client(bus).tell_all(CTX, "all of you")

    wait_until(lambda: "all of you" in server.notes and "all of you" in second.notes, "fan-out")
    assert "only you" not in server.notes


def test_a_call_that_nobody_answers_is_unavailable_in_its_time(bus):
    started = time.monotonic()

    with pytest.raises(Unavailable, match="The echo service"):
        Echo.client(bus, server="nobody").echo(CTX, "?")

    assert time.monotonic() - started < 5


def test_calls_in_parallel_do_not_mix_their_answers(bus, server):
    client, wrong = Echo.client(bus), []

    def ask(number: int) -> None:
        for i in range(20):
            text = f"{number}.{i}"
            if client.echo(CTX, text) != text:
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_the_bus_recovers_when_the_broker_comes_back(rabbitmq: RabbitMq, bus, server):
    client = Echo.client(bus)
    assert client.echo(CTX, "before") == "before"

    with rabbitmq.away():
        started = time.monotonic()
        with pytest.raises(Unavailable):
            client.echo(CTX, "away")
        took_s = time.monotonic() - started

    def answers() -> bool:
        try:
            return client.echo(CTX, "after") == "after"
        except Unavailable:
            return False

    assert took_s < 10
    wait_until(answers, "the bus recovered", timeout_s=45)
