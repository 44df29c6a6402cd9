# SPDX-License-Identifier: Apache-2.0
"""kilonova's own client of the volume service, against a volume service."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from common.clients.volume import UserVolumeClient, VolumeClient
from common.errors import InvalidVolume, VolumeNotFound
from common.ids import new_uuid
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

HERE = {"host": "host1", "ip": "127.0.0.1", "initiator": "iqn.test:host1"}
THERE = {"host": "host2", "ip": "127.0.0.2", "initiator": "iqn.test:host2"}


@pytest.fixture
def volumes(session):
    return VolumeClient(session)


@pytest.fixture
def demo(connect):
    """The token and the project of a user."""
    conn = connect("demo", "demo")
    return conn.auth_token, conn.current_project_id


@pytest.fixture
def volume(session, volumes, demo):
    """A volume of the user's, ready; gone after the test."""
    made = UserVolumeClient(session).create(*demo, mark=new_uuid(), size=1, name="")
    wait_until(lambda: volumes.get(made.id).status == "available", "the volume is ready")
    yield made.id
    volumes.delete(made.id)


@pytest.fixture
def instance(volumes, volume):
    """An instance that ends with the test."""
    uuid = new_uuid()
    yield uuid
    volumes.release(uuid, [volume])


class _Lossy(BaseHTTPRequestHandler):
    """A proxy that sends requests on, and loses the answer of the first one that makes a volume."""

    protocol_version = "HTTP/1.1"
    lost = 0

    def _pass_on(self):
        length = int(self.headers.get("Content-Length") or 0)
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                self.command, self.path, data=self.rfile.read(length), headers=dict(self.headers)
            )
        if self.command == "POST" and self.path.endswith("/volumes") and not _Lossy.lost:
            _Lossy.lost += 1
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        for name in ("Content-Type", "X-Subject-Token"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_):
        """Tests are quiet."""


@pytest.fixture
def lossy(monkeypatch) -> Iterator[type[_Lossy]]:
    """A proxy that every client of this process goes through."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Lossy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "")
    _Lossy.lost = 0
    yield _Lossy
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_volume_whose_answer_is_lost_is_found_again(session, volumes, demo, lossy):
    client, mark = UserVolumeClient(session), new_uuid()

    made = client.create(*demo, mark=mark, size=1, name="")

    assert lossy.lost == 1
    listed = client.request(*demo, "GET", "/volumes/detail").json()["volumes"]
    marked = [each["id"] for each in listed if mark in each["metadata"].values()]
    assert marked == [made.id]
    wait_until(lambda: volumes.get(made.id).status == "available", "the volume is ready")
    volumes.delete(made.id)


def test_a_reserved_volume_is_kept_from_others(volumes, volume, instance):
    [kept] = volumes.reserve(instance, [volume])

    assert volumes.reserve(instance, [volume]) == (kept,)
    assert kept.connection is None
    assert volumes.get(volume).status == "reserved"
    with pytest.raises(InvalidVolume):
        volumes.reserve(new_uuid(), [volume])


def test_a_connected_volume_says_how_the_host_reaches_it(volumes, volume, instance):
    volumes.reserve(instance, [volume])

    [made] = volumes.connect(instance, HERE, [(volume, "/dev/vdb")])
    volumes.complete([made.attachment_id])

    assert made.connection["driver_volume_type"] == "local"
    assert made.connection["data"]["device_path"].endswith(volume)
    found = volumes.get(volume)
    assert (found.status, found.attached_to) == ("in-use", (instance,))


def test_connecting_to_another_host_ends_the_old_connection(volumes, volume, instance):
    [old] = volumes.connect(instance, HERE, [(volume, "/dev/vdb")])
    volumes.complete([old.attachment_id])

    [new] = volumes.connect(instance, THERE, [(volume, "/dev/vdb")])
    volumes.complete([new.attachment_id])

    assert new.attachment_id != old.attachment_id
    assert volumes.get(volume).attached_to == (instance,)
    assert _ids(volumes, instance) == {new.attachment_id}


def test_a_connection_that_is_kept_stays_beside_the_new_one(volumes, volume, instance):
    [old] = volumes.connect(instance, HERE, [(volume, "/dev/vdb")])
    volumes.complete([old.attachment_id])

    [new] = volumes.connect(instance, THERE, [(volume, "/dev/vdb")], keep=[old.attachment_id])

    assert _ids(volumes, instance) == {old.attachment_id, new.attachment_id}
    volumes.drop([new.attachment_id])
    assert volumes.get(volume).status == "in-use"


def test_a_volume_whose_instance_left_its_host_is_reserved(volumes, volume, instance):
    [connected] = volumes.connect(instance, HERE, [(volume, "/dev/vdb")])
    volumes.complete([connected.attachment_id])

    [kept] = volumes.reserve_anew(instance, [volume])

    assert kept.connection is None
    assert _ids(volumes, instance) == {kept.attachment_id}
    assert volumes.get(volume).status == "reserved"


def test_a_released_volume_is_free_and_releasing_again_is_fine(volumes, volume, instance):
    volumes.connect(instance, HERE, [(volume, "/dev/vdb")])

    volumes.release(instance, [volume])
    volumes.release(instance, [volume])

    assert volumes.get(volume).status == "available"


def test_detaching_shows_and_is_rolled_back(volumes, volume, instance):
    [connected] = volumes.connect(instance, HERE, [(volume, "/dev/vdb")])
    volumes.complete([connected.attachment_id])

    volumes.begin_detaching(volume)
    volumes.begin_detaching(volume)
    assert volumes.get(volume).status == "detaching"

    volumes.roll_detaching(volume)
    volumes.roll_detaching(volume)
    assert volumes.get(volume).status == "in-use"


def test_a_volume_in_use_is_not_deleted(volumes, volume, instance):
    [connected] = volumes.connect(instance, HERE, [(volume, "/dev/vdb")])
    volumes.complete([connected.attachment_id])

    with pytest.raises(InvalidVolume):
        volumes.delete(volume)


def test_a_volume_that_is_not_there_is_not_found_and_deleting_it_is_fine(volumes):
    with pytest.raises(VolumeNotFound):
        volumes.get(new_uuid())

    volumes.delete(new_uuid())


def test_a_user_sees_the_own_volumes_and_no_others(session, volume, demo, connect):
    admin = connect("admin", "admin")
    users = UserVolumeClient(session)

    assert users.get(*demo, volume).id == volume
    foreign = admin.block_storage.create_volume(size=1)
    with pytest.raises(VolumeNotFound):
        users.get(*demo, foreign.id)


def test_a_snapshot_of_a_volume_in_use_belongs_to_its_user(
    session, volumes, volume, instance, demo, connect
):
    [connected] = volumes.connect(instance, HERE, [(volume, "/dev/vdb")])
    volumes.complete([connected.attachment_id])
    users = UserVolumeClient(session)

    made = users.take_snapshot(*demo, volume, name="shot", description="")

    storage = connect("demo", "demo").block_storage
    wait_until(
        lambda: storage.get_snapshot(made["id"]).status == "available", "the snapshot is made"
    )
    assert users.snapshot(*demo, made["id"])["volume_id"] == volume
    storage.delete_snapshot(made["id"])
    wait_until(lambda: storage.find_snapshot(made["id"], ignore_missing=True) is None, "it is gone")


def _ids(volumes, instance):
    found = volumes._attachments(instance)
    return {each["id"] for attachments in found.values() for each in attachments}
