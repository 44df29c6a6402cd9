# SPDX-License-Identifier: Apache-2.0
"""Actions on volumes, and what status each needs and leads to."""

import hashlib
from dataclasses import replace

import pytest

from tests.unit.companion.test_volumes import needs_qemu_img
from tests.unit.companion.volumes import (
    GIB,
    V3,
    act,
    at,
    attach,
    begins_with,
    create,
    detach,
    file_of,
    image,
    messages,
    request_volume,
    show,
    snapshot,
    status,
)

SERVER, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


def new_type(cloud, name, **extra_specs):
    made = cloud.post(f"{V3}/types", {"volume_type": {"name": name, "extra_specs": extra_specs}})
    assert made.status_code == 200, made.text
    return made.json["volume_type"]


def shared_type(cloud):
    return new_type(cloud, "shared", multiattach="<is> True")


def reset(cloud, volume, status):
    assert (
        act(cloud, volume, "os-reset_status", {"status": status}, user="admin").status_code == 202
    )


# --- to an instance and back, the old way ----------------------------------------------------


def test_a_reserved_volume_is_nobody_elses(cloud):
    volume = create(cloud)

    first, second = (act(cloud, volume, "os-reserve") for _ in range(2))
    reserved = status(cloud, volume)
    back = act(cloud, volume, "os-unreserve")

    assert (first.status_code, second.status_code, back.status_code) == (202, 400, 202)
    assert (reserved, status(cloud, volume)) == ("attaching", "available")


def test_a_volume_is_attached_and_detached(cloud):
    volume = create(cloud)

    attached = act(cloud, volume, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdc"})
    again = act(cloud, volume, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdc"})
    in_use = show(cloud, volume["id"])
    other = act(cloud, volume, "os-attach", {"instance_uuid": OTHER})
    begun = act(cloud, volume, "os-begin_detaching")
    detaching = status(cloud, volume)
    back = act(cloud, volume, "os-roll_detaching")
    again_in_use = status(cloud, volume)
    detached = act(cloud, volume, "os-detach", {})

    assert [a.status_code for a in (attached, again, other, begun, back, detached)] == [
        202, 202, 400, 202, 202, 202,
    ]  # fmt: skip
    [attachment] = in_use["attachments"]
    assert (attachment["server_id"], attachment["device"]) == (SERVER, "/dev/vdc")
    assert (in_use["status"], detaching, again_in_use) == ("in-use", "detaching", "in-use")
    assert (status(cloud, volume), show(cloud, volume["id"])["attachments"]) == ("available", [])


@pytest.mark.parametrize("body", [
    {}, {"instance_uuid": SERVER, "host_name": "h"}, {"instance_uuid": 5}, None, [],
    {"instance_uuid": SERVER, "mode": "xx"},
])  # fmt: skip
def test_an_attach_that_makes_no_sense_is_refused(cloud, body):
    volume = create(cloud)

    assert act(cloud, volume, "os-attach", body).status_code == 400
    assert status(cloud, volume) == "available"


def test_detaching_one_of_several_names_it(cloud):
    volume = create(cloud, volume_type=shared_type(cloud)["id"])
    for server in (SERVER, OTHER):
        assert act(cloud, volume, "os-attach", {"instance_uuid": server}).status_code == 202
        cloud.clock.advance(1)
    [first, second] = show(cloud, volume["id"])["attachments"]

    unnamed = act(cloud, volume, "os-detach", {})
    wrong = act(cloud, volume, "os-detach", {"attachment_id": "nothing"})
    one = act(cloud, volume, "os-detach", {"attachment_id": first["attachment_id"]})

    assert (unnamed.status_code, wrong.status_code, one.status_code) == (400, 404, 202)
    assert [a["server_id"] for a in show(cloud, volume["id"])["attachments"]] == [OTHER]
    assert status(cloud, volume) == "in-use"
    assert second["server_id"] == OTHER


def test_only_a_volume_in_use_begins_to_detach(cloud):
    volume = create(cloud)

    assert act(cloud, volume, "os-begin_detaching").status_code == 400
    assert act(cloud, volume, "os-roll_detaching").status_code == 202
    assert status(cloud, volume) == "available"


def test_a_connection_is_a_local_file(cloud):
    volume = create(cloud)

    made = act(cloud, volume, "os-initialize_connection", {"connector": {"host": "h1"}})
    ended = act(cloud, volume, "os-terminate_connection", {"connector": {"host": "h1"}})
    without = act(cloud, volume, "os-initialize_connection", {})

    info = made.json["connection_info"]
    assert (made.status_code, ended.status_code, without.status_code) == (200, 202, 400)
    assert info["driver_volume_type"] == "local"
    assert info["data"]["device_path"] == str(file_of(cloud, volume))
    assert (info["data"]["access_mode"], info["data"]["encrypted"]) == ("rw", False)
    assert (info["data"]["volume_id"], info["data"]["qos_specs"]) == (volume["id"], None)


def test_only_administrators_force_a_volume_off(cloud):
    volume = create(cloud)
    attachment = attach(cloud, volume, SERVER)
    body = {"attachment_id": attachment["id"], "connector": {"host": "h1"}}

    assert act(cloud, volume, "os-force_detach", body).status_code == 403
    assert act(cloud, volume, "os-force_detach", body, user="kilonova").status_code == 202
    assert status(cloud, volume) == "available"


# --- flags, status, type ---------------------------------------------------------------------


def test_a_volume_is_made_bootable(cloud):
    volume = create(cloud)

    answers = [act(cloud, volume, "os-set_bootable", {"bootable": b}).status_code
               for b in (True, "maybe", None)]  # fmt: skip

    assert answers == [200, 400, 400]
    assert show(cloud, volume["id"])["bootable"] == "true"


def test_a_read_only_volume_is_attached_for_reading(cloud):
    volume = create(cloud)

    flagged = act(cloud, volume, "os-update_readonly_flag", {"readonly": True})
    writing = cloud.post(f"{V3}/attachments", {"attachment": {"volume_uuid": volume["id"],
                         "instance_uuid": SERVER, "mode": "rw"}}, user="demo",
                         headers=at("3.54"))  # fmt: skip
    attachment = attach(cloud, volume, SERVER)
    in_use = act(cloud, volume, "os-update_readonly_flag", {"readonly": False})

    assert (flagged.status_code, writing.status_code, in_use.status_code) == (202, 400, 400)
    assert show(cloud, volume["id"])["metadata"] == {"readonly": "True"}
    assert attachment["attach_mode"] == attachment["connection_info"]["access_mode"] == "ro"


def test_administrators_reset_what_is_said_of_a_volume(cloud):
    volume = create(cloud)
    attach(cloud, volume, SERVER)

    by_owner = act(cloud, volume, "os-reset_status", {"status": "error"})
    nothing = act(cloud, volume, "os-reset_status", {}, user="admin")
    wrong = act(cloud, volume, "os-reset_status", {"status": "splendid"}, user="admin")
    better = {"status": "available", "attach_status": "detached", "migration_status": "none"}
    done = act(cloud, volume, "os-reset_status", better, user="admin")

    assert [a.status_code for a in (by_owner, nothing, wrong, done)] == [403, 400, 400, 202]
    assert (status(cloud, volume), show(cloud, volume["id"])["attachments"]) == ("available", [])


def test_a_stuck_volume_is_deleted_by_force_alone(cloud):
    volume = create(cloud)
    reset(cloud, volume, "error_deleting")
    path = f"{V3}/volumes/{volume['id']}"

    assert cloud.delete(path, user="demo").status_code == 400
    assert cloud.delete(f"{path}?force=true", user="demo", headers=at("3.23")).status_code == 403
    assert act(cloud, volume, "os-force_delete").status_code == 403
    assert act(cloud, volume, "os-force_delete", user="admin").status_code == 202
    assert cloud.get(path).status_code == 404
    assert not file_of(cloud, volume).exists()


def test_force_in_the_query_deletes_too(cloud):
    volume = create(cloud)
    reset(cloud, volume, "maintenance")

    deleted = cloud.delete(f"{V3}/volumes/{volume['id']}?force=true", headers=at("3.23"))
    cloud.settle()

    assert deleted.status_code == 202
    assert cloud.get(f"{V3}/volumes/{volume['id']}").status_code == 404


def test_even_force_deletes_nothing_that_a_server_has(cloud):
    volume = create(cloud)
    attach(cloud, volume, SERVER)

    assert act(cloud, volume, "os-force_delete", user="admin").status_code == 400
    assert status(cloud, volume) == "in-use"


def test_a_type_changes(cloud):
    volume, shared, gold = create(cloud), shared_type(cloud), new_type(cloud, "gold")
    impossible = new_type(cloud, "impossible", volume_backend_name="ceph")

    def retype(word):
        return act(cloud, volume, "os-retype", {"new_type": word, "migration_policy": "never"})

    assert retype("shared").status_code == 202
    assert show(cloud, volume["id"])["multiattach"] is True
    assert (retype(shared["id"]).status_code, retype("nothing").status_code) == (400, 404)
    assert retype(impossible["id"]).status_code == 400
    attachment = attach(cloud, volume, SERVER)
    assert retype("gold").status_code == 400
    detach(cloud, attachment)
    assert retype(gold["id"]).status_code == 202
    assert (show(cloud, volume["id"])["volume_type"], show(cloud, volume["id"])["multiattach"]) == (
        "gold", False,
    )  # fmt: skip


# --- size and data ---------------------------------------------------------------------------


def test_an_extended_volume_keeps_its_data(cloud):
    volume = create(cloud, imageRef=image(cloud, b"data")["id"])

    extended = act(cloud, volume, "os-extend", {"new_size": 3})

    assert extended.status_code == 202
    assert (show(cloud, volume["id"])["size"], status(cloud, volume)) == (3, "available")
    assert file_of(cloud, volume).stat().st_size == 3 * GIB
    assert begins_with(file_of(cloud, volume), b"data")


@pytest.mark.parametrize("size", [1, 0, -1, "x", None, 2**40, 1.5])
def test_a_volume_does_not_shrink(cloud, size):
    volume = create(cloud, size=2)

    assert act(cloud, volume, "os-extend", {"new_size": size}).status_code == 400
    assert (show(cloud, volume["id"])["size"], status(cloud, volume)) == (2, "available")


def test_a_volume_in_use_is_extended_from_3_42(cloud):
    volume = create(cloud)
    attach(cloud, volume, SERVER)

    before = act(cloud, volume, "os-extend", {"new_size": 2}, version="3.41")
    since = act(cloud, volume, "os-extend", {"new_size": 2}, version="3.42")

    assert (before.status_code, since.status_code) == (400, 202)
    assert (status(cloud, volume), show(cloud, volume["id"])["size"]) == ("in-use", 2)
    assert file_of(cloud, volume).stat().st_size == 2 * GIB


def test_a_volume_becomes_an_image_of_its_project(cloud):
    source = image(cloud, b"data", hw_disk_bus="virtio", min_ram=64)
    cloud.restart(replace(cloud.settings, max_image_bytes=2 << 30))
    volume = create(cloud, imageRef=source["id"])

    begun = act(cloud, volume, "os-volume_upload_image",
                {"image_name": "made", "container_format": "bare", "disk_format": "raw"},
                version="3.1")  # fmt: skip

    told = begun.json["os-volume_upload_image"]
    made = cloud.get(f"/image/v2/images/{told['image_id']}", user="demo").json
    assert (begun.status_code, told["status"], told["id"]) == (202, "uploading", volume["id"])
    assert (made["status"], made["name"], made["size"]) == ("active", "made", GIB)
    assert (made["owner"], made["visibility"]) == (cloud.project_id("demo"), "private")
    assert (made["hw_disk_bus"], made["min_ram"]) == ("virtio", 64)
    assert made["checksum"] == hashlib.md5(b"data".ljust(GIB, b"\0")).hexdigest()
    assert status(cloud, volume) == "available"
    stored = cloud.settings.data_path / "images" / made["id"]
    assert stored.stat().st_blocks < 1024


@needs_qemu_img
def test_a_volume_becomes_a_qcow2(cloud):
    volume = create(cloud, imageRef=image(cloud, b"data")["id"])

    begun = act(cloud, volume, "os-volume_upload_image",
                {"image_name": "made", "disk_format": "qcow2"})  # fmt: skip

    image_id = begun.json["os-volume_upload_image"]["image_id"]
    made = cloud.get(f"/image/v2/images/{image_id}", user="demo").json
    assert (made["status"], made["disk_format"], made["virtual_size"]) == ("active", "qcow2", GIB)
    again = create(cloud, imageRef=image_id)
    assert begins_with(file_of(cloud, again), b"data")


def test_an_upload_that_fails_leaves_no_image_and_the_volume_as_it_was(cloud):
    volume = create(cloud)

    begun = act(cloud, volume, "os-volume_upload_image", {"image_name": "too big"})

    image_id = begun.json["os-volume_upload_image"]["image_id"]
    assert cloud.get(f"/image/v2/images/{image_id}").status_code == 404
    assert status(cloud, volume) == "available"
    assert "at most" in messages(cloud)[0]


@pytest.mark.parametrize("body", [
    {}, {"image_name": ""}, {"image_name": "i", "disk_format": "ploop"}, {"image_name": 5},
    {"image_name": "i", "visibility": "secret"}, {"image_name": "i", "container_format": "x"},
])  # fmt: skip
def test_an_upload_that_makes_no_sense_is_refused(cloud, body):
    volume = create(cloud)

    assert act(cloud, volume, "os-volume_upload_image", body).status_code == 400


def test_only_what_nobody_uses_is_uploaded_and_only_administrators_publish(cloud):
    volume = create(cloud)
    public = act(cloud, volume, "os-volume_upload_image",
                 {"image_name": "i", "visibility": "public"})  # fmt: skip
    attach(cloud, volume, SERVER)
    used = act(cloud, volume, "os-volume_upload_image", {"image_name": "i", "force": True})

    assert (public.status_code, used.status_code) == (403, 400)


def test_what_a_volume_knows_of_its_image_changes(cloud):
    volume = create(cloud)

    put = act(cloud, volume, "os-set_image_metadata", {"metadata": {"a": "1", "b": "2"}})
    gone = act(cloud, volume, "os-unset_image_metadata", {"key": "a"})
    missing = act(cloud, volume, "os-unset_image_metadata", {"key": "a"})
    seen = act(cloud, volume, "os-show_image_metadata", None)

    assert (put.status_code, put.json) == (200, {"metadata": {"a": "1", "b": "2"}})
    assert (gone.status_code, missing.status_code) == (200, 404)
    assert seen.json == {"metadata": {"b": "2"}}
    assert show(cloud, volume["id"])["volume_image_metadata"] == {"b": "2"}


def test_another_image_takes_the_place_of_the_first(cloud):
    volume = create(cloud, imageRef=image(cloud, b"old data", name="old")["id"])
    new = image(cloud, b"new", name="new")

    before = act(cloud, volume, "os-reimage", {"image_id": new["id"]}, version="3.67")
    done = act(cloud, volume, "os-reimage", {"image_id": new["id"]}, version="3.68")

    assert (before.status_code, done.status_code) == (400, 202)
    assert begins_with(file_of(cloud, volume), b"new")
    assert file_of(cloud, volume).stat().st_size == GIB
    assert show(cloud, volume["id"])["volume_image_metadata"]["image_name"] == "new"
    assert status(cloud, volume) == "available"


def test_a_reserved_volume_gets_another_image_when_that_is_meant(cloud):
    volume, new = create(cloud), image(cloud, b"new")
    attach(cloud, volume, SERVER, complete=False)
    body = {"image_id": new["id"]}

    unmeant = act(cloud, volume, "os-reimage", body)
    meant = act(cloud, volume, "os-reimage", {**body, "reimage_reserved": True})

    assert (unmeant.status_code, meant.status_code) == (409, 202)
    assert (status(cloud, volume), begins_with(file_of(cloud, volume), b"new")) == (
        "reserved",
        True,
    )


def test_a_volume_in_use_gets_no_other_image(cloud):
    volume, new = create(cloud), image(cloud, b"new")
    attach(cloud, volume, SERVER)

    refused = act(cloud, volume, "os-reimage", {"image_id": new["id"], "reimage_reserved": True})

    assert refused.status_code == 409
    assert status(cloud, volume) == "in-use"


def test_a_volume_goes_back_to_its_latest_snapshot(cloud):
    volume = create(cloud, imageRef=image(cloud, b"first")["id"])
    old = snapshot(cloud, volume)
    cloud.clock.advance(1)
    latest = snapshot(cloud, volume)
    with file_of(cloud, volume).open("r+b") as file:
        file.write(b"worse")

    refused = act(cloud, volume, "revert", {"snapshot_id": old["id"]})
    done = act(cloud, volume, "revert", {"snapshot_id": latest["id"]})

    assert (refused.status_code, done.status_code) == (400, 202)
    assert begins_with(file_of(cloud, volume), b"first")
    assert status(cloud, volume) == "available"


def test_a_swap_names_the_new_volume_and_moves_what_was_attached_the_old_way(cloud):
    old, new = create(cloud), create(cloud)
    act(cloud, old, "os-attach", {"instance_uuid": SERVER})
    act(cloud, old, "os-begin_detaching")
    act(cloud, new, "os-reserve")

    by_owner = act(cloud, old, "os-migrate_volume_completion", {"new_volume": new["id"]})
    done = act(cloud, old, "os-migrate_volume_completion",
               {"new_volume": new["id"], "error": False}, user="kilonova")  # fmt: skip

    assert (by_owner.status_code, done.status_code) == (403, 200)
    assert done.json == {"save_volume_id": new["id"]}
    assert (status(cloud, old), status(cloud, new)) == ("available", "in-use")


def test_a_swap_by_attachments_leaves_them_to_the_compute_service(cloud):
    old, new = create(cloud), create(cloud)
    first = attach(cloud, old, SERVER)
    second = attach(cloud, new, SERVER, complete=False)

    done = act(cloud, old, "os-migrate_volume_completion", {"new_volume": new["id"]}, user="admin")

    assert done.json == {"save_volume_id": new["id"]}
    for attachment in (first, second):
        path = f"{V3}/attachments/{attachment['id']}"
        assert cloud.get(path, headers=at("3.27")).status_code == 200


def test_there_is_nowhere_to_migrate_to(cloud):
    volume = create(cloud)

    refused = act(cloud, volume, "os-migrate_volume", {"host": "elsewhere@b#p"}, user="admin")

    assert refused.status_code == 400


@pytest.mark.parametrize("body", [
    {}, {"nothing": {}}, {"os-reserve": {}, "os-attach": {}}, [], "os-reserve", None, 5,
    {"os-attach": [1]}, {"os-extend": "x"}, {"revert": {"snapshot_id": 5}},
])  # fmt: skip
def test_an_action_that_is_none_is_refused(cloud, body):
    volume = create(cloud)

    refused = cloud.post(f"{V3}/volumes/{volume['id']}/action", body, user="demo",
                         headers=at("3.71"))  # fmt: skip

    assert refused.status_code == 400
    assert "badRequest" in refused.json


@pytest.mark.parametrize(("state", "allowed"), [
    ("available", {"os-reserve", "os-attach", "os-extend", "os-retype", "os-update_readonly_flag"}),
    ("error", set()), ("maintenance", set()), ("uploading", set()), ("creating", set()),
    ("deleting", set()), ("awaiting-transfer", set()), ("attaching", {"os-attach"}),
])  # fmt: skip
def test_what_is_accepted_in_which_status(cloud, state, allowed):
    new_type(cloud, "gold")
    bodies = {"os-reserve": {}, "os-attach": {"instance_uuid": SERVER}, "os-begin_detaching": {},
              "os-extend": {"new_size": 2}, "os-retype": {"new_type": "gold"},
              "os-update_readonly_flag": {"readonly": True}}  # fmt: skip
    accepted = set()
    for action, body in bodies.items():
        volume = create(cloud)
        reset(cloud, volume, state)
        if act(cloud, volume, action, body).status_code == 202:
            accepted.add(action)

    assert accepted == allowed


def test_a_volume_is_not_taken_while_it_is_made(cloud):
    volume = create(cloud)
    reset(cloud, volume, "creating")

    assert request_volume(cloud, source_volid=volume["id"]).status_code == 400
    body = {"snapshot": {"volume_id": volume["id"], "force": True}}
    assert cloud.post(f"{V3}/snapshots", body, user="demo").status_code == 400
