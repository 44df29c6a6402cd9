# SPDX-License-Identifier: Apache-2.0
"""Volumes: their life, their data, whose they are."""

import json
import shutil
import struct
import subprocess

import pytest

from tests.unit.companion import volumes
from tests.unit.companion.volumes import (
    GIB,
    V3,
    at,
    attach,
    begins_with,
    create,
    file_of,
    image,
    messages,
    request_volume,
    show,
    snapshot,
    status,
    volume_settings,
)

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")


def qemu_img(*words):
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True, timeout=60)


def test_a_volume_goes_from_creating_to_available_as_a_sparse_file_of_its_size(cloud):
    made = request_volume(cloud, name="v", description="d", size="2", metadata={"k": "w"})

    cloud.settle()
    volume = show(cloud, made.json["volume"]["id"], user="demo")
    assert (made.status_code, made.json["volume"]["status"]) == (202, "creating")
    assert (volume["status"], volume["size"], volume["name"]) == ("available", 2, "v")
    assert (volume["bootable"], volume["encrypted"], volume["multiattach"]) == (
        "false",
        False,
        False,
    )
    assert (volume["availability_zone"], volume["volume_type"]) == ("nova", "__DEFAULT__")
    assert volume["metadata"] == {"k": "w"}
    assert volume["attachments"] == []
    file = file_of(cloud, volume).stat()
    assert file.st_size == 2 * GIB
    assert file.st_blocks < 64
    assert file.st_mode & 0o077 == 0


def test_a_deleted_volume_is_gone_with_its_file(cloud):
    volume = create(cloud)

    deleted = cloud.delete(f"{V3}/volumes/{volume['id']}", user="demo")
    cloud.settle()

    assert deleted.status_code == 202
    assert cloud.get(f"{V3}/volumes/{volume['id']}").status_code == 404
    assert not file_of(cloud, volume).exists()


@pytest.mark.parametrize("size", ["#$%", 0, "0", -1, "-1", 1.5, "", [], {}, True, None, 10**20])
def test_a_size_that_is_none_is_refused(cloud, size):
    refused = request_volume(cloud, size=size)

    assert refused.status_code == 400
    assert "size" in refused.json["badRequest"]["message"]


@pytest.mark.parametrize(("attributes", "code"), [
    ({"snapshot_id": "0" * 36}, 404), ({"source_volid": "nothing"}, 404),
    ({"volume_type": "nothing"}, 404), ({"imageRef": "no-uuid"}, 400), ({"imageRef": 5}, 400),
    ({"imageRef": "12345678-1234-1234-1234-123456789012"}, 400),
    ({"availability_zone": "elsewhere"}, 400), ({"multiattach": True}, 400),
    ({"metadata": {"a": 1}}, 400), ({"metadata": {"": "a"}}, 400), ({"metadata": []}, 400),
    ({"metadata": {"k": "v" * 256}}, 400), ({"name": "n" * 256}, 400), ({"name": 5}, 400),
    ({"unknown": 1}, 400), ({"backup_id": "x"}, 400), ({"group_id": "x"}, 400),
])  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused(cloud, attributes, code):
    assert request_volume(cloud, **attributes).status_code == code
    assert cloud.get(f"{V3}/volumes", user="demo").json["volumes"] == []


def test_before_3_53_a_request_may_have_more_than_is_known(cloud):
    body = {"volume": {"size": 1, "project_id": "x", "status": "error", "unknown": 5,
                       "imageRef": None, "snapshot_id": None, "consistencygroup_id": None,
                       "multiattach": False, "volume_type": None}}  # fmt: skip

    made = cloud.post(f"{V3}/volumes", body, user="demo", headers=at("3.52"))

    assert made.status_code == 202
    assert made.json["volume"]["status"] == "creating"


def test_a_volume_begins_with_the_data_of_its_raw_image(cloud):
    data = b"boot" * 1000
    source = image(cloud, data, name="debian", hw_disk_bus="virtio", min_ram=64)

    volume = create(cloud, imageRef=source["id"])

    kept = volume["volume_image_metadata"]
    assert (volume["status"], volume["bootable"]) == ("available", "true")
    assert begins_with(file_of(cloud, volume), data)
    assert file_of(cloud, volume).stat().st_size == GIB
    assert (kept["image_id"], kept["image_name"]) == (source["id"], "debian")
    assert (kept["hw_disk_bus"], kept["min_ram"], kept["disk_format"]) == ("virtio", "64", "raw")


@needs_qemu_img
@pytest.mark.parametrize(("name", "qemu_name"), [
    ("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx"), ("vhd", "vpc"),
])  # fmt: skip
def test_an_image_of_another_format_becomes_raw_data(cloud, tmp_path, name, qemu_name):
    data = b"format" * 5000
    (tmp_path / "raw").write_bytes(data.ljust(256 << 10, b"\0"))
    qemu_img("convert", "-f", "raw", "-O", qemu_name, tmp_path / "raw", tmp_path / "image")
    cloud.restart(volumes.replace(cloud.settings, max_image_bytes=64 << 20))
    source = image(cloud, (tmp_path / "image").read_bytes(), disk_format=name)

    volume = create(cloud, imageRef=source["id"])

    assert (volume["status"], messages(cloud)) == ("available", [])
    assert begins_with(file_of(cloud, volume), data)
    assert file_of(cloud, volume).stat().st_size == GIB


@needs_qemu_img
def test_an_image_that_names_another_file_of_ours_is_refused(cloud, tmp_path):
    (tmp_path / "secret").write_bytes(b"s" * 65536)
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", tmp_path / "secret", tmp_path / "backed")
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'secret'},data_file_raw=on",
             tmp_path / "external", 65536)  # fmt: skip

    for name in ("backed", "external"):
        source = image(cloud, (tmp_path / name).read_bytes(), disk_format="qcow2")
        volume = create(cloud, imageRef=source["id"])
        assert status(cloud, volume) == "error"

    assert not any(b"s" * 100 in path.read_bytes()
                   for path in (cloud.settings.data_path / "volumes").iterdir())  # fmt: skip
    told = " ".join(messages(cloud))
    assert "backing file" in told
    assert "data in another file" in told


@needs_qemu_img
def test_a_disk_that_does_not_fit_ends_in_error_with_a_message(cloud, tmp_path):
    qemu_img("create", "-f", "qcow2", tmp_path / "big", "5G")
    big = image(cloud, (tmp_path / "big").read_bytes(), disk_format="qcow2")

    volume = create(cloud, imageRef=big["id"])

    assert volume["status"] == "error"
    assert "5 GiB, which does not fit into 1 GiB" in messages(cloud)[0]
    assert list((cloud.settings.data_path / "volumes").iterdir()) == []


def test_an_image_that_lies_about_its_format_is_refused(cloud):
    header = b"QFI\xfb" + struct.pack(">IQIIQ", 3, 0, 0, 16, 1 << 20)
    source = image(cloud, header, disk_format="raw")

    volume = create(cloud, imageRef=source["id"])

    assert volume["status"] == "error"
    assert "its content is qcow2" in messages(cloud)[0]


def test_an_image_of_a_servers_volume_gives_the_data_of_its_snapshot(cloud):
    data = b"boot" * 1000
    origin = create(cloud, imageRef=image(cloud, data)["id"])
    kept = snapshot(cloud, origin, force=True)
    disks = [{"boot_index": 1, "snapshot_id": "x"}, {"boot_index": 0, "snapshot_id": kept["id"]}]
    empty = image(cloud, b"", block_device_mapping=json.dumps(disks))

    volume = create(cloud, imageRef=empty["id"])

    assert (volume["snapshot_id"], volume["bootable"]) == (kept["id"], "true")
    assert begins_with(file_of(cloud, volume), data)


@pytest.mark.parametrize("disks", ["{", "5", "[5]", '[{"boot_index": 0, "snapshot_id": [1]}]'])
def test_an_image_that_says_nonsense_of_its_disks_is_read_as_it_is(cloud, disks):
    empty = image(cloud, b"", block_device_mapping=disks)

    assert create(cloud, imageRef=empty["id"])["snapshot_id"] is None


def test_an_image_that_wants_more_room_is_refused_at_once(cloud):
    source = image(cloud, b"x", min_disk=2)

    refused = request_volume(cloud, imageRef=source["id"])

    assert refused.status_code == 400
    assert "minDisk size 2GB" in refused.json["badRequest"]["message"]


def test_other_peoples_images_make_no_volumes(cloud):
    cloud.new_user("eve")
    private = image(cloud, b"x", user="demo", visibility="private")
    queued = cloud.post("/image/v2/images", {"disk_format": "raw", "container_format": "bare"},
                        user="demo").json  # fmt: skip

    assert request_volume(cloud, "eve", imageRef=private["id"]).status_code == 400
    assert request_volume(cloud, "demo", imageRef=private["id"]).status_code == 202
    assert request_volume(cloud, "demo", imageRef=queued["id"]).status_code == 400


def test_an_image_deleted_before_its_data_was_read_ends_in_error(cloud):
    cloud.restart(volume_settings(cloud.settings, workers=0))
    source = image(cloud, b"x")
    made = request_volume(cloud, imageRef=source["id"]).json["volume"]
    cloud.delete(f"/image/v2/images/{source['id']}")

    cloud.restart(volume_settings(cloud.settings, workers=1))
    cloud.settle()

    assert status(cloud, made) == "error"
    assert "not there any more" in messages(cloud)[0]


def test_volumes_of_snapshots_and_volumes_are_copies(cloud):
    source = create(cloud, imageRef=image(cloud, b"first", hw_disk_bus="scsi")["id"])
    taken = snapshot(cloud, source)
    with file_of(cloud, source).open("r+b") as file:
        file.write(b"other")

    of_snapshot = create(cloud, snapshot_id=taken["id"], size=2)
    of_volume = create(cloud, source_volid=source["id"], size=None)

    assert begins_with(file_of(cloud, of_snapshot), b"first")
    assert begins_with(file_of(cloud, of_volume), b"other")
    assert file_of(cloud, of_snapshot).stat().st_size == 2 * GIB
    assert (of_volume["size"], of_volume["source_volid"]) == (1, source["id"])
    assert (of_snapshot["snapshot_id"], of_snapshot["bootable"]) == (taken["id"], "true")
    assert of_snapshot["volume_image_metadata"]["hw_disk_bus"] == "scsi"
    assert file_of(cloud, of_volume).stat().st_blocks < 64


def test_a_copy_is_not_smaller_than_its_source(cloud):
    source = create(cloud, size=2)
    taken = snapshot(cloud, source)

    for origin in ({"snapshot_id": taken["id"]}, {"source_volid": source["id"]}):
        refused = request_volume(cloud, size=1, **origin)
        assert refused.status_code == 400
        assert "cannot be smaller than" in refused.json["badRequest"]["message"]


def test_a_volume_in_use_or_with_snapshots_stays(cloud):
    used, kept = create(cloud), create(cloud)
    attach(cloud, used, "server-1")
    snapshot(cloud, kept)

    for volume in (used, kept):
        refused = cloud.delete(f"{V3}/volumes/{volume['id']}", user="demo")
        assert refused.status_code == 400
        assert "badRequest" in refused.json


def test_cascade_takes_snapshots_along(cloud):
    volume = create(cloud)
    taken = snapshot(cloud, volume)

    deleted = cloud.delete(f"{V3}/volumes/{volume['id']}?cascade=True", user="demo")
    cloud.settle()

    assert deleted.status_code == 202
    assert cloud.get(f"{V3}/snapshots/{taken['id']}").status_code == 404
    assert list((cloud.settings.data_path / "volumes").iterdir()) == []


def test_a_name_a_description_and_metadata_change(cloud):
    volume = create(cloud, name="old", metadata={"a": "1"})
    path = f"{V3}/volumes/{volume['id']}"

    changed = cloud.put(path, {"volume": {"name": "new", "description": None}}, user="demo",
                        headers=at("3.71"))  # fmt: skip
    nothing = cloud.put(path, {"volume": {}}, user="demo", headers=at("3.53"))
    cloud.put(path, {"volume": {"display_name": "newer", "metadata": {"b": "2"}}}, user="demo")

    assert (changed.status_code, changed.json["volume"]["name"]) == (200, "new")
    assert nothing.status_code == 400
    assert show(cloud, volume["id"])["name"] == "newer"
    assert show(cloud, volume["id"])["metadata"] == {"b": "2"}


def test_metadata_is_merged_replaced_and_deleted_by_key(cloud):
    volume = create(cloud, metadata={"a": "1"})
    path = f"{V3}/volumes/{volume['id']}/metadata"

    merged = cloud.post(path, {"metadata": {"b": "2"}}, user="demo")
    one = cloud.get(f"{path}/b", user="demo")
    changed = cloud.put(f"{path}/b", {"meta": {"b": "3"}}, user="demo")
    mismatch = cloud.put(f"{path}/b", {"meta": {"c": "3"}}, user="demo")
    deleted = cloud.delete(f"{path}/a", user="demo")
    missing = cloud.delete(f"{path}/a", user="demo")
    left = cloud.get(path, user="demo").json
    replaced = cloud.put(path, {"metadata": {"z": "9"}}, user="demo")

    assert merged.json == {"metadata": {"a": "1", "b": "2"}}
    assert one.json == {"meta": {"b": "2"}}
    assert changed.json == {"meta": {"b": "3"}}
    assert (mismatch.status_code, deleted.status_code, missing.status_code) == (400, 200, 404)
    assert left == {"metadata": {"b": "3"}}
    assert replaced.json == {"metadata": {"z": "9"}}


def test_a_project_sees_and_changes_only_its_own(cloud):
    cloud.new_user("eve")
    volume = create(cloud)
    taken = snapshot(cloud, volume)
    path = f"{V3}/volumes/{volume['id']}"

    for answer in (
        cloud.get(path, user="eve"), cloud.delete(path, user="eve"),
        cloud.put(path, {"volume": {"name": "mine"}}, user="eve"),
        cloud.post(f"{path}/action", {"os-reserve": {}}, user="eve"),
        cloud.post(f"{path}/metadata", {"metadata": {}}, user="eve"),
        cloud.get(f"{V3}/snapshots/{taken['id']}", user="eve"),
        cloud.delete(f"{V3}/snapshots/{taken['id']}", user="eve"),
        request_volume(cloud, "eve", source_volid=volume["id"]),
        request_volume(cloud, "eve", snapshot_id=taken["id"]),
    ):  # fmt: skip
        assert answer.status_code == 404
        assert "itemNotFound" in answer.json
    assert cloud.get(f"{V3}/volumes?all_tenants=1", user="eve").json == {"volumes": []}


def test_readers_read(cloud):
    volume = create(cloud)
    cloud.new_user("rita", cloud.project_id("demo"), "reader")
    path = f"{V3}/volumes/{volume['id']}"

    assert cloud.get(path, user="rita").status_code == 200
    assert request_volume(cloud, "rita").status_code == 403
    assert cloud.delete(path, user="rita").status_code == 403
    assert cloud.post(f"{path}/action", {"os-reserve": {}}, user="rita").status_code == 403


def test_administrators_and_services_see_and_change_everything(cloud):
    volume = create(cloud)
    path = f"{V3}/volumes/{volume['id']}"

    for user in ("admin", "kilonova"):
        assert cloud.get(path, user=user).json["volume"]["os-vol-host-attr:host"].endswith("#local")
        listed = cloud.get(f"{V3}/volumes?all_tenants=1", user=user).json["volumes"]
        assert [each["id"] for each in listed] == [volume["id"]]
        assert cloud.get(f"{V3}/volumes", user=user).json["volumes"] == []
    assert "os-vol-host-attr:host" not in show(cloud, volume["id"], user="demo")
    assert cloud.put(path, {"volume": {"name": "n"}}, user="kilonova").status_code == 200


def test_the_path_may_name_the_project_and_only_administrators_name_another(cloud):
    demo, admin = cloud.project_id("demo"), cloud.project_id("admin")
    body = {"volume": {"size": 1, "name": "for demo"}}

    for_demo = cloud.post(f"{V3}/{demo}/volumes", body, user="kilonova")
    own = cloud.get(f"{V3}/{demo}/volumes/detail", user="demo")
    as_admin = cloud.get(f"{V3}/{demo}/volumes", user="admin")
    refused = cloud.get(f"{V3}/{admin}/volumes", user="demo")

    assert for_demo.status_code == 202
    assert [v["os-vol-tenant-attr:tenant_id"] for v in own.json["volumes"]] == [demo]
    assert len(as_admin.json["volumes"]) == 1
    assert refused.status_code == 400
    assert f"/volume/v3/{demo}/volumes/" in for_demo.json["volume"]["links"][0]["href"]


def test_a_volume_from_a_volume_in_use_is_a_copy_too(cloud):
    source = create(cloud, imageRef=image(cloud, b"data")["id"])
    attach(cloud, source, "server-1")

    assert begins_with(file_of(cloud, create(cloud, source_volid=source["id"])), b"data")


def test_a_summary_counts_and_adds_up(cloud):
    create(cloud, size=2, metadata={"k": "a"})
    create(cloud, size=3, metadata={"k": "b"})

    summary = cloud.get(f"{V3}/volumes/summary", user="demo", headers=at("3.36"))

    assert summary.json == {"volume-summary": {"total_count": 2, "total_size": 5,
                                               "metadata": {"k": ["a", "b"]}}}  # fmt: skip
    assert cloud.get(f"{V3}/volumes/summary", user="demo").status_code == 404
