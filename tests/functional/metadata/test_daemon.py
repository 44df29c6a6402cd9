# SPDX-License-Identifier: Apache-2.0
"""kilonova-metadata as a process, with a real database, broker and conductor's half."""

import os
import secrets
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from common.context import service_context
from common.rpc.control import Control
from services.conductor.endpoint.metadata import MetadataEndpoint
from tests import ours
from tests.functional.conductor_half import daemon_process
from tests.functional.db.rows import add, make_instance, make_vif
from tests.functional.rabbitmq import wait_until
from tests.unit.metadata.vendor import serving

pytestmark = pytest.mark.functional

ADMIN = service_context()


@pytest.fixture
def metadata(transport_url, tmp_path):
    with daemon_process("metadata", transport_url, tmp_path, "cache_s = 0") as process:
        yield process


def get(metadata, path: str, **options) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{metadata.port}{path}", timeout=20, **options)


@pytest.fixture
def guest(database):
    """An instance whose address is the one this test connects from."""
    return add(database, make_instance(vifs=(make_vif("127.0.0.1"),), hostname="web"))


def test_a_guest_reads_its_metadata_and_posts_its_password_once(metadata, conductor, guest):
    conductor.serve()
    metadata.wait_until_healthy()
    password = f"http://127.0.0.1:{metadata.port}/openstack/latest/password"

    document = get(metadata, "/openstack/latest/meta_data.json").json()
    posted = [requests.post(password, data=b"abc", timeout=20).status_code for _ in range(2)]

    assert (document["uuid"], document["hostname"]) == (guest.uuid, "web.novalocal")
    assert posted == [200, 409]
    assert get(metadata, "/openstack/latest/password").text == "abc"


class Noting(MetadataEndpoint):
    """Notes what it is asked."""

    def __init__(self, database):
        super().__init__(database)
        self.asked = []

    def find(self, ctx, uuids, addresses):
        self.asked.append([*uuids, *addresses])
        return super().find(ctx, uuids, addresses)


def test_it_is_healthy_once_it_has_looked_up_nobody(metadata, conductor, database):
    conductor.metadata = Noting(database)
    conductor.serve()

    metadata.wait_until_healthy()

    assert conductor.metadata.asked == [[]]


def test_an_address_of_nobody_is_404(metadata, conductor, database):
    conductor.serve()
    metadata.wait_until_healthy()

    assert get(metadata, "/openstack/latest/meta_data.json").status_code == 404


def test_while_the_conductor_is_away_200_guests_hear_so_quickly_and_then_are_served(
    metadata, conductor, guest
):
    server = conductor.serve()
    metadata.wait_until_healthy()
    assert get(metadata, "/latest/meta-data/hostname").text == "web.novalocal"
    server.stop()

    started = time.monotonic()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: get(metadata, "/latest").status_code, range(200)))
    took_s = time.monotonic() - started

    assert set(answers) == {503}
    assert took_s < 10
    assert metadata.health() == 503
    conductor.serve()
    wait_until(lambda: get(metadata, "/latest").status_code == 200, "guests are served again")


def test_it_says_how_it_is_and_stops_when_told(metadata, conductor, database):
    conductor.serve()
    metadata.wait_until_healthy()

    status = Control.client(conductor.bus, server="kilonova-metadata.h0").status(ADMIN)

    assert (status.name, status.healthy) == ("kilonova-metadata", True)
    assert get(metadata, "/healthz").status_code == 200
    assert metadata.stop() == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("behind_proxy = true", "[metadata] behind_proxy needs proxy_shared_secret"),
        ("vendor_data_file = /nonexistent", "[metadata] vendor_data_file /nonexistent: "),
    ],
)
def test_a_configuration_that_cannot_work_keeps_it_from_starting(
    transport_url, tmp_path, capfd, options, complaint
):
    with daemon_process("metadata", transport_url, tmp_path, options) as process:
        assert process.process.wait(timeout=20) == 1

    assert complaint in "".join(capfd.readouterr())


def test_guests_that_connect_and_say_nothing_hold_nobody_up(metadata, conductor, guest):
    conductor.serve()
    metadata.wait_until_healthy()
    idle = [socket.create_connection(("127.0.0.1", metadata.port)) for _ in range(40)]
    for half_a_request in idle[20:]:
        half_a_request.sendall(b"GET /latest HTTP/1.1\r\nHost: x\r\n")

    try:
        answer = get(metadata, "/latest/meta-data/hostname")
    finally:
        for connection in idle:
            connection.close()

    assert answer.text == "web.novalocal"


def test_a_guest_reads_what_the_deployments_own_services_say(
    conductor, guest, transport_url, tmp_path
):
    conductor.serve()
    with serving() as vendor:
        options = f"cache_s = 0\nvendor_data_targets = ours@{vendor.url}"
        with daemon_process("metadata", transport_url, tmp_path, options) as process:
            process.wait_until_healthy()
            found = get(process, "/openstack/latest/vendor_data2.json").json()

    assert found == {"static": {}, "ours": {"said": "this"}}
    assert [asked["instance-id"] for asked in vendor.asked] == [guest.uuid]


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes network namespaces")
def test_it_answers_inside_the_network_namespace_it_is_told(
    conductor, guest, transport_url, tmp_path
):
    name = ours.note(f"kn-test-{secrets.token_hex(4)}")
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        options = f"network_namespace = {name}"
        conductor.serve()
        with daemon_process("metadata", transport_url, tmp_path, options) as metadata:
            metadata.wait_until_healthy()
            url = f"http://127.0.0.1:{metadata.port}/latest/meta-data/hostname"
            answer = subprocess.run(
                [*inside, "curl", "-sS", "-m", "20", url],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            with pytest.raises(requests.ConnectionError):
                get(metadata, "/")
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)

    assert answer.stdout == "web.novalocal"
