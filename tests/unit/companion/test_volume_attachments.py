# SPDX-License-Identifier: Apache-2.0
"""Attachments: how volumes come to instances today."""

import pytest

from services.companion.volume.guard import Guard
from services.companion.web.faults import Fault
from tests.unit.companion.volumes import (
    V3,
    act,
    at,
    attach,
    create,
    detach,
    file_of,
    show,
    status,
)

SERVER, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
CONNECTOR = {"host": "h1", "mountpoint": "/dev/vdb", "ip": "10.0.0.1", "multipath": False}


def post(cloud, body, user="demo", version="3.54"):
    return cloud.post(f"{V3}/attachments", {"attachment": body}, user=user, headers=at(version))


def shared_volume(cloud):
    specs = {"multiattach": "<is> True"}
    cloud.post(f"{V3}/types", {"volume_type": {"name": "shared", "extra_specs": specs}})
    volume = create(cloud, volume_type="shared")
    assert volume["multiattach"] is True
    return volume


def test_a_volume_is_reserved_connected_attached_and_free_again(cloud):
    volume = create(cloud)
    walk = []

    made = post(cloud, {"volume_uuid": volume["id"], "instance_uuid": SERVER, "connector": None})
    walk.append((made.json["attachment"]["status"], status(cloud, volume)))
    path = f"{V3}/attachments/{made.json['attachment']['id']}"
    put = cloud.put(path, {"attachment": {"connector": CONNECTOR}}, user="demo", headers=at("3.44"))
    walk.append((put.json["attachment"]["status"], status(cloud, volume)))
    done = cloud.post(f"{path}/action", {"os-complete": None}, user="demo", headers=at("3.44"))
    shown = cloud.get(path, user="demo", headers=at("3.27")).json["attachment"]
    walk.append((shown["status"], status(cloud, volume)))
    deleted = cloud.delete(path, user="demo", headers=at("3.27"))
    walk.append((None, status(cloud, volume)))

    assert [a.status_code for a in (made, put, done, deleted)] == [200, 200, 204, 200]
    assert walk == [("reserved", "reserved"), ("attaching", "attaching"), ("attached", "in-use"),
                    (None, "available")]  # fmt: skip
    assert made.json["attachment"]["connection_info"] == {}
    assert (shown["instance"], shown["volume_id"]) == (SERVER, volume["id"])
    assert deleted.json == {"attachments": []}


def test_the_connection_is_flat_and_names_the_file(cloud):
    volume = create(cloud)

    attachment = attach(cloud, volume, SERVER, connector=CONNECTOR)

    info = attachment["connection_info"]
    assert info["driver_volume_type"] == "local"
    assert info["device_path"] == str(file_of(cloud, volume))
    assert (info["attachment_id"], info["volume_id"]) == (attachment["id"], volume["id"])
    assert (info["access_mode"], info["encrypted"], info["qos_specs"]) == ("rw", False, None)
    assert "data" not in info


def test_a_connector_at_creation_connects_at_once(cloud):
    volume = create(cloud)

    made = post(cloud, {"volume_uuid": volume["id"], "instance_uuid": SERVER,
                        "connector": {**CONNECTOR, "mode": "ro"}}).json["attachment"]  # fmt: skip

    assert (made["status"], made["attach_mode"]) == ("attaching", "ro")
    assert made["connection_info"]["access_mode"] == "ro"
    assert status(cloud, volume) == "attaching"


def test_before_3_44_a_connection_is_complete(cloud):
    volume = create(cloud)

    made = post(cloud, {"volume_uuid": volume["id"], "instance_uuid": SERVER,
                        "connector": CONNECTOR}, version="3.43").json["attachment"]  # fmt: skip
    path = f"{V3}/attachments/{made['id']}/action"

    assert (made["status"], status(cloud, volume)) == ("attached", "in-use")
    refused = cloud.post(path, {"os-complete": {}}, user="demo", headers=at("3.43"))
    assert refused.status_code == 404


def test_a_volume_goes_to_one_instance(cloud):
    volume = create(cloud)
    attach(cloud, volume, SERVER)

    refused = post(cloud, {"volume_uuid": volume["id"], "instance_uuid": OTHER})

    assert refused.status_code == 400
    assert "current status is in-use" in refused.json["badRequest"]["message"]
    assert len(show(cloud, volume["id"])["attachments"]) == 1


def test_an_instance_that_moves_has_two_attachments_for_a_while(cloud):
    volume = create(cloud)
    here = attach(cloud, volume, SERVER, connector={"host": "h1"})

    there = attach(cloud, volume, SERVER, connector={"host": "h2"}, complete=False)
    meanwhile = status(cloud, volume)
    cloud.put(f"{V3}/attachments/{there['id']}", {"attachment": {"connector": {"host": "h2"}}},
              user="demo", headers=at("3.44"))  # fmt: skip
    left = detach(cloud, here).json["attachments"]
    cloud.post(f"{V3}/attachments/{there['id']}/action", {"os-complete": {}}, user="demo",
               headers=at("3.44"))  # fmt: skip

    assert meanwhile == "in-use"
    assert [attachment["id"] for attachment in left] == [there["id"]]
    [attached] = show(cloud, volume["id"])["attachments"]
    assert (attached["attachment_id"], attached["host_name"]) == (there["id"], "h2")
    assert status(cloud, volume) == "in-use"


def test_a_volume_of_a_multiattach_type_goes_to_several_instances(cloud):
    volume = shared_volume(cloud)

    first = attach(cloud, volume, SERVER)
    second = attach(cloud, volume, OTHER)
    two = {a["server_id"] for a in show(cloud, volume["id"])["attachments"]}
    detach(cloud, first)
    one = status(cloud, volume)
    detach(cloud, second)

    assert two == {SERVER, OTHER}
    assert (one, status(cloud, volume)) == ("in-use", "available")


def test_while_one_is_reserved_nobody_else_comes_in_between(cloud):
    volume = shared_volume(cloud)
    attach(cloud, volume, SERVER, complete=False)

    assert post(cloud, {"volume_uuid": volume["id"], "instance_uuid": OTHER}).status_code == 400


@pytest.mark.parametrize(("body", "code"), [
    ({}, 400), ({"volume_uuid": 5}, 400), ({"volume_uuid": "nothing"}, 404),
    ({"volume_uuid": "V", "connector": "x"}, 400), ({"volume_uuid": "V", "mode": "xx"}, 400),
    ({"volume_uuid": "V", "instance_uuid": {}}, 400),
    ({"volume_uuid": "V", "connector": {"mode": "xx"}}, 400),
])  # fmt: skip
def test_an_attachment_that_makes_no_sense_is_refused(cloud, body, code):
    volume = create(cloud)

    refused = post(cloud, {k: volume["id"] if v == "V" else v for k, v in body.items()})

    assert refused.status_code == code
    assert status(cloud, volume) == "available"


def test_lists_are_filtered(cloud):
    first, second = create(cloud), create(cloud)
    one = attach(cloud, first, SERVER)
    cloud.clock.advance(1)
    two = attach(cloud, second, OTHER, complete=False)

    def ids(query, user="demo", version="3.27"):
        found = cloud.get(f"{V3}/attachments?{query}", user=user, headers=at(version))
        return [attachment["id"] for attachment in found.json["attachments"]]

    assert ids("") == [two["id"], one["id"]]
    assert ids(f"volume_id={first['id']}") == [one["id"]]
    assert ids(f"instance_id={OTHER}") == [two["id"]]
    assert ids("status=attached") == [one["id"]]
    assert ids("", user="kilonova") == []
    assert ids(f"all_tenants=1&volume_id={second['id']}", user="kilonova") == [two["id"]]
    detail = cloud.get(f"{V3}/attachments/detail?volume_id={first['id']}", user="demo",
                       headers=at("3.71")).json["attachments"]  # fmt: skip
    assert detail[0]["connection_info"]["driver_volume_type"] == "local"


def test_attachments_are_their_projects_and_the_services(cloud):
    cloud.new_user("eve")
    volume = create(cloud)
    attachment = attach(cloud, volume, SERVER, user="kilonova")
    path = f"{V3}/attachments/{attachment['id']}"

    assert post(cloud, {"volume_uuid": volume["id"]}, user="eve").status_code == 404
    for method in ("GET", "DELETE"):
        refused = cloud.request(method, path, user="eve", headers=at("3.44"))
        assert refused.status_code == 404
    assert cloud.get(path, user="demo", headers=at("3.44")).status_code == 200
    assert detach(cloud, attachment, user="kilonova").status_code == 200


def test_a_volume_is_in_use_by_an_instance_that_is_on_no_host(cloud):
    """The compute service completes what no host connects, for a server that is shelved."""
    volume = create(cloud)
    made = attach(cloud, volume, SERVER, complete=False)
    path = f"{V3}/attachments/{made['id']}/action"

    done = cloud.post(path, {"os-complete": None}, user="kilonova", headers=at("3.44"))

    [attached] = show(cloud, volume["id"])["attachments"]
    assert (done.status_code, status(cloud, volume)) == (204, "in-use")
    assert (attached["server_id"], attached["host_name"]) == (SERVER, None)


def test_an_attachment_without_an_instance_is_a_hosts(cloud):
    volume = create(cloud)

    attachment = attach(cloud, volume, None, connector=CONNECTOR)

    assert (attachment["instance"], status(cloud, volume)) == (None, "in-use")


def test_what_went_wrong_elsewhere_is_not_mended_by_detaching(cloud):
    volume = create(cloud)
    attachment = attach(cloud, volume, SERVER)
    act(cloud, volume, "os-reset_status", {"status": "error"}, user="admin")

    detach(cloud, attachment)

    assert status(cloud, volume) == "error"


# --- what servers have is not taken away behind their back -------------------------------------


class Caller:
    """As much of a call as the guard looks at."""

    def __init__(self, is_admin=False, is_vouched_for=False):
        self.is_admin = is_admin
        self.is_vouched_for = is_vouched_for


ATTACHED = {"instance_uuid": SERVER, "volume_id": "v", "status": "attached"}


def test_a_user_does_not_take_away_what_a_server_has():
    guard = Guard(lambda server, volume: (server, volume) == (SERVER, "v"))

    with pytest.raises(Fault) as refused:
        guard.must_let_go(Caller(), ATTACHED)

    assert refused.value.status == 409
    assert "Compute API" in refused.value.message
    guard.must_let_go(Caller(), {**ATTACHED, "volume_id": "other"})


@pytest.mark.parametrize(("caller", "attachment"), [
    (Caller(is_admin=True), ATTACHED), (Caller(is_vouched_for=True), ATTACHED),
    (Caller(), {**ATTACHED, "status": "reserved"}),
    (Caller(), {**ATTACHED, "instance_uuid": None}),
])  # fmt: skip
def test_nobody_is_asked_about_what_is_no_servers(caller, attachment):
    asked = []

    Guard(lambda *about: asked.append(about)).must_let_go(caller, attachment)

    assert asked == []


def test_as_long_as_nobody_knows_the_volume_stays():
    import requests

    def away(server, volume):
        raise requests.ConnectionError("away")

    with pytest.raises(Fault) as refused:
        Guard(away).must_let_go(Caller(), ATTACHED)

    assert refused.value.status == 409


def test_not_everybody_waits_for_the_compute_service_at_once():
    refusals = []

    def ask(depth):
        def holds(server, volume):
            try:
                guard.must_let_go(Caller(), ATTACHED)
            except Fault as refused:
                refusals.append(refused.status)
            return False

        return holds

    guard = Guard(ask(0))
    guard.must_let_go(Caller(), ATTACHED)

    assert refusals == [503]
