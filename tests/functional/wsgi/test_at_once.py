# SPDX-License-Identifier: Apache-2.0
"""Requests that the worker's loop answers by itself, beside those that threads answer."""

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from tests.functional.rabbitmq import wait_until
from tests.ports import free_ports

pytestmark = pytest.mark.functional

BIG = 8 << 20
# /loop…: the loop; /later…: the loop, once somebody asks for /known; all else: a thread. /stuck
# keeps its thread until /free was asked for.
_SERVER = """
import sys, threading
from concurrent.futures import Future
from common.plain_requests import Later, Reply
from common.wsgi import Served, ServeOptions, serve

known, free = Future(), threading.Event()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stuck":
        free.wait()
    elif path == "/known":
        known.set_result(None)
    body = b"thread " + path.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def at_once(address, request):
    path = request.path
    if path == "/free":
        free.set()
    elif path == "/loop/broken":
        raise RuntimeError("as the test wants it")
    elif path == "/later/none":
        return Later(known, lambda: None)
    elif path.startswith("/later"):
        return Later(known, lambda: Reply(b"loop " + path.encode(), "text/plain"))
    elif not path.startswith("/loop"):
        return None
    content = bytes(int(sys.argv[2])) if path == "/loop/big" else b"loop " + path.encode()
    return Reply(content, "text/plain")

options = ServeOptions("served", "127.0.0.1", int(sys.argv[1]), threads=1)
serve(options, lambda: Served(app, lambda: print("stopped", flush=True), at_once))
"""


class Server:
    def __init__(self, port, process):
        self.port, self.process = port, process

    def get(self, path, session=requests, **options):
        return session.get(f"http://127.0.0.1:{self.port}{path}", timeout=20, **options).text

    @contextmanager
    def connection(self, *paths):
        """A connection on which `paths` are asked for, all in one piece."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as client:
            client.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths))
            yield client


@pytest.fixture
def server():
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(port), str(BIG)],
        cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    served = Server(port, process)
    try:
        wait_until(lambda: answers(served), "the server answers")
        yield served
    finally:
        process.kill()
        process.wait()


def answers(server):
    try:
        return server.get("/")
    except requests.ConnectionError:
        return ""


def received(client, *ends: bytes) -> bytes:
    """What came until all of `ends` have."""
    got = b""
    while not all(end in got for end in ends):
        piece = client.recv(1 << 16)
        assert piece, got
        got += piece
    return got


def test_one_connection_is_answered_by_loop_and_threads_in_turns(server):
    paths = ("/loop", "/a", "/loop/2", "/loop?x", "/loop")

    with requests.Session() as session:
        said = [server.get(path, session) for path in paths]

    assert said == ["loop /loop", "thread /a", "loop /loop/2", "thread /loop", "loop /loop"]


def test_requests_that_came_together_are_answered_in_order(server):
    with server.connection(b"/loop/1", b"/a", b"/loop/2", b"/loop/3", b"/b") as client:
        got = received(client, b"thread /b")

    places = [got.index(word) for word in (b"loop /loop/1", b"thread /a", b"/loop/2", b"/loop/3")]
    assert places == sorted(places)


def test_the_loop_answers_while_every_thread_is_taken(server):
    with server.connection(b"/stuck") as client:
        assert server.get("/loop") == "loop /loop"
        assert server.get("/loop/2") == "loop /loop/2"
        server.get("/free")

        received(client, b"thread /stuck")


def test_who_waits_for_something_to_be_known_hears_then_and_holds_nobody_up(server):
    with (
        server.connection(b"/later/1") as first,
        server.connection(b"/later/2", b"/loop/3") as second,
        server.connection(b"/later/none") as third,
    ):
        server.connection(b"/later/gone").__enter__().close()
        assert server.get("/loop") == "loop /loop"
        assert server.get("/known") == "thread /known"

        received(first, b"loop /later/1")
        got = received(second, b"loop /later/2", b"loop /loop/3")
        assert got.index(b"/later/2") < got.index(b"/loop/3")
        received(third, b"thread /later/none")
    assert server.get("/later/4") == "loop /later/4"


def test_what_fails_in_the_loop_is_the_applications_to_answer(server):
    assert server.get("/loop/broken") == "thread /loop/broken"
    assert server.get("/loop") == "loop /loop"


def test_clients_that_do_not_read_hold_nobody_up(server):
    with (
        server.connection(b"/loop/big", b"/loop/after") as patient,
        server.connection(b"/loop/big") as gone,
    ):
        assert server.get("/loop") == "loop /loop"
        assert server.get("/a") == "thread /a"
        gone.close()
        got = received(patient, b"loop /loop/after")

    assert got.count(0) == BIG
    assert server.get("/loop") == "loop /loop"


@pytest.mark.parametrize("path", [b"/loop", b"/a"])
def test_clients_that_want_the_connection_closed_and_stay_are_not_waited_for(server, path):
    close = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path
    with ExitStack() as connections:
        # Two seconds for each of them would be too long for the last one, which is heard first.
        clients = [connections.enter_context(server.connection()) for _ in range(20)]
        for client in clients:
            client.sendall(close)
        for client in reversed(clients):
            assert b"Connection: close" in received(client, path)
            client.sendall(b"more that nobody asked for")

        assert [client.recv(1) for client in clients] == [b""] * len(clients)


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_both_write_the_same_heads(server, connection):
    heads, wanted = [], {"Connection": connection}
    for path in ("/loop", "/loop?x"):
        url = f"http://127.0.0.1:{server.port}{path}"
        answer = requests.get(url, timeout=20, headers=wanted)
        heads.append({k.lower(): v for k, v in answer.headers.items() if k not in ("Date",)})

    assert {**heads[0], "content-length": "12"} == heads[1]


def test_it_stops_when_told_though_connections_are_kept(server):
    with server.connection(b"/loop") as client:
        received(client, b"loop /loop")

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(timeout=20) == 0
    assert server.process.stdout.read() == "stopped\n"
