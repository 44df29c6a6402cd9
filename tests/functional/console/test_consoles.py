# SPDX-License-Identifier: Apache-2.0
"""Consoles through kilonova-console: bytes both ways, and whom it lets in."""

import contextlib
import os
import secrets
import socket
import subprocess
import threading
from datetime import timedelta
from http.client import HTTPConnection

import pytest
import requests
from sqlalchemy import func, update
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from common.context import service_context
from common.objects.console import ConsoleType
from common.rpc.control import Control
from services.conductor.db import instances
from services.conductor.db.console_token_tables import console_tokens
from tests import ours
from tests.functional.console.conftest import PAGE, SCRIPT, Guest, heard, proxy_with
from tests.functional.db.rows import NOON
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

SERIAL, NOVNC = ConsoleType.SERIAL, ConsoleType.NOVNC
HTML = {"Accept": "text/html,*/*"}


def get(proxy, path, console_type=NOVNC, **more):
    return requests.get(proxy.at(console_type, "http") + path, timeout=20, **more)


def refused(proxy, url, **more):
    """The answer to a client that is not let in."""
    with pytest.raises(InvalidStatus) as status, connect(url, **more):
        pass
    return status.value.response


# --- bytes ---


def test_a_client_speaks_with_its_console(proxy, place, guest, server):
    with proxy.open(place.token(server)) as client:
        assert client.recv(timeout=10) == b"RFB 003.008\n"
        client.send(b"RFB 003.008\n")
        heard(guest, b"RFB 003.008\n")
        guest.say(b"\x01\x01")
        assert client.recv(timeout=10) == b"\x01\x01"
    wait_until(lambda: not guest.clients, "the console is left when its client leaves")


def test_what_is_typed_as_text_arrives_as_bytes(proxy, place, guest, server):
    with proxy.open(place.token(server, SERIAL), SERIAL) as client:
        client.send("ls é\n")
        heard(guest, "ls é\n".encode())


def test_many_bytes_arrive_in_order_both_ways(proxy, place, guest, server):
    much = os.urandom(1 << 20) * 8
    with proxy.open(place.token(server), max_size=None) as client:
        assert client.recv(timeout=10)
        speaker = threading.Thread(target=guest.say, args=(much,))
        speaker.start()
        typist = threading.Thread(
            target=lambda: [client.send(much[at : at + 65536]) for at in range(0, len(much), 65536)]
        )
        typist.start()
        got = bytearray()
        while len(got) < len(much):
            got += client.recv(timeout=20)
        speaker.join()
        typist.join()
        assert got == much
        wait_until(lambda: len(guest.heard) == len(much), "the guest hears all of it")
        assert guest.heard == much


def test_a_client_that_does_not_read_holds_the_console_back_not_the_proxy(
    proxy, place, guest, server
):
    with proxy.open(place.token(server), max_queue=1) as client:
        assert client.recv(timeout=10)
        sent = 0
        # Of its own: the guest closes its socket once it hears nothing for as long.
        with guest.clients[0].dup() as talker, contextlib.suppress(TimeoutError):
            talker.settimeout(2)
            while sent < 1 << 30:
                sent += talker.send(b"x" * 65536)

        assert 0 < sent < 64 << 20  # what the buffers on the way may hold


def test_the_end_of_a_console_is_the_end_for_its_client(proxy, place, guest, server):
    with proxy.open(place.token(server)) as client:
        assert client.recv(timeout=10)
        guest.hang_up()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)

    assert closed.value.rcvd.code == 1000
    assert closed.value.rcvd.reason == "the console was closed"


def test_a_console_that_does_not_answer_is_said_to(proxy, place, guest, server):
    guest.close()
    with proxy.open(place.token(server)) as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=10)

    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        1011, "The server's console does not answer.",
    )  # fmt: skip


def test_a_screen_has_many_clients_a_serial_port_the_last_one(proxy, place, guest, server):
    with proxy.open(place.token(server)) as one, proxy.open(place.token(server)) as two:
        assert one.recv(timeout=10) == two.recv(timeout=10)
        guest.say(b"both")
        assert one.recv(timeout=10) == two.recv(timeout=10) == b"both"

    token = place.token(server, SERIAL)
    with proxy.open(token, SERIAL) as before, proxy.open(token, SERIAL) as after:
        assert before.recv(timeout=10)
        assert after.recv(timeout=10)
        with pytest.raises(ConnectionClosed) as closed:
            before.recv(timeout=10)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
            4001, "the console was opened elsewhere",
        )  # fmt: skip
        guest.say(b"yours")
        assert after.recv(timeout=10) == b"yours"


# --- tokens ---


def test_a_token_comes_in_the_query_in_novncs_path_or_in_a_cookie(proxy, place, server):
    token = place.token(server)
    root = proxy.at()
    for url, headers in (
        (f"{root}/?token={token}", {}),
        (f"{root}/websockify?token={token}", {}),
        (f"{root}/?path=%3Ftoken%3D{token}", {}),
        (f"{root}/?path=websockify%3Fa%3Db%26token%3D{token}", {}),
        (f"{root}/websockify", {"Cookie": f"a=b; token={token}"}),
    ):
        with connect(url, additional_headers=headers) as client:
            assert client.recv(timeout=10) == b"RFB 003.008\n"


@pytest.mark.parametrize(
    ("token", "status"),
    [("", 401), ("x", 403), ("x" * 43, 403), ("x" * 5000, 403), ("%00" * 43, 403), ("é", 403)],
)
def test_who_has_no_token_or_a_wrong_one_is_told_so(proxy, place, token, status):
    for console_type in (NOVNC, SERIAL):
        answer = refused(proxy, f"{proxy.at(console_type)}/?token={token}")

        assert answer.status_code == status
        assert "ask for the console's URL" in answer.reason_phrase
        assert answer.body == b""


def test_a_token_is_for_its_type_only(proxy, place, server):
    answer = refused(proxy, f"{proxy.at(SERIAL)}/?token={place.token(server)}")

    assert answer.status_code == 403
    assert answer.reason_phrase == "This address is for a console of type novnc."
    direct = place.token(server, ConsoleType.SPICE_DIRECT)
    assert refused(proxy, f"{proxy.at()}/?token={direct}").status_code == 403


def test_an_expired_token_and_that_of_a_guest_that_is_gone_open_nothing(proxy, place, server):
    expired = place.token(server)
    with place.database.begin() as conn:
        conn.execute(update(console_tokens).values(expires_at=func.now()))
    of_the_past = place.token(server)
    with place.database.begin() as conn:
        instances.change(conn, server.uuid, launched_at=NOON + timedelta(seconds=1))

    for token in (expired, of_the_past):
        assert refused(proxy, f"{proxy.at()}/?token={token}").status_code == 403


def test_a_browser_reads_why_a_console_cannot_be_opened(proxy, place, server):
    page = get(proxy, f"/vnc_lite.html?path=%3Ftoken%3D{'x' * 43}", headers=HTML)
    line = get(proxy, f"/vnc_lite.html?path=%3Ftoken%3D{'x' * 43}")

    assert page.status_code == line.status_code == 403
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>This console cannot be opened</h1>" in page.text
    assert "has expired" in page.text
    assert line.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "has expired" in line.text


# --- pages ---


def test_pages_are_served_with_or_without_a_token(proxy, place, server):
    page = get(proxy, f"/vnc_lite.html?path=%3Ftoken%3D{place.token(server)}")
    script = get(proxy, "/core/rfb.js")

    assert (page.status_code, page.content) == (200, PAGE)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert (script.status_code, script.content) == (200, SCRIPT)
    assert script.headers["Content-Type"].startswith(("text/javascript", "application/javascript"))
    assert get(proxy, "/vnc_lite.html").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
     "/core", "/core/", "/vnc_lite.html%00", "/vnc_lite.html/", "http://[x/", "*"],
)  # fmt: skip
def test_nothing_but_pages_is_served(proxy, path):
    connection = HTTPConnection("127.0.0.1", proxy.ports[NOVNC], timeout=20)
    connection.putrequest("GET", path, skip_host=True)
    connection.endheaders()
    answer = connection.getresponse()

    assert answer.status == 404
    assert b"Ask for the URL" in answer.read()


def test_other_methods_and_other_protocols_are_refused(proxy):
    url = proxy.at(NOVNC, "http") + "/vnc_lite.html"

    assert requests.head(url, timeout=20).status_code == 200
    assert requests.post(url, timeout=20).status_code == 405
    assert requests.delete(url, timeout=20).status_code == 405
    assert get(proxy, "/", SERIAL).status_code == 426
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a" * 99999):
        with socket.create_connection(("127.0.0.1", proxy.ports[NOVNC]), timeout=20) as client:
            client.sendall(nonsense)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(100)
            assert not answer.startswith(b"HTTP/1.1 2")
    assert get(proxy, "/vnc_lite.html").status_code == 200


# --- origins ---


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("http://127.0.0.1:6080", 101),
        ("https://127.0.0.1", 101),
        ("https://dash.example", 101),
        ("http://DASH.example:8080", 101),
        ("http://evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("http://dash.example@evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://", 403),
        ("http://[", 403),
    ],
)
def test_only_pages_of_known_sites_open_consoles(proxy, place, server, origin, status):
    url = f"{proxy.at()}/?token={place.token(server)}"
    headers = {} if origin is None else {"Origin": origin}

    if status == 101:
        with connect(url, additional_headers=headers) as client:
            assert client.recv(timeout=10)
    else:
        assert refused(proxy, url, additional_headers=headers).status_code == status


# --- the daemon ---


def test_the_subprotocol_of_old_clients_is_agreed_to(proxy, place, server):
    url = f"{proxy.at()}/?token={place.token(server)}"
    with connect(url, subprotocols=["binary", "base64"]) as client:
        assert client.subprotocol == "binary"
    with connect(url, subprotocols=["base64"]) as client:
        assert client.subprotocol is None


def test_it_says_how_it_is_and_logs_no_token(proxy, place, server):
    token = place.token(server)
    with proxy.open(token) as client:
        assert client.recv(timeout=10)
        control = Control.client(place.half.bus, server="kilonova-console.h0")
        status = control.status(service_context())
        assert (status.name, status.healthy) == ("kilonova-console", True)
        assert status.details["open"] == 1
    get(proxy, f"/vnc_lite.html?token={token}")
    get(proxy, f"/nothing?token={token}")
    refused(proxy, f"{proxy.at(SERIAL)}/?token={token}")

    wait_until(lambda: "Closed the novnc console" in proxy.log(), "the end is logged")
    said = proxy.log()
    assert f"instance={server.uuid}] Opened the novnc console at 127.0.0.1:" in said
    assert token not in said
    assert "Traceback" not in said


def test_a_conductor_that_is_away_is_waited_for(place, server, pages, transport_url, tmp_path):
    with proxy_with("", pages, transport_url, tmp_path) as proxy:
        token = place.token(server)
        place.server.stop()
        try:
            answer = refused(proxy, f"{proxy.at()}/?token={token}", open_timeout=40)
            assert answer.status_code == 503
            assert proxy.process.health() == 503
        finally:
            place.serve()
        with proxy.open(token) as client:
            assert client.recv(timeout=10)
        assert proxy.process.health() == 200


def test_when_told_to_stop_it_sends_clients_away_and_ends(
    place, server, pages, transport_url, tmp_path
):
    with proxy_with("", pages, transport_url, tmp_path) as proxy:
        client = proxy.open(place.token(server))
        assert client.recv(timeout=10)
        ended = []
        stopping = threading.Thread(target=lambda: ended.append(proxy.process.stop()))
        stopping.start()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=15)
        stopping.join()

    assert closed.value.rcvd.code == 1012
    assert ended == [0]


def test_no_more_consoles_are_open_than_may_be(place, server, pages, transport_url, tmp_path):
    with proxy_with("max_connections = 2", pages, transport_url, tmp_path) as proxy:
        token = place.token(server)
        with proxy.open(token) as one, proxy.open(token) as two:
            assert one.recv(timeout=10)
            assert two.recv(timeout=10)
            with proxy.open(token) as three, pytest.raises(ConnectionClosed) as closed:
                three.recv(timeout=10)
            assert closed.value.rcvd.code == 1013
            assert get(proxy, "/vnc_lite.html").status_code == 200

        def is_free() -> bool:
            with proxy.open(token) as client:
                try:
                    return bool(client.recv(timeout=10))
                except ConnectionClosed:
                    return False

        wait_until(is_free, "there is room again")


def test_one_server_does_not_use_up_every_console(place, guest, server, proxy):
    token = place.token(server)
    clients = [proxy.open(token) for _ in range(33)]
    try:
        assert all(client.recv(timeout=10) for client in clients[:32])
        with pytest.raises(ConnectionClosed) as closed:
            clients[32].recv(timeout=10)
        assert closed.value.rcvd.reason == "Too many consoles of this server are open."
        other = Guest()
        with proxy.open(place.token(place.boot(other))) as client:
            assert client.recv(timeout=10)
        other.close()
    finally:
        for client in clients:
            client.close()


def test_clients_that_say_nothing_are_dropped_beyond_a_bound(place, pages, transport_url, tmp_path):
    with proxy_with("max_connections = 1", pages, transport_url, tmp_path) as proxy:
        address = ("127.0.0.1", proxy.ports[NOVNC])
        silent = [socket.create_connection(address, timeout=20) for _ in range(300)]
        try:
            dropped = 0
            for client in silent:
                client.settimeout(0.05 if dropped == 0 else 20)
                try:
                    dropped += client.recv(1) == b""
                except ConnectionResetError:
                    dropped += 1
                except TimeoutError:
                    pass
                if dropped == 300 - 258:
                    break
            assert dropped == 300 - 258
        finally:
            for client in silent:
                client.close()
        wait_until(
            lambda: get(proxy, "/vnc_lite.html").status_code == 200, "others are served again"
        )


def test_a_console_on_which_nothing_moves_is_closed(place, server, pages, transport_url, tmp_path):
    with (
        proxy_with("idle_timeout_s = 1", pages, transport_url, tmp_path) as proxy,
        proxy.open(place.token(server)) as client,
    ):
        assert client.recv(timeout=10)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)

    assert closed.value.rcvd.reason == "nothing moved for 1 s"


def test_a_console_ends_with_its_token_where_that_is_wanted(
    place, guest, server, pages, transport_url, tmp_path
):
    options = "[consoleauth]\nenforce_session_timeout = true"
    with proxy_with(options, pages, transport_url, tmp_path) as proxy:
        place.consoles, before = place.with_ttl(2), place.consoles
        try:
            token = place.token(server)
        finally:
            place.consoles = before
        with proxy.open(token) as client:
            while client.close_code is None:
                guest.say(b".")
                with contextlib.suppress(ConnectionClosed):
                    client.recv(timeout=10)

    assert client.close_reason == "the token expired"


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes network namespaces")
def test_consoles_in_another_network_namespace_are_reached(
    place, server, pages, transport_url, tmp_path
):
    name = ours.note(f"kn-test-{secrets.token_hex(4)}")
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside = ["ip", "netns", "exec", name]
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        port = place.host.addresses[server.uuid].port
        script = (
            "import socket, sys\n"
            f"s = socket.create_server(('127.0.0.1', {port}))\n"
            "print('listens', flush=True)\n"
            "c = s.accept()[0]; c.sendall(b'from inside'); c.recv(1)\n"
        )
        there = subprocess.Popen(
            [*inside, "python3", "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert there.stdout.readline() == "listens\n"
        with (
            proxy_with(f"network_namespace = {name}", pages, transport_url, tmp_path) as proxy,
            proxy.open(place.token(server)) as client,
        ):
            assert client.recv(timeout=10) == b"from inside"
        assert there.wait(timeout=10) == 0
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
