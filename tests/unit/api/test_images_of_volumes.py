# SPDX-License-Identifier: Apache-2.0
"""createImage of a server that boots from a volume: snapshots, an image that tells of them."""

import json
from typing import Any

import msgspec
import pytest

from common.clients.image import UserImageClient
from common.clients.session import Refused
from common.clients.volume import UserVolumeClient
from common.errors import Conflict
from common.objects.block_device import BlockDeviceMapping
from common.objects.image import ImageMeta
from common.rpc.conductor.snapshots import Snapshots
from services.api.resources.servers.block_devices.image_disks import disks_of
from tests import factories
from tests.unit.api.volume_service import TOKEN, Answer, VolumeService

PATH = f"/v2.1/servers/{factories.INSTANCE}/action"
MADE = "22222222-2222-4222-8222-222222222224"


class Images:
    """An image service in memory."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.data: dict[str, bytes] = {}
        self.refuse: str | None = None

    def request(self, service, version, method, path, *, token=None, **options):
        assert token == TOKEN
        if method == self.refuse:
            raise Refused("no more", status=413)
        if method == "POST":
            self.images[MADE] = options["json"]
            return Answer({"id": MADE})
        if method == "PUT":
            self.data[path] = options["data"]
        if method == "DELETE":
            self.images.pop(path.removeprefix("/images/"))
        return Answer(None)


class MemorySnapshots(Snapshots):
    """One server; remembers that an image was recorded, and how many snapshots of `service` there
    were when its guest became quiet and when it went on.
    """

    def __init__(self, instance, service) -> None:
        self.instance, self.service = instance, service
        self.recorded = 0
        self.quiet_at: int | None = None
        self.went_on_at: int | None = None
        self.refusal: Exception | None = None

    def check(self, ctx, instance, *, operation, metadata_items=0):
        return self.instance

    def quiesce(self, ctx, instance):
        self.quiet_at = len(self.service.snapshots)
        return True

    def unquiesce(self, ctx, instance):
        self.went_on_at = len(self.service.snapshots)

    def record_image(self, ctx, instance):
        if self.refusal:
            raise self.refusal
        self.recorded += 1


@pytest.fixture
def service() -> VolumeService:
    return VolumeService()


@pytest.fixture
def images() -> Images:
    return Images()


@pytest.fixture
def snapshots(service) -> MemorySnapshots:
    root, data = service.volume(size=2, status="in-use"), service.volume(size=3, status="in-use")
    attached: dict[str, Any] = {"uuid": "u", "source": "volume", "destination": "volume"}
    disks = (
        BlockDeviceMapping(**attached, volume_id=root, device_name="/dev/vda", disk_bus="virtio"),
        BlockDeviceMapping(**attached, volume_id=data, boot_index=None, tag="t",
                           device_name="/dev/vdb", delete_on_termination=False),
        BlockDeviceMapping(uuid="u", source="blank", boot_index=None, guest_format="swap",
                           size_mib=64, device_name="/dev/vdc"),
    )  # fmt: skip
    image = ImageMeta(id="", min_ram=64, properties={"os_type": "linux", "image_state": "x"})
    return MemorySnapshots(factories.make_instance(block_devices=disks, image=image), service)


@pytest.fixture
def ask(ask_with, service, images, snapshots):
    somebody = ask_with(
        volume_service=UserVolumeClient(service), images=UserImageClient(images),
        snapshots=snapshots,
    )  # fmt: skip

    def send(version: int = 45, **metadata: str):
        body = {"createImage": {"name": "copy", "metadata": metadata}}
        return somebody("POST", PATH, body, version=version, roles="member,reader")

    return send


def test_each_volume_has_a_snapshot_of_which_the_image_tells(ask, service, images, snapshots):
    answer = ask(os_type="bsd")

    assert (answer.status_code, answer.json) == (202, {"image_id": MADE})
    root, data = service.snapshots.values()
    assert [root["volume_id"], data["volume_id"]] == list(service.volumes)
    assert {root["name"], data["name"]} == {"snapshot for copy"}
    document = images.images[MADE]
    told = json.loads(document.pop("block_device_mapping"))
    assert [each["snapshot_id"] for each in told] == [root["id"], data["id"], None]
    assert document == {
        "name": "copy", "os_type": "bsd", "root_device_name": "/dev/vda", "bdm_v2": "True",
        "visibility": "private", "disk_format": "raw", "container_format": "bare", "min_ram": 64,
    }  # fmt: skip
    assert images.data == {f"/images/{MADE}/file": b""}
    assert snapshots.recorded == 1


def test_the_guest_is_quiet_while_its_volumes_are_copied(ask, snapshots):
    ask()

    assert (snapshots.quiet_at, snapshots.went_on_at) == (0, 2)


def test_a_guest_that_does_not_run_is_not_asked_to_be_quiet(ask, snapshots):
    snapshots.instance = msgspec.structs.replace(snapshots.instance, vm_state="stopped")

    assert ask().status_code == 202
    assert snapshots.quiet_at is None


def test_what_the_image_tells_is_what_a_server_made_from_it_gets(ask, service, images):
    ask()

    properties = images.images[MADE]
    root, data, swap = disks_of(ImageMeta(id=MADE, properties=properties))

    assert [root.id, data.id] == list(service.snapshots)
    assert (root.source, root.destination, root.size, root.boot_index) == (
        "snapshot", "volume", 2, 0,
    )  # fmt: skip
    assert (data.size, data.boot_index, data.tag, data.device_name) == (3, None, "t", "/dev/vdb")
    assert (swap.guest_format, swap.size, swap.destination) == ("swap", 64, "local")


def test_before_2_45_the_answer_names_the_image_in_its_header(ask):
    answer = ask(version=44)

    assert answer.headers["location"].endswith(f"/images/{MADE}")
    assert answer.content == b""


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_without_an_image_there_are_no_snapshots(ask, service, images, snapshots, method):
    images.refuse = method

    assert ask().status_code == 403
    assert service.snapshots == images.images == {}
    assert snapshots.recorded == 0


def test_when_the_conductor_refuses_nothing_is_left(ask, service, images, snapshots):
    snapshots.refusal = Conflict("no")

    assert ask().status_code == 409
    assert service.snapshots == images.images == {}


def test_a_snapshot_that_is_refused_takes_the_others_along(ask, service, images):
    del service.volumes[list(service.volumes)[1]]

    assert ask().status_code == 404
    assert service.snapshots == images.images == {}
