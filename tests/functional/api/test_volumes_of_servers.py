# SPDX-License-Identifier: Apache-2.0
"""Volumes follow their servers through everything, on fake hosts, with a real volume service."""

from collections.abc import Callable, Iterator

import pytest

from tests.functional.api.conftest import Call
from tests.functional.api.servers import *  # noqa: F403
from tests.functional.api.servers import Act, until
from tests.functional.cloud import Cloud
from tests.functional.rabbitmq import wait_until

HOST = "OS-EXT-SRV-ATTR:host"
BIGGER = "bigger-with-volume"


@pytest.fixture(scope="module", autouse=True)
def bigger(cloud: Cloud) -> None:
    cloud.connect("admin").compute.create_flavor(name=BIGGER, ram=128, vcpus=2, disk=1, id=BIGGER)


@pytest.fixture
def storage(cloud: Cloud):
    """The volume service as the owner uses it."""
    return cloud.connect().block_storage


@pytest.fixture
def volume(storage) -> Iterator[str]:
    """A volume that is free; gone after the test."""
    made = storage.create_volume(size=1)
    wait_until(lambda: storage.get_volume(made).status == "available", "the volume is made")
    yield made.id
    wait_until(
        lambda: storage.get_volume(made).status in ("available", "error"), "the volume is free"
    )
    storage.delete_volume(made)


@pytest.fixture
def status(storage, volume) -> Callable[[], str]:
    return lambda: storage.get_volume(volume).status


@pytest.fixture
def attached(call: Call, server: str, volume: str, status) -> Iterator[str]:
    """The volume, attached to the server; detached after the test."""
    asked = {"volumeAttachment": {"volumeId": volume}}
    answer = call("POST", f"/servers/{server}/os-volume_attachments", version="2.60", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["volumeAttachment"]["device"] == "/dev/vdb"
    wait_until(lambda: status() == "in-use", "the volume is in use")
    yield volume
    call("DELETE", f"/servers/{server}/os-volume_attachments/{volume}")


def used_on(cloud: Cloud, volume: str) -> list[str]:
    """Hosts on which a guest has the volume."""
    return [host for (host, _), has in cloud.guests_volumes().items() if volume in has]


def test_a_volume_is_attached_shown_and_detached(cloud, call, server, attached, show, status):
    [shown] = call("GET", f"/servers/{server}/os-volume_attachments").json()["volumeAttachments"]
    assert (shown["volumeId"], shown["device"]) == (attached, "/dev/vdb")
    assert shown["attachment_id"]
    [listed] = show()["os-extended-volumes:volumes_attached"]
    assert listed == {"id": attached, "delete_on_termination": False}
    assert used_on(cloud, attached) == [show()[HOST]]

    gone = call("DELETE", f"/servers/{server}/os-volume_attachments/{attached}")

    assert gone.status_code == 202
    wait_until(lambda: status() == "available", "the volume is free")
    path = f"/servers/{server}/os-volume_attachments"
    wait_until(lambda: not call("GET", path).json()["volumeAttachments"], "nothing is shown of it")
    assert used_on(cloud, attached) == []


def test_a_volume_shows_that_it_is_detached_once_that_is_accepted(
    cloud, call, server, attached, status
):
    cloud.faults(delays_ms={"detach_volume": 1000})

    gone = call("DELETE", f"/servers/{server}/os-volume_attachments/{attached}")

    assert gone.status_code == 202
    assert status() == "detaching"
    wait_until(lambda: status() == "available", "the volume is free")


def test_a_volume_that_the_volume_service_keeps_is_not_detached(cloud, call, server, attached):
    operator = cloud.connect("admin").block_storage
    operator.reset_volume_status(attached, status="error")

    refused = call("DELETE", f"/servers/{server}/os-volume_attachments/{attached}")

    assert refused.status_code == 400, refused.text
    [kept] = call("GET", f"/servers/{server}/os-volume_attachments").json()["volumeAttachments"]
    assert kept["volumeId"] == attached
    operator.reset_volume_status(attached, status="in-use")


def test_a_volume_that_the_host_refuses_is_free_again(cloud, call, server, volume, status):
    cloud.faults(faults=["attach_volume:1:HypervisorError"])
    asked = {"volumeAttachment": {"volumeId": volume}}

    answer = call("POST", f"/servers/{server}/os-volume_attachments", json=asked)

    assert answer.status_code == 202
    wait_until(lambda: status() == "available", "the volume is free again")

    def action():
        return call("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"][0]

    wait_until(lambda: action()["message"] is not None, "the action says how it ended")
    assert action()["action"] == "attach_volume"
    assert "fails here" in action()["message"]
    path = f"/servers/{server}/os-volume_attachments"
    assert call("GET", path).json() == {"volumeAttachments": []}


def test_a_server_whose_volume_is_gone_stays_stopped_and_says_why(
    cloud, call, act, server, attached, show
):
    act({"os-stop": None})
    until(show, "SHUTOFF")
    cloud.faults(faults=["power_on:1:VolumeUnreachable"])

    assert act({"os-start": None}).status_code == 202

    def why():
        actions = call("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"]
        return next(action["message"] for action in actions if action["action"] == "start")

    wait_until(lambda: "power_on fails here" in (why() or ""), "the action says why")
    until(show, "SHUTOFF")
    cloud.faults()
    act({"os-start": None})
    until(show, "ACTIVE")


def test_a_volume_moves_with_a_resized_server_and_back(cloud, act: Act, attached, show, status):
    source = show()[HOST]

    act({"resize": {"flavorRef": BIGGER}})
    moved = until(show, "VERIFY_RESIZE")
    assert used_on(cloud, attached) == [moved[HOST]] != [source]
    assert status() == "in-use"

    act({"revertResize": None})
    until(show, "ACTIVE")
    assert used_on(cloud, attached) == [source]
    assert status() == "in-use"


def test_a_volume_moves_with_a_server_that_goes_on_running(cloud, call, server, attached, show):
    source = show()[HOST]
    body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}

    assert call("POST", f"/servers/{server}/action", json=body).status_code == 202
    wait_until(lambda: show()[HOST] != source, "the server is elsewhere")

    until(show, "ACTIVE")
    assert used_on(cloud, attached) == [show()[HOST]]


def test_an_offloaded_server_keeps_its_volume_to_itself(cloud, act, attached, show, status):
    act({"shelve": None})
    until(show, "SHELVED_OFFLOADED")
    assert used_on(cloud, attached) == []
    assert status() == "reserved"

    act({"unshelve": None})
    until(show, "ACTIVE")
    assert used_on(cloud, attached) == [show()[HOST]]
    assert status() == "in-use"


def test_a_deleted_server_frees_its_volumes(cloud, call, server, attached, status):
    assert call("DELETE", f"/servers/{server}").status_code == 204

    wait_until(lambda: status() == "available", "the volume is free")
    assert used_on(cloud, attached) == []


def test_an_extended_volume_is_told_to_its_guest(cloud, call, server, attached, storage):
    asked = storage.post(
        f"/volumes/{attached}/action", json={"os-extend": {"new_size": 2}}, microversion="3.42"
    )
    assert asked.status_code == 202, asked.text

    def actions() -> list[str]:
        found = call("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"]
        return [each["action"] for each in found if each["updated_at"]]

    wait_until(lambda: "extend_volume" in actions(), "the guest was told")
