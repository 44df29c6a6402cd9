# SPDX-License-Identifier: Apache-2.0
"""Servers and their volumes through real HTTP: attached, booted from, made into images."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.functional.cloud import Cloud, wait_for_status
from tests.functional.rabbitmq import wait_until

Ask = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def demo(cloud: Cloud) -> Any:
    return cloud.connect()


@pytest.fixture(scope="module")
def admin(cloud: Cloud) -> Any:
    return cloud.connect("admin")


@pytest.fixture(scope="module")
def image(demo: Any) -> str:
    return str(next(each.id for each in demo.image.images() if each.name == "guest"))


@pytest.fixture(scope="module")
def ask(cloud: Cloud, demo: Any) -> Ask:
    """Sends a request as a member of the demo project."""
    return _asking(cloud, demo)


@pytest.fixture(scope="module")
def ask_as_admin(cloud: Cloud, admin: Any) -> Ask:
    """Sends a request as the administrator, who counts as the volume service, too."""
    return _asking(cloud, admin)


def _asking(cloud: Cloud, who: Any) -> Ask:
    session = requests.Session()
    session.headers["X-Auth-Token"] = who.auth_token

    def send(method: str, path: str, body: Any = None, *, version: int = 104) -> requests.Response:
        return session.request(
            method, f"{cloud.compute_url}/v2.1{path}", json=body, timeout=120,
            headers={"OpenStack-API-Version": f"compute 2.{version}"},
        )  # fmt: skip

    return send


@pytest.fixture(autouse=True)
def nothing_left(demo: Any) -> Iterator[None]:
    """Servers go with their test, then volumes, snapshots and images; none is stuck."""
    yield
    for server in demo.compute.servers(details=False):
        demo.compute.delete_server(server)
        demo.compute.wait_for_delete(server, wait=30, interval=0.1)
    storage = demo.block_storage
    for made in demo.image.images(visibility="private"):
        demo.image.delete_image(made)
    for snapshot in storage.snapshots():
        storage.wait_for_status(snapshot, "available", interval=0.1, wait=20)
        storage.delete_snapshot(snapshot)
        storage.wait_for_delete(snapshot, interval=0.1, wait=20)
    for volume in storage.volumes(details=False):
        storage.delete_volume(volume)
        storage.wait_for_delete(volume, interval=0.1, wait=20)


@pytest.fixture
def volume(demo: Any) -> Callable[..., str]:
    """Makes a volume that is ready."""

    def make(**fields: Any) -> str:
        storage = demo.block_storage
        made = storage.create_volume(**{"size": 1} | fields)
        storage.wait_for_status(made, "available", interval=0.1, wait=20)
        return str(made.id)

    return make


@pytest.fixture
def boot(ask: Ask, demo: Any) -> Callable[..., str]:
    """Creates a server and waits for it to be ACTIVE."""

    def create(**fields: Any) -> str:
        body = {"name": "s", "flavorRef": "1", "networks": "none"} | fields
        answer = ask("POST", "/servers", {"server": body})
        assert answer.status_code == 202, answer.text
        made = str(answer.json()["server"]["id"])
        wait_for_status(demo, made, "ACTIVE")
        return made

    return create


def status(demo: Any, volume_id: str) -> str:
    return str(demo.block_storage.get_volume(volume_id).status)


def _until_status(demo: Any, volume_id: str, wanted: str) -> None:
    wait_until(lambda: status(demo, volume_id) == wanted, f"volume {volume_id} is {wanted}")


def guests_volumes(cloud: Cloud, server: str) -> set[str]:
    """What the fake hypervisor says the guest has."""
    found: set[str] = set()
    for line in cloud.guests_file.read_text().splitlines():
        words = line.split()
        if len(words) == 4 and words[1] == server and words[2] == "volumes":
            found = set(words[3].split(",")) - {"-"}
    return found


def test_a_volume_is_attached_shown_and_detached(ask, demo, cloud, image, volume, boot):
    server, data = boot(imageRef=image), volume()
    path = f"/servers/{server}/os-volume_attachments"

    wish = {"volumeAttachment": {"volumeId": data, "tag": "data", "delete_on_termination": False}}
    made = ask("POST", path, wish, version=100)

    assert made.status_code == 200, made.text
    device = made.json()["volumeAttachment"]["device"]
    assert made.json()["volumeAttachment"] == {
        "id": data, "volumeId": data, "serverId": server, "device": device, "tag": "data",
        "delete_on_termination": False,
    }  # fmt: skip
    _until_status(demo, data, "in-use")
    (attachment,) = demo.block_storage.get_volume(data).attachments
    wait_until(
        lambda: ask("GET", path).json()["volumeAttachments"][0]["attachment_id"] is not None,
        "the attachment is shown",
    )
    (listed,) = ask("GET", path).json()["volumeAttachments"]
    assert listed == ask("GET", f"{path}/{data}").json()["volumeAttachment"]
    assert (listed["device"], listed["tag"]) == (device, "data")
    assert listed["attachment_id"] == attachment["attachment_id"]
    assert guests_volumes(cloud, server) == {data}

    assert ask("DELETE", f"{path}/{data}").status_code == 202
    _until_status(demo, data, "available")
    wait_until(lambda: ask("GET", path).json() == {"volumeAttachments": []}, "it is detached")
    assert guests_volumes(cloud, server) == set()


def test_volumes_that_are_attached_at_the_same_time_are_all_there(
    ask, demo, cloud, image, volume, boot
):
    server, wanted = boot(imageRef=image), {volume() for _ in range(6)}
    path = f"/servers/{server}/os-volume_attachments"

    for each in wanted:
        made = ask("POST", path, {"volumeAttachment": {"volumeId": each}})
        assert made.status_code == 202, made.text

    for each in wanted:
        _until_status(demo, each, "in-use")
    listed = ask("GET", path).json()["volumeAttachments"]
    assert {each["volumeId"] for each in listed} == wanted
    assert guests_volumes(cloud, server) == wanted


def test_refused_attachments(ask, demo, image, volume, boot):
    server, other, data = boot(imageRef=image), boot(imageRef=image), volume()
    path = f"/servers/{server}/os-volume_attachments"
    nowhere = "0a0a0a0a-0000-4000-8000-000000000000"
    assert ask("POST", path, {"volumeAttachment": {"volumeId": data}}).status_code == 202
    _until_status(demo, data, "in-use")

    wish = {"volumeAttachment": {"volumeId": data}}
    twice = ask("POST", f"/servers/{other}/os-volume_attachments", wish)
    missing = ask("POST", path, {"volumeAttachment": {"volumeId": nowhere}})

    assert twice.json()["badRequest"]["message"] == (
        f"Invalid volume: volume '{data}' status must be 'available'. Currently in 'in-use'"
    )
    assert missing.json()["itemNotFound"]["message"] == f"Volume {nowhere} could not be found."
    assert ask("DELETE", f"{path}/{nowhere}").status_code == 404
    swap = ask("PUT", f"{path}/{data}", {"volumeAttachment": {"volumeId": volume()}})
    assert swap.status_code == 403


def test_a_shelved_server_gets_a_volume_for_later(ask, demo, cloud, image, volume, boot):
    server, data = boot(imageRef=image), volume()
    path = f"/servers/{server}/os-volume_attachments"
    assert ask("POST", f"/servers/{server}/action", {"shelve": None}).status_code == 202
    wait_for_status(demo, server, "SHELVED_OFFLOADED")

    wish = {"volumeId": data}
    before = ask("POST", path, {"volumeAttachment": wish}, version=19)
    tagged = ask("POST", path, {"volumeAttachment": wish | {"tag": "t"}})
    made = ask("POST", path, {"volumeAttachment": wish}, version=100)

    assert before.json()["conflictingRequest"]["message"] == (
        f"Cannot 'attach_volume' instance {server} while it is in vm_state shelved_offloaded"
    )
    assert tagged.json()["badRequest"]["message"] == (
        "Tagged volume attachment is not supported for shelved-offloaded instances."
    )
    assert made.json()["volumeAttachment"]["device"].startswith("/dev/vd")
    assert ask("POST", f"/servers/{server}/action", {"unshelve": None}).status_code == 202
    wait_for_status(demo, server, "ACTIVE")
    assert guests_volumes(cloud, server) == {data}
    assert status(demo, data) == "in-use"


def test_what_ends_with_the_server_is_changed(ask, demo, image, volume, boot):
    server, data = boot(imageRef=image), volume()
    path = f"/servers/{server}/os-volume_attachments"
    assert ask("POST", path, {"volumeAttachment": {"volumeId": data}}).status_code == 202
    _until_status(demo, data, "in-use")

    wish = {"volumeAttachment": {"volumeId": data, "delete_on_termination": True}}
    assert ask("PUT", f"{path}/{data}", wish).status_code == 202

    shown = ask("GET", f"/servers/{server}").json()["server"]
    assert shown["os-extended-volumes:volumes_attached"] == [
        {"id": data, "delete_on_termination": True}
    ]
    demo.compute.delete_server(server)
    wait_until(lambda: demo.block_storage.find_volume(data) is None, "the volume is deleted")


@pytest.fixture
def shared_type(admin: Any) -> Iterator[str]:
    """A type of volumes that several servers may have."""
    made = admin.block_storage.create_type(name="shared", extra_specs={"multiattach": "<is> True"})
    yield made.name
    wait_until(
        lambda: all(
            each.volume_type != made.name for each in admin.block_storage.volumes(all_projects=True)
        ),
        "no volume has the type any more",
    )
    admin.block_storage.delete_type(made)


def test_several_servers_have_one_volume(shared_type, ask, demo, cloud, image, volume, boot):
    data, servers = volume(volume_type=shared_type), [boot(imageRef=image) for _ in range(2)]
    wish = {"volumeAttachment": {"volumeId": data}}

    for server in servers:
        path = f"/servers/{server}/os-volume_attachments"
        old = ask("POST", path, wish, version=59)
        assert (old.status_code, old.json()["badRequest"]["message"]) == (
            400,
            "Multiattach volumes are only supported starting with compute API version 2.60.",
        )
        assert ask("POST", path, wish, version=60).status_code == 200
        wait_until(lambda of=server: data in guests_volumes(cloud, of), "the guest has it")
        _until_status(demo, data, "in-use")  # others may have it, too, from then on

    wait_until(
        lambda: (
            {each["server_id"] for each in demo.block_storage.get_volume(data).attachments}
            == set(servers)
        ),
        "the volume says that both have it",
    )
    for server in servers:
        path = f"/servers/{server}/os-volume_attachments/{data}"
        assert ask("DELETE", path).status_code == 202
    _until_status(demo, data, "available")
    demo.block_storage.delete_volume(data)


def test_a_volume_that_migrates_is_swapped(
    ask, ask_as_admin, admin, demo, cloud, image, volume, boot
):
    server, old, new = boot(imageRef=image), volume(), volume()
    path = f"/servers/{server}/os-volume_attachments"
    assert ask("POST", path, {"volumeAttachment": {"volumeId": old}}).status_code == 202
    _until_status(demo, old, "in-use")
    wish = {"volumeAttachment": {"volumeId": new}}
    assert ask_as_admin("PUT", f"{path}/{old}", wish).status_code == 409

    migrating = {"os-reset_status": {"migration_status": "migrating"}}
    admin.block_storage.post(f"/volumes/{old}/action", json=migrating)
    assert ask_as_admin("PUT", f"{path}/{old}", wish).status_code == 202

    wait_until(lambda: new in guests_volumes(cloud, server), "the guest has the other volume")


def _from_image(image: str, **more: Any) -> dict[str, Any]:
    return {
        "source_type": "image", "destination_type": "volume", "uuid": image, "boot_index": 0,
        "volume_size": 1,
    } | more  # fmt: skip


def test_a_server_boots_from_a_volume_that_is_made_for_it(ask, demo, cloud, image, boot):
    disks = [
        _from_image(image, delete_on_termination=True),
        {"source_type": "blank", "destination_type": "volume", "volume_size": 2, "tag": "b"},
    ]

    server = boot(block_device_mapping_v2=disks)

    shown = ask("GET", f"/servers/{server}").json()["server"]
    assert shown["image"] == ""
    root, blank = (each["id"] for each in shown["os-extended-volumes:volumes_attached"])
    assert guests_volumes(cloud, server) == {root, blank}
    found = demo.block_storage.get_volume(root)
    assert (found.status, found.is_bootable, found.size) == ("in-use", True, 1)
    assert demo.block_storage.get_volume(blank).name == f"{server}-blank-vol"
    refused = ask("DELETE", f"/servers/{server}/os-volume_attachments/{root}")
    assert (refused.status_code, refused.json()["badRequest"]["message"]) == (
        400, "Cannot detach a root device volume",
    )  # fmt: skip

    demo.compute.delete_server(server)
    wait_until(lambda: demo.block_storage.find_volume(root) is None, "the root volume is deleted")
    _until_status(demo, blank, "available")


def test_the_old_form_and_the_old_name_boot_from_a_volume(ask, demo, image, volume):
    root = volume(image_id=image)
    body = {
        "name": "s", "flavorRef": "1", "networks": "none",
        "block_device_mapping": [{"volume_id": root, "device_name": "vda"}],
    }  # fmt: skip

    answer = ask("POST", "/os-volumes_boot", {"server": body}, version=102)

    assert answer.status_code == 202, answer.text
    server = answer.json()["server"]["id"]
    wait_for_status(demo, server, "ACTIVE")
    shown = ask("GET", f"/os-volumes_boot/{server}", version=102).json()["server"]
    assert [each["id"] for each in shown["os-extended-volumes:volumes_attached"]] == [root]


def test_a_server_is_rebuilt_with_the_image_that_its_volume_was_made_of(
    ask, demo, cloud, image, volume, boot
):
    root = volume(image_id=image)
    disk = {"source_type": "volume", "destination_type": "volume", "uuid": root, "boot_index": 0}
    server = boot(block_device_mapping_v2=[disk])
    other = demo.image.create_image(
        name="other", data=b"\0" * 4096, disk_format="raw", container_format="bare",
        wait=True, validate_checksum=False,
    ).id  # fmt: skip
    path = f"/servers/{server}/action"
    (file,) = (cloud.folder / "companion").rglob(f"*{root}*")
    written = b"written by the guest"
    with file.open("r+b") as data:
        data.write(written)

    refused = ask("POST", path, {"rebuild": {"imageRef": other}}, version=92)
    same = ask("POST", path, {"rebuild": {"imageRef": image}}, version=92)

    assert (refused.status_code, refused.json()["badRequest"]["message"]) == (
        400, "Unable to rebuild with a different image for a volume-backed server.",
    )  # fmt: skip
    assert same.status_code == 202, same.text
    wait_for_status(demo, server, "ACTIVE")
    assert guests_volumes(cloud, server) == {root}
    assert status(demo, root) == "in-use"
    assert file.read_bytes().startswith(written)

    anew = ask("POST", path, {"rebuild": {"imageRef": image}}, version=93)

    assert anew.status_code == 202, anew.text
    wait_for_status(demo, server, "ACTIVE")
    assert not file.read_bytes().startswith(written)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"flavorRef": "nothing"}, 400), ({"min_count": 20000, "max_count": 20000}, 403)],
)
def test_a_request_that_is_refused_makes_no_volume(ask, demo, image, changes, expected):
    body = {
        "name": "s", "flavorRef": "1", "networks": "none",
        "block_device_mapping_v2": [_from_image(image)],
    } | changes  # fmt: skip

    assert ask("POST", "/servers", {"server": body}).status_code == expected
    assert list(demo.block_storage.volumes(details=False)) == []


@pytest.fixture
def three_volumes(admin: Any, demo: Any) -> Iterator[None]:
    """The project may have three volumes."""
    path = f"/os-quota-sets/{demo.current_project_id}"
    admin.block_storage.put(path, json={"quota_set": {"volumes": 3}})
    yield
    admin.block_storage.delete(path)


def test_there_are_as_many_servers_as_volumes(ask, demo, image, three_volumes):
    disks = [
        _from_image(image, delete_on_termination=True),
        {"source_type": "blank", "destination_type": "volume", "volume_size": 1},
    ]
    body = {
        "name": "s", "flavorRef": "1", "networks": "none", "block_device_mapping_v2": disks,
    }  # fmt: skip

    few = ask("POST", "/servers", {"server": body | {"min_count": 2, "max_count": 2}})
    assert few.status_code == 403
    assert few.json()["forbidden"]["message"].startswith("Quota exceeded for volumes")
    wait_until(lambda: not list(demo.block_storage.volumes(details=False)), "the volumes are gone")

    made = ask("POST", "/servers", {"server": body | {"min_count": 1, "max_count": 2}})
    assert made.status_code == 202
    (server,) = demo.compute.servers(details=False)
    wait_for_status(demo, server.id, "ACTIVE")
    assert len(list(demo.block_storage.volumes(details=False))) == 2


def test_an_image_of_a_volume_backed_server_is_made_and_booted(ask, demo, image, volume, boot):
    server = boot(block_device_mapping_v2=[_from_image(image)])

    answer = ask("POST", f"/servers/{server}/action", {"createImage": {"name": "copy"}})

    assert answer.status_code == 202, answer.text
    found = demo.image.get_image(answer.json()["image_id"])
    assert (found.status, found.size) == ("active", 0)
    (told,) = json.loads(found.properties["block_device_mapping"])
    snapshot = demo.block_storage.get_snapshot(told["snapshot_id"])
    demo.block_storage.wait_for_status(snapshot, "available", interval=0.1, wait=20)
    actions = ask("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"]
    assert actions[0]["action"] == "createImage"

    copy = boot(imageRef=found.id)

    shown = ask("GET", f"/servers/{copy}").json()["server"]
    (root,) = shown["os-extended-volumes:volumes_attached"]
    assert demo.block_storage.get_volume(root["id"]).snapshot_id == snapshot.id


def test_an_image_may_demand_a_quiet_guest(ask, demo, cloud, image, volume, boot):
    root = volume(image_id=image)
    details = {"metadata": {"os_require_quiesce": "yes"}}
    demo.block_storage.post(f"/volumes/{root}/action", json={"os-set_image_metadata": details})
    disk = {"source_type": "volume", "destination_type": "volume", "uuid": root, "boot_index": 0}
    strict = boot(block_device_mapping_v2=[disk])
    other = boot(block_device_mapping_v2=[_from_image(image, delete_on_termination=True)])
    cloud.faults(faults=["quiesce:1:HypervisorError"])
    copy = {"createImage": {"name": "copy"}}
    try:
        refused = ask("POST", f"/servers/{strict}/action", copy)
        made = ask("POST", f"/servers/{other}/action", copy)
    finally:
        cloud.faults()

    assert refused.status_code == 409, refused.text
    assert refused.json()["conflictingRequest"]["message"].startswith(
        f"Quiescing is not supported in instance {strict}"
    )
    assert made.status_code == 202, made.text
    assert ask("POST", f"/servers/{strict}/action", copy).status_code == 202


def test_volumes_and_snapshots_in_the_old_words(ask, demo):
    made = ask("POST", "/os-volumes", {"volume": {"size": 1, "display_name": "n"}}, version=35)
    assert made.status_code == 200, made.text
    volume_id = made.json()["volume"]["id"]
    _until_status(demo, volume_id, "available")

    shown = ask("GET", f"/os-volumes/{volume_id}", version=35).json()["volume"]
    assert (shown["displayName"], shown["size"], shown["attachments"]) == ("n", 1, [{}])
    body = {"snapshot": {"volume_id": volume_id, "display_name": "s"}}
    snapshot = ask("POST", "/os-snapshots", body, version=35).json()["snapshot"]["id"]
    listed = ask("GET", "/os-snapshots/detail", version=35).json()["snapshots"]
    assert [each["id"] for each in listed] == [snapshot]
    listed = ask("GET", "/os-volumes?limit=1", version=35).json()["volumes"]
    assert [each["id"] for each in listed] == [volume_id]


def test_hosts_take_snapshots_for_the_volume_service(ask, ask_as_admin, demo, image, volume, boot):
    server, data = boot(imageRef=image), volume()
    info = {"snapshot_id": "s", "type": "qcow2", "new_file": "f"}
    body = {"snapshot": {"volume_id": data, "create_info": info}}
    unused = ask_as_admin("POST", "/os-assisted-volume-snapshots", body)
    assert unused.status_code == 400
    wish = {"volumeAttachment": {"volumeId": data}}
    assert ask("POST", f"/servers/{server}/os-volume_attachments", wish).status_code == 202
    _until_status(demo, data, "in-use")

    def taken() -> bool:
        """Another task (the attachment) is at its end first."""
        return ask_as_admin("POST", "/os-assisted-volume-snapshots", body).status_code == 200

    wait_until(taken, "the snapshot is accepted")
    assert ask("POST", "/os-assisted-volume-snapshots", body).status_code == 403
