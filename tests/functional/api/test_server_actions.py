# SPDX-License-Identifier: Apache-2.0
"""Actions on servers through real HTTP: codes, states on the way, and who may."""

import pytest

from tests.functional.api.conftest import Call
from tests.functional.api.servers import *  # noqa: F403
from tests.functional.api.servers import Act, until
from tests.functional.cloud import Cloud
from tests.functional.rabbitmq import wait_until


def test_a_server_is_paused_suspended_and_goes_on(act: Act, show):
    for action, status, power in (
        ("pause", "PAUSED", 3), ("unpause", "ACTIVE", 1),
        ("suspend", "SUSPENDED", 7), ("resume", "ACTIVE", 1),
    ):  # fmt: skip
        assert act({action: None}).status_code == 202
        assert until(show, status)["OS-EXT-STS:power_state"] == power
    assert act({"unpause": None}).status_code == 409


def test_a_locked_server_says_why_and_refuses(act: Act, call: Call, server: str, show):
    assert act({"lock": {"locked_reason": "mine"}}, version="2.72").status_code == 202
    assert show()["locked_reason"] is None
    assert act({"unlock": None}).status_code == 202
    assert act({"lock": {"locked_reason": "mine"}}).status_code == 202
    assert (show()["locked"], show()["locked_reason"]) == (True, "mine")

    refused = act({"pause": None})
    assert refused.status_code == 409
    assert refused.json()["conflictingRequest"]["message"] == f"Instance {server} is locked"
    assert act({"unlock": None}).status_code == 202

    assert call("POST", f"/servers/{server}/action", json={"lock": None}).status_code == 202
    theirs = act({"unlock": None})
    assert theirs.status_code == 403
    assert "unlock_override" in theirs.text


def test_an_administrator_resets_a_state(act: Act, call: Call, server: str, show):
    assert act({"os-resetState": {"state": "error"}}).status_code == 403
    path = f"/servers/{server}/action"
    assert call("POST", path, json={"os-resetState": {"state": "error"}}).status_code == 202
    assert show()["status"] == "ERROR"
    assert call("POST", path, json={"os-resetState": {"state": "active"}}).status_code == 202
    assert show()["status"] == "ACTIVE"
    assert call("POST", path, json={"injectNetworkInfo": None}).status_code == 202
    assert call("POST", path, json={"resetNetwork": None}).status_code == 410


def test_a_refused_action_leaves_its_reason_among_the_actions(
    cloud: Cloud, act: Act, call: Call, server: str, show
):
    cloud.faults(faults=["change_password:1:NotSupported"])
    answer = act({"changePassword": {"adminPass": "s3cret"}})
    assert answer.status_code == 202
    until(show, "ACTIVE")

    request = answer.headers["x-openstack-request-id"]
    path = f"/servers/{server}/os-instance-actions/{request}"
    owner = cloud.connect().compute
    found = owner.get(path, microversion="2.84").json()["instanceAction"]

    assert found["action"] == "changePassword"
    assert "by order of the configuration" in found["message"]
    event = found["events"][0]
    assert (event["result"], "host" in event) == ("Error", False)
    assert event["hostId"] == owner.get_server(server).host_id
    told_admin = call("GET", path).json()["instanceAction"]["events"][0]
    assert told_admin["host"].startswith("fake")
    assert told_admin["hostId"] == event["hostId"]  # the server's, whoever reads it
    assert "by order of the configuration" in told_admin["details"]


def test_a_crash_dump_is_triggered_from_2_17(act: Act):
    assert act({"trigger_crash_dump": None}, version="2.16").status_code == 404
    assert act({"trigger_crash_dump": None}, version="2.17").status_code == 202


def test_a_server_is_deleted_by_force_and_restored_only_when_soft_deleted(
    act: Act, call: Call, server: str
):
    assert act({"restore": None}).status_code == 409
    assert act({"forceDelete": None}).status_code == 202
    wait_until(lambda: call("GET", f"/servers/{server}").status_code == 404, "it is gone")
    path = f"/servers/{server}/os-instance-actions"
    request = call("GET", path, version="2.21").json()["instanceActions"][0]["request_id"]
    assert call("GET", f"{path}/{request}", version="2.21").status_code == 200
    never = "changes-since=2040-01-01T00:00:00Z&changes-before=2020-01-01T00:00:00Z"
    assert call("GET", f"{path}?{never}", version="2.66").status_code == 400
    for hidden in (path, f"{path}/{request}"):  # a server that is gone has none below 2.21
        assert call("GET", hidden, version="2.20").status_code == 404


def test_a_server_is_rescued_and_comes_back(cloud: Cloud, act: Act, show):
    answer = act({"rescue": {"adminPass": "s3cret"}})
    assert (answer.status_code, answer.json()) == (200, {"adminPass": "s3cret"})
    until(show, "RESCUE")
    missing = {"rescue_image_ref": "99999999-9999-4999-8999-999999999999"}
    assert act({"rescue": missing}).status_code == 400
    assert act({"unrescue": None}).status_code == 202
    until(show, "ACTIVE")


def test_a_rebuild_answers_with_the_server_as_it_will_be(act: Act, show):
    image = show()["image"]["id"]

    answer = act({"rebuild": {"imageRef": image, "name": "again"}})

    server = answer.json()["server"]
    assert (server["name"], server["status"]) == ("again", "REBUILD")
    assert len(server["adminPass"]) == 12
    assert answer.headers["Location"].endswith(server["id"])
    until(show, "ACTIVE")


@pytest.mark.parametrize(
    "body",
    [
        {"createImage": {"metadata": {"mine": "yes"}}},
        {"createBackup": {"backup_type": "daily", "rotation": 1,
                          "metadata": {"mine": "yes"}}},
    ],
)  # fmt: skip
def test_an_image_of_a_server_has_its_disk_and_says_where_it_comes_from(
    cloud: Cloud, act: Act, server: str, show, body
):
    name = f"shot of {server}"
    next(iter(body.values()))["name"] = name
    answer = act(body)
    assert answer.status_code == 202
    image_id = answer.json()["image_id"]
    images = cloud.connect().image

    wait_until(lambda: images.get_image(image_id).status == "active", "the image is there")

    image = images.get_image(image_id)
    assert (image.name, image.disk_format, image.visibility) == (name, "qcow2", "private")
    assert image.owner_id == show()["tenant_id"]
    properties = image.properties
    assert (properties["mine"], image.instance_uuid) == ("yes", server)
    assert properties["base_image_ref"] == show()["image"]["id"]
    assert properties["image_type"] == ("backup" if "createBackup" in body else "snapshot")
    until(show, "ACTIVE")
    old = act(body, version="2.44")
    assert old.status_code == 202
    assert not old.content
    until(show, "ACTIVE")
    second = old.headers["Location"].rsplit("/", 1)[-1]
    wait_until(lambda: images.get_image(second).status == "active", "so is the second one")
    kept = {second} if "createBackup" in body else {image_id, second}
    wait_until(
        lambda: {i.id for i in images.images() if i.name == name} == kept, f"{kept} are kept"
    )


def test_a_snapshot_that_fails_deletes_its_image_and_says_why(
    cloud: Cloud, act: Act, call: Call, server: str, show
):
    cloud.faults(faults=["snapshot:1:HypervisorError"])

    answer = act({"createImage": {"name": "shot"}})

    images = cloud.connect().image
    image_id = answer.json()["image_id"]
    wait_until(lambda: images.find_image(image_id) is None, "the image is gone")
    until(show, "ACTIVE")
    request = answer.headers["x-openstack-request-id"]
    told = call("GET", f"/servers/{server}/os-instance-actions/{request}").json()["instanceAction"]
    assert "by order of the configuration" in told["message"]
    assert act({"createImage": {"name": " x"}}).status_code == 400


def test_a_shelved_server_comes_back_with_its_addresses(cloud: Cloud):
    demo = cloud.connect()
    network = demo.network.find_network("private", ignore_missing=False)
    image = next(iter(demo.image.images()))
    made = demo.compute.create_server(
        name="shelved", flavor_id="1", image_id=image.id, networks=[{"uuid": network.id}]
    )
    before = demo.compute.wait_for_server(made, wait=30, interval=0.1)

    demo.compute.shelve_server(made)
    off = demo.compute.wait_for_server(made, "SHELVED_OFFLOADED", wait=30, interval=0.1)
    shot = demo.image.find_image("shelved-shelved")
    assert (off.compute_host, shot.status) == (None, "active")
    admin = cloud.connect("admin").compute
    admin.default_microversion = "2.91"
    answer = admin.post(
        f"/servers/{made.id}/action", json={"unshelve": {"host": "fake2"}}, microversion="2.91"
    )
    assert answer.status_code == 202
    back = demo.compute.wait_for_server(made, "ACTIVE", wait=30, interval=0.1)

    assert back.addresses == before.addresses
    assert back.image.id == image.id
    assert admin.get_server(made.id).compute_host == "fake2"
    ports = list(cloud.connect("admin").network.ports(device_id=made.id))
    assert [port.binding_host_id for port in ports] == ["fake2"]
    wait_until(lambda: demo.image.find_image("shelved-shelved") is None, "the image is deleted")
    demo.compute.delete_server(made)
    demo.compute.wait_for_delete(made, wait=30, interval=0.1)
    assert not list(cloud.connect("admin").network.ports(device_id=made.id))
