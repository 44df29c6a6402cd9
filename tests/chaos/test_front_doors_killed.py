# SPDX-License-Identifier: Apache-2.0
"""The API is killed while it waits for somebody else's answer, the metadata service at any time.

Whom the API waits for is stopped meanwhile, so the moment is certain: before anything was asked of
the conductor, or after.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
import requests

from tests.functional.rabbitmq import wait_until

pytestmark = [pytest.mark.functional, pytest.mark.chaos]
_DOORS = ("api", "metadata")


class Client:
    """A user over HTTP, who may lose an answer."""

    def __init__(self, user):
        self.user, self.cloud = user, user.cloud
        self.image = self.cloud.connect("admin").image.create_image(
            name="guest", data=b"\0" * 4096, disk_format="raw", container_format="bare",
            visibility="public", wait=True, validate_checksum=False,
        ).id  # fmt: skip
        self.headers = {
            "X-Auth-Token": self.cloud.connect("demo").auth_token,
            "OpenStack-API-Version": "compute 2.104",
        }

    def ask(self, method, path, **more):
        """The answer; None when the connection broke."""
        url = f"{self.cloud.compute_url}/v2.1{path}"
        headers = self.headers | more.pop("headers", {})
        try:
            return requests.request(method, url, headers=headers, timeout=60, **more)
        except requests.ConnectionError:
            return None

    def boot(self, name, **more):
        networks = [{"uuid": self.user.network}]
        server = {"name": name, "flavorRef": "1", "imageRef": self.image, "networks": networks}
        return self.ask("POST", "/servers", json={"server": server}, **more)

    def named(self, name):
        """Uuids of the servers of this name."""
        found = self.ask("GET", f"/servers?name=^{name}$").json()["servers"]
        return [server["id"] for server in found]

    @contextmanager
    def stopped(self, *names):
        """Daemons that answer nobody, and go on afterwards."""
        processes = [pid for name in names for pid in self.cloud.pids(name)]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)

    def killed_while(self, ask, waiting_for, is_waiting):
        """Ask while `waiting_for` is stopped, and kill the API; the client gets no answer."""
        answers = []
        with self.stopped(waiting_for):
            thread = threading.Thread(target=lambda: answers.append(ask()))
            thread.start()
            wait_until(is_waiting, f"the API waits for {waiting_for}")
            self.cloud.kill("api")
            thread.join(20)
        assert answers == [None]
        self.cloud.start("api")

    def killed_while_conductor_is_asked(self, ask):
        sent = self.user.counters("api")["calls_sent"]
        self.killed_while(
            ask, "conductor", lambda: self.user.counters("api")["calls_sent"] > sent
        )  # fmt: skip

    def killed_while_token_is_checked(self, ask):
        port = self.cloud.ports["companion"]
        # One that the API has not seen yet.
        self.headers["X-Auth-Token"] = self.cloud.connect("demo").auth_token
        self.killed_while(ask, "companion", lambda: _unread(port) > 0)


def _unread(port):
    """Connections to a local port with something that its process has not read yet."""
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    local = f":{port:04X}"
    return sum(row[1].endswith(local) and int(row[4].split(":")[1], 16) > 0 for row in rows)


@pytest.fixture(scope="module")
def client(user) -> Iterator[Client]:
    user.cloud.start(*_DOORS)
    yield Client(user)
    for name in _DOORS:
        user.cloud.kill(name)


def test_a_boot_the_conductor_was_asked_for_ends_well_without_its_api(client):
    client.killed_while_conductor_is_asked(lambda: client.boot("asked"))

    wait_until(lambda: client.named("asked"), "the server is there")
    assert client.user.outcome(client.named("asked")[0]) == "active"
    client.user.assert_nothing_left()


def test_a_boot_nobody_was_asked_for_leaves_nothing(client):
    client.killed_while_token_is_checked(lambda: client.boot("unasked"))

    assert client.named("unasked") == []
    client.user.assert_nothing_left()


def test_a_boot_repeated_with_its_key_is_never_done_twice(client):
    key = {"Idempotency-Key": str(uuid4())}
    client.killed_while_conductor_is_asked(lambda: client.boot("keyed", headers=key))

    again = client.boot("keyed", headers=key)

    assert again.status_code in (202, 409), again.text
    wait_until(lambda: all(map(client.user.rests, client.named("keyed"))), "the server rests")
    assert len(client.named("keyed")) <= 1
    client.user.assert_nothing_left()


def test_a_boot_goes_on_when_its_api_dies_after_the_answer(client):
    client.user.cloud.faults(delays_ms={"build": 500})
    server = client.boot("answered").json()["server"]["id"]

    client.cloud.kill("api")

    assert client.user.outcome(server) == "active"
    client.cloud.start("api")
    client.user.assert_nothing_left()


def test_a_deletion_the_conductor_was_asked_for_is_done_without_its_api(client):
    server = client.boot("leaving").json()["server"]["id"]
    assert client.user.outcome(server) == "active"

    client.killed_while_conductor_is_asked(lambda: client.ask("DELETE", f"/servers/{server}"))

    assert client.user.outcome(server) in ("active", "deleted")  # asked for it, or only about it
    assert client.ask("DELETE", f"/servers/{server}").status_code in (204, 404)
    assert client.user.outcome(server) == "deleted"
    client.user.assert_nothing_left()


def test_a_deletion_nobody_was_asked_for_leaves_the_server_alone(client):
    server = client.boot("staying").json()["server"]["id"]
    assert client.user.outcome(server) == "active"

    client.killed_while_token_is_checked(lambda: client.ask("DELETE", f"/servers/{server}"))

    assert client.ask("GET", f"/servers/{server}").json()["server"]["status"] == "ACTIVE"
    client.user.assert_nothing_left()


def test_servers_come_and_go_without_the_metadata_service(client):
    client.cloud.kill("metadata")

    server = client.user.boot()
    assert client.user.outcome(server) == "active"
    client.user.delete(server)
    assert client.user.outcome(server) == "deleted"

    client.cloud.start("metadata")
    client.user.assert_nothing_left()
