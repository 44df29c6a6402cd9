# SPDX-License-Identifier: Apache-2.0
"""Snapshots of volumes."""

import pytest

from tests.unit.companion.volumes import (
    GIB,
    V3,
    act,
    at,
    attach,
    begins_with,
    create,
    file_of,
    image,
    snapshot,
    status,
)


def request(cloud, volume, version="3.0", **attributes):
    body = {"snapshot": {"volume_id": volume["id"], **attributes}}
    answer = cloud.post(f"{V3}/snapshots", body, user="demo", headers=at(version))
    cloud.settle()
    return answer


def test_a_snapshot_is_a_copy_of_the_volume(cloud):
    volume = create(cloud, imageRef=image(cloud, b"then")["id"])

    made = request(cloud, volume, name="s", description="d", metadata={"k": "v"})
    with file_of(cloud, volume).open("r+b") as file:
        file.write(b"now!")

    taken = cloud.get(f"{V3}/snapshots/{made.json['snapshot']['id']}", user="demo").json["snapshot"]
    assert (made.status_code, made.json["snapshot"]["status"]) == (202, "creating")
    assert (taken["status"], taken["name"], taken["size"]) == ("available", "s", 1)
    assert taken["metadata"] == {"k": "v"}
    assert taken["os-extended-snapshot-attributes:progress"] == "100%"
    assert begins_with(file_of(cloud, taken, "snapshot"), b"then")
    assert file_of(cloud, taken, "snapshot").stat().st_size == GIB
    assert status(cloud, volume) == "available"


@pytest.mark.parametrize(("version", "more", "code"), [
    ("3.0", {}, 400), ("3.0", {"force": False}, 400), ("3.0", {"force": True}, 202),
    ("3.65", {"force": "true"}, 202), ("3.66", {}, 202), ("3.66", {"force": True}, 202),
    ("3.66", {"force": False}, 400),
])  # fmt: skip
def test_a_volume_in_use_needs_force_before_3_66(cloud, version, more, code):
    volume = create(cloud)
    attach(cloud, volume, "server-1")

    assert request(cloud, volume, version, **more).status_code == code
    assert status(cloud, volume) == "in-use"


@pytest.mark.parametrize(("attributes", "code"), [
    ({"volume_id": None}, 404), ({"volume_id": "nothing"}, 404), ({"volume_id": 5}, 400),
    ({"name": "n" * 256}, 400), ({"metadata": {"a": 1}}, 400), ({"force": "perhaps"}, 400),
])  # fmt: skip
def test_a_snapshot_that_makes_no_sense_is_refused(cloud, attributes, code):
    assert request(cloud, create(cloud), **attributes).status_code == code


def test_a_snapshot_is_renamed_and_deleted(cloud):
    volume = create(cloud)
    taken = snapshot(cloud, volume, name="old")
    path = f"{V3}/snapshots/{taken['id']}"

    renamed = cloud.put(path, {"snapshot": {"name": "new"}}, user="demo")
    empty = cloud.put(path, {"snapshot": {}}, user="demo")
    deleted = cloud.delete(path, user="demo")
    cloud.settle()

    assert (renamed.json["snapshot"]["name"], empty.status_code) == ("new", 400)
    assert deleted.status_code == 202
    assert cloud.get(path).status_code == 404
    assert not file_of(cloud, taken, "snapshot").exists()
    assert file_of(cloud, volume).exists()


def test_a_stuck_snapshot_is_reset_or_deleted_by_force(cloud):
    taken = snapshot(cloud, create(cloud))
    path = f"{V3}/snapshots/{taken['id']}"

    def action(body, user="admin"):
        return cloud.post(f"{path}/action", body, user=user).status_code

    assert action({"os-reset_status": {"status": "deleting"}}, "demo") == 403
    assert action({"os-reset_status": {"status": "splendid"}}) == 400
    assert action({"os-reset_status": {"status": "deleting"}}) == 202
    assert cloud.delete(path, user="demo").status_code == 400
    assert action({"os-force_delete": {}}, "demo") == 403
    assert action({"os-force_delete": {}}) == 202
    cloud.settle()
    assert cloud.get(path).status_code == 404


def test_the_compute_service_says_how_its_part_went(cloud):
    taken = snapshot(cloud, create(cloud))
    body = {"os-update_snapshot_status": {"status": "creating", "progress": "80%"}}

    done = cloud.post(f"{V3}/snapshots/{taken['id']}/action", body, user="kilonova")

    shown = cloud.get(f"{V3}/snapshots/{taken['id']}").json["snapshot"]
    assert done.status_code == 202
    assert (shown["status"], shown["os-extended-snapshot-attributes:progress"]) == (
        "creating",
        "80%",
    )


@pytest.mark.parametrize("body", [
    {}, [], None, {"nothing": {}}, {"os-reset_status": 5}, {"os-update_snapshot_status": {}},
])  # fmt: skip
def test_an_action_that_is_none_is_refused(cloud, body):
    taken = snapshot(cloud, create(cloud))

    assert cloud.post(f"{V3}/snapshots/{taken['id']}/action", body).status_code == 400


def test_lists_are_filtered_and_sorted(cloud):
    volume, other = create(cloud), create(cloud)
    for n, each in enumerate((volume, volume, other)):
        snapshot(cloud, each, name=f"s{n}", metadata={"n": str(n)})
        cloud.clock.advance(1)

    def names(query):
        found = cloud.get(f"{V3}/snapshots/detail?{query}", user="demo", headers=at("3.71"))
        return [each["name"] for each in found.json["snapshots"]]

    assert names("") == ["s2", "s1", "s0"]
    assert names(f"volume_id={volume['id']}&sort=name:asc") == ["s0", "s1"]
    assert names("metadata={'n': '1'}") == ["s1"]
    assert names("status=error") == []
    assert names("limit=1&offset=1") == ["s1"]


def test_metadata_of_snapshots_changes(cloud):
    taken = snapshot(cloud, create(cloud), metadata={"a": "1"})
    path = f"{V3}/snapshots/{taken['id']}/metadata"

    assert cloud.post(path, {"metadata": {"b": "2"}}, user="demo").json["metadata"] == {
        "a": "1", "b": "2",
    }  # fmt: skip
    assert cloud.delete(f"{path}/a", user="demo").status_code == 200
    assert cloud.get(path, user="demo").json == {"metadata": {"b": "2"}}


def test_a_volume_outlives_the_snapshot_it_was_made_of(cloud):
    source = create(cloud, imageRef=image(cloud, b"kept")["id"])
    taken = snapshot(cloud, source)
    volume = create(cloud, snapshot_id=taken["id"])

    cloud.delete(f"{V3}/snapshots/{taken['id']}", user="demo")
    cloud.settle()

    assert begins_with(file_of(cloud, volume), b"kept")
    assert act(cloud, volume, "os-reserve").status_code == 202
