# SPDX-License-Identifier: Apache-2.0
"""Images: descriptions, data, visibility, sharing."""

import hashlib
import struct
from urllib.parse import parse_qs, urlsplit

import pytest

V2 = "/image/v2"
V21 = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
V20 = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
BINARY = {"Content-Type": "application/octet-stream"}


def create(cloud, user="admin", **attributes):
    body = {"disk_format": "raw", "container_format": "bare", "name": "i", **attributes}
    made = cloud.post(f"{V2}/images", body, user=user)
    assert made.status_code == 201, made.text
    return made.json


def upload(cloud, image, data, user="admin"):
    path = f"{V2}/images/{image['id']}/file"
    return cloud.request("PUT", path, user=user, headers=BINARY, body=data)


def names(answer):
    return [image["name"] for image in answer.json["images"]]


def test_an_image_goes_from_queued_to_active_with_its_digests(cloud):
    image = create(cloud, hw_disk_bus="virtio", min_disk=1, visibility="public")
    data = b"data of an image" * 1000

    put = upload(cloud, image, data)

    shown = cloud.get(f"{V2}/images/{image['id']}").json
    assert (image["status"], put.status_code) == ("queued", 204)
    assert shown["status"] == "active"
    assert shown["size"] == shown["virtual_size"] == len(data)
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert shown["hw_disk_bus"] == "virtio"
    assert shown["file"] == f"/v2/images/{image['id']}/file"
    got = cloud.get(f"{V2}/images/{image['id']}/file", user="demo")
    assert got.content == data
    assert got.headers["Content-MD5"] == shown["checksum"]


def test_the_virtual_size_of_a_qcow2_is_read_from_its_header(cloud):
    image = create(cloud, disk_format="qcow2")
    header = b"QFI\xfb" + struct.pack(">IQIIQ", 3, 0, 0, 16, 64 << 20)

    upload(cloud, image, header + b"\0" * 100)

    assert cloud.get(f"{V2}/images/{image['id']}").json["virtual_size"] == 64 << 20


def test_empty_stretches_of_an_image_take_no_room(cloud, settings):
    data = b"begin" + bytes((1 << 20) - 10) + b"end.."
    image = create(cloud)

    upload(cloud, image, data)

    assert cloud.get(f"{V2}/images/{image['id']}/file").content == data
    assert (settings.data_path / "images" / image["id"]).stat().st_blocks < 1 << 11


def test_data_comes_once(cloud):
    image = create(cloud)
    upload(cloud, image, b"first")

    assert upload(cloud, image, b"second").status_code == 409
    assert cloud.get(f"{V2}/images/{image['id']}/file").content == b"first"


def test_an_upload_over_the_limit_leaves_nothing_and_may_be_tried_again(cloud, settings):
    image = create(cloud)

    refused = upload(cloud, image, b"x" * (settings.max_image_bytes + 1))

    assert refused.status_code == 413
    assert list((settings.data_path / "images").iterdir()) == []
    assert cloud.get(f"{V2}/images/{image['id']}").json["status"] == "queued"
    assert upload(cloud, image, b"less").status_code == 204


def test_an_upload_cut_short_is_not_an_image(cloud):
    image = create(cloud)
    path = f"{V2}/images/{image['id']}/file"

    cut = cloud.request("PUT", path, headers={**BINARY, "Content-Length": "100"}, body=b"x" * 10)

    assert cut.status_code == 400
    assert cloud.get(f"{V2}/images/{image['id']}").json["status"] == "queued"


def test_a_restart_keeps_images_and_clears_away_what_a_kill_left(cloud, settings):
    image = create(cloud)
    upload(cloud, image, b"data")
    (settings.data_path / "images" / ".upload-abandoned").write_bytes(b"half")

    cloud.restart()

    assert cloud.get(f"{V2}/images/{image['id']}/file").content == b"data"
    assert [p.name for p in (settings.data_path / "images").iterdir()] == [image["id"]]


@pytest.mark.parametrize(("headers", "patch"), [
    (V21, [{"op": "add", "path": "/os_distro", "value": "debian"},
           {"op": "replace", "path": "/name", "value": "new"},
           {"op": "replace", "path": "/tags", "value": ["a", "b"]}]),
    (V20, [{"add": "/os_distro", "value": "debian"}, {"replace": "/name", "value": "new"},
           {"add": "/tags", "value": ["a", "b"]}]),
])  # fmt: skip
def test_both_forms_of_a_patch_change_an_image(cloud, headers, patch):
    image = create(cloud)

    changed = cloud.patch(f"{V2}/images/{image['id']}", patch, headers=headers)

    assert changed.status_code == 200
    assert changed.json["os_distro"] == "debian"
    assert changed.json["name"] == "new"
    assert changed.json["tags"] == ["a", "b"]


@pytest.mark.parametrize(("change", "status"), [
    ({"op": "replace", "path": "/id", "value": "x"}, 403),
    ({"op": "add", "path": "/size", "value": 5}, 403),
    ({"op": "remove", "path": "/name"}, 403), ({"op": "remove", "path": "/missing"}, 409),
    ({"op": "replace", "path": "/missing", "value": "x"}, 409),
    ({"op": "add", "path": "/number", "value": 5}, 400),
    ({"op": "add", "path": "/a/b", "value": "x"}, 400), ({"op": "add", "path": "/x"}, 400),
    ({"op": "move", "path": "/x"}, 400), ({"op": "add", "path": 5, "value": "x"}, 400),
    ("text", 400), ({"op": "add", "path": "/" + "x" * 300, "value": "x"}, 400),
    ({"op": "add", "path": "/nul", "value": "a\0b"}, 400), ({"op": ["add"], "path": "/x"}, 400),
])  # fmt: skip
def test_a_patch_that_makes_no_sense_is_refused(cloud, change, status):
    image = create(cloud)

    refused = cloud.patch(f"{V2}/images/{image['id']}", [change], headers=V21)

    assert refused.status_code == status
    assert set(refused.json) == {"message", "code", "title"}


def test_a_free_property_never_hides_an_attribute(cloud):
    image = create(cloud, **{"constructor": "x", "__class__": "y", "ключ": "z", "a b": "c"})

    shown = cloud.get(f"{V2}/images/{image['id']}").json

    assert shown["__class__"] == "y"
    assert shown["ключ"] == "z"
    assert cloud.get(f"{V2}/images", params={"ключ": "z"}).json["images"][0]["id"] == image["id"]


def test_the_format_of_data_stays_what_it_is(cloud):
    image = create(cloud)
    upload(cloud, image, b"data")
    patch = [{"op": "replace", "path": "/disk_format", "value": "qcow2"}]

    assert cloud.patch(f"{V2}/images/{image['id']}", patch, headers=V21).status_code == 403


def test_private_images_are_for_their_project_alone(cloud):
    cloud.new_user("eve")
    image = create(cloud, user="demo", visibility="private")
    path = f"{V2}/images/{image['id']}"

    assert cloud.get(path, user="demo").status_code == 200
    for answer in (
        cloud.get(path, user="eve"), cloud.get(f"{path}/file", user="eve"),
        cloud.delete(path, user="eve"),
    ):  # fmt: skip
        assert answer.status_code == 404
    assert names(cloud.get(f"{V2}/images", user="eve")) == []


def test_only_administrators_publish(cloud):
    body = {"name": "i", "visibility": "public"}
    image = create(cloud, user="demo")
    patch = [{"op": "replace", "path": "/visibility", "value": "public"}]

    assert cloud.post(f"{V2}/images", body, user="demo").status_code == 403
    path = f"{V2}/images/{image['id']}"
    assert cloud.patch(path, patch, headers=V21, user="demo").status_code == 403
    assert cloud.patch(path, patch, headers=V21).status_code == 200


def test_a_public_image_is_its_owners_to_change(cloud):
    image = create(cloud, visibility="public")
    patch = [{"op": "replace", "path": "/name", "value": "mine"}]
    path = f"{V2}/images/{image['id']}"

    assert cloud.patch(path, patch, headers=V21, user="demo").status_code == 403
    assert cloud.delete(path, user="demo").status_code == 403


def test_community_images_are_shown_but_listed_only_on_request(cloud):
    cloud.new_user("eve")
    image = create(cloud, user="demo", visibility="community")

    assert cloud.get(f"{V2}/images/{image['id']}", user="eve").status_code == 200
    assert names(cloud.get(f"{V2}/images", user="eve")) == []
    assert names(cloud.get(f"{V2}/images?visibility=community", user="eve")) == ["i"]


def test_a_shared_image_is_listed_once_the_member_accepts(cloud):
    _, project = cloud.new_user("eve")
    image = create(cloud, user="demo", visibility="shared")
    members = f"{V2}/images/{image['id']}/members"
    stranger = cloud.get(f"{V2}/images/{image['id']}", user="eve")

    added = cloud.post(members, {"member": project}, user="demo")
    pending = names(cloud.get(f"{V2}/images", user="eve"))
    own = cloud.put(f"{members}/{project}", {"status": "accepted"}, user="demo")
    accepted = cloud.put(f"{members}/{project}", {"status": "accepted"}, user="eve")

    assert stranger.status_code == 404
    assert added.json["status"] == "pending"
    assert pending == []
    assert own.status_code == 403
    assert accepted.json["status"] == "accepted"
    assert names(cloud.get(f"{V2}/images", user="eve")) == ["i"]
    assert cloud.delete(f"{members}/{project}", user="eve").status_code == 403
    assert cloud.delete(f"{members}/{project}", user="demo").status_code == 204
    assert cloud.get(f"{V2}/images/{image['id']}", user="eve").status_code == 404


def test_a_protected_image_is_not_deleted(cloud):
    image = create(cloud, protected=True)
    path = f"{V2}/images/{image['id']}"
    patch = [{"op": "replace", "path": "/protected", "value": False}]

    assert cloud.delete(path).status_code == 403
    cloud.patch(path, patch, headers=V21)
    assert cloud.delete(path).status_code == 204
    assert cloud.get(path).status_code == 404


@pytest.fixture
def three(cloud):
    for n, name in enumerate(("alpha", "beta", "with,comma")):
        image = create(cloud, name=name, min_ram=n, image_type="snapshot" if n else "base")
        cloud.clock.advance(10)
        cloud.put(f"{V2}/images/{image['id']}/tags/odd" if n == 1 else f"{V2}/info/stores")
    return cloud


@pytest.mark.parametrize(("query", "expected"), [
    ("", ["with,comma", "beta", "alpha"]), ("name=beta", ["beta"]), ("status=active", []),
    ('name=in:alpha,"with,comma"', ["with,comma", "alpha"]),
    ("image_type=snapshot&min_ram=1", ["beta"]),
    ("tag=odd", ["beta"]), ("sort=name:asc", ["alpha", "beta", "with,comma"]),
    ("sort_key=name&sort_dir=desc", ["with,comma", "beta", "alpha"]), ("os_hidden=true", []),
    ("created_at=gt:2026-01-01T00:00:05Z", ["with,comma", "beta"]), ("nothing=here", []),
    ("visibility=shared", ["with,comma", "beta", "alpha"]), ("size_min=1", []),
])  # fmt: skip
def test_lists_are_filtered_and_sorted(three, query, expected):
    assert names(three.get(f"{V2}/images?{query}")) == expected


@pytest.mark.parametrize("query", [
    "limit=-1", "limit=x", "marker=nobody", "sort=size;drop", "sort_key=password", "min_ram=x",
    "visibility=all-of-them", "protected=maybe", "member_status=x", "size_min=1e9", "name=in:",
])  # fmt: skip
def test_a_list_that_makes_no_sense_is_refused(three, query):
    assert three.get(f"{V2}/images?{query}").status_code == 400


def test_pages_lead_to_every_image_once(three):
    seen, path = [], "/v2/images?limit=1&sort=name:asc"
    while path:
        page = three.get(f"/image{path}").json
        seen += [image["name"] for image in page["images"]]
        path = page.get("next")
        assert parse_qs(urlsplit(page["first"]).query)["limit"] == ["1"]

    assert seen == ["alpha", "beta", "with,comma"]


def test_an_id_that_is_no_uuid_is_not_found(cloud):
    assert cloud.get(f"{V2}/images/my-image").status_code == 404
    assert cloud.get(f"{V2}/images/..%2f..%2fetc").status_code == 404


def test_clients_find_versions_schemas_tasks_and_stores(cloud):
    image = create(cloud)

    assert cloud.get("/image", user=None).status_code == 300
    assert cloud.get(f"{V2}/schemas/image").json["name"] == "image"
    assert cloud.get(f"{V2}/schemas/images").json["name"] == "images"
    assert cloud.get(f"{V2}/images/{image['id']}/tasks").json == {"tasks": []}
    assert cloud.get(f"{V2}/info/import").json["import-methods"]["value"] == []
    assert cloud.get(f"{V2}/info/stores").json["stores"]


def test_an_image_without_data_has_none_to_download(cloud):
    image = create(cloud)

    assert cloud.get(f"{V2}/images/{image['id']}/file").status_code == 204
