# SPDX-License-Identifier: Apache-2.0
"""How applications are served: by a process of its own, one or several workers."""

import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from tests.functional.rabbitmq import wait_until
from tests.ports import free_ports

pytestmark = pytest.mark.functional

_SERVER = """
import os, sys
from common.wsgi import Served, ServeOptions, serve

def app(environ, start_response):
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

port, workers, threads = map(int, sys.argv[1:])
options = ServeOptions("served", "127.0.0.1", port, workers=workers, threads=threads)
serve(options, lambda: Served(app, lambda: print("stopped", flush=True)))
"""


@contextmanager
def served(*, workers=1, threads=4):
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(port), str(workers), str(threads)],
        cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_until(lambda: _answers(url), "the server answers")
        yield url, process
    finally:
        process.kill()
        process.wait()


def _answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def test_one_worker_is_the_process_itself_and_stops_when_told():
    with served() as (url, process):
        assert requests.get(url, timeout=5).text == str(process.pid)

        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0
        assert process.stdout.read() == "stopped\n"


def test_several_workers_are_processes_below_it():
    with served(workers=2) as (url, process):
        assert requests.get(url, timeout=5).text != str(process.pid)


def test_clients_that_never_stop_asking_leave_threads_for_others():
    over = threading.Event()

    def ask_on(url):
        with requests.Session() as session:
            while not over.is_set():
                session.get(url, timeout=10)

    with served(threads=2) as (url, _):
        busy = [threading.Thread(target=ask_on, args=(url,)) for _ in range(4)]
        for thread in busy:
            thread.start()
        try:
            answers = [requests.get(url, timeout=10).status_code for _ in range(20)]
        finally:
            over.set()
            for thread in busy:
                thread.join()

    assert answers == [200] * 20


def test_clients_that_want_the_connection_closed_and_stay_are_not_waited_for():
    with served() as (url, _), ExitStack() as connections:
        address = ("127.0.0.1", int(url.rpartition(":")[2].strip("/")))
        clients = [
            connections.enter_context(socket.create_connection(address, timeout=20))
            for _ in range(20)
        ]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        # Two seconds for each of them would be too long for who comes last.
        assert requests.get(url, timeout=20).ok
        for client in clients:
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
