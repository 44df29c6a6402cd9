# SPDX-License-Identifier: Apache-2.0
"""The disks of new servers: from what a request and its image say to what is asked of whom."""

import json
from typing import Any

import pytest

from common.clients.image import UserImageClient
from common.clients.network import UserNetworkClient
from common.clients.session import Refused
from common.clients.volume import UserVolumeClient
from common.errors import Conflict, QuotaExceeded
from common.objects.block_device import BlockDeviceMapping
from common.objects.new_server import CreatedServers, NewServers
from services.api.lookups import Lookups
from tests import factories
from tests.unit.api import conductor
from tests.unit.api.volume_service import NOWHERE, TOKEN, Answer, VolumeService

IMAGE = factories.IMAGE
MADE_OF = "22222222-2222-4222-8222-222222222229"
MAPPING = "Block Device Mapping is Invalid: "
NO_ORDER = MAPPING + (
    "Boot sequence for the instance and image/block device mapping combination is not valid."
)
V1, V2 = "block_device_mapping", "block_device_mapping_v2"
ROOT = {"source_type": "image", "destination_type": "local", "uuid": IMAGE, "boot_index": 0}


class Images:
    """An image service in memory."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {IMAGE: {}}
        self.tokens: set[str | None] = set()

    def request(self, service, version, method, path, *, token=None, **options):
        self.tokens.add(token)
        image = path.removeprefix("/images/")
        if image not in self.images:
            raise Refused("No image found", status=404)
        return Answer({"id": image, "status": "active"} | self.images[image])


class FewServers(conductor.MemoryServers):
    """A conductor whose quota has room for `room` servers, and that accepts `taken` of them."""

    room = 1000
    taken = 1000
    refusal: Exception | None = None

    def would_accept(self, ctx, request):
        if self.room < request.min_count:
            raise QuotaExceeded(resources="instances", requested=1, used=0, limit=self.room)
        return min(self.room, len(request.uuids))

    def create(self, ctx, request):
        super().create(ctx, request)
        if self.refusal is not None:
            raise self.refusal
        accepted = request.uuids[: self.taken]
        return CreatedServers(uuids=accepted, reservation_id=request.reservation_id)


@pytest.fixture
def service() -> VolumeService:
    return VolumeService()


@pytest.fixture
def images() -> Images:
    return Images()


@pytest.fixture
def servers() -> FewServers:
    return FewServers()


@pytest.fixture
def post(ask_with, service, images, servers):
    somebody = ask_with(
        lookups=Lookups(UserImageClient(images, cache_s=0), UserNetworkClient(images)),
        volume_service=UserVolumeClient(service),
        servers=servers,
    )

    def send(version: int = 90, roles: str = "member,reader", **fields):
        body = {"name": "s", "flavorRef": "1", "imageRef": IMAGE, "networks": "none"} | fields
        body = {key: value for key, value in body.items() if value is not None}
        return somebody("POST", "/v2.1/servers", {"server": body}, version=version, roles=roles)

    return send


@pytest.fixture
def made(post, servers):
    def send(**how) -> NewServers:
        answer = post(**how)
        assert answer.status_code == 202, answer.text
        return servers.asked[-1][1][0]

    return send


@pytest.fixture
def refused(post, servers):
    """The words of a refusal, before which the conductor was asked for nothing."""

    def send(status: int = 400, **how) -> str:
        answer = post(**how)
        assert answer.status_code == status, answer.text
        assert servers.asked == []
        return next(iter(answer.json.values()))["message"]

    return send


def volume(uuid: str, **more: Any) -> dict[str, Any]:
    """An existing volume in the second form."""
    return {"source_type": "volume", "destination_type": "volume", "uuid": uuid} | more


def _disk(**fields: Any) -> BlockDeviceMapping:
    usual = {
        "uuid": "", "source": "volume", "destination": "volume", "boot_index": None,
        "delete_on_termination": False,
    }  # fmt: skip
    return BlockDeviceMapping(**usual | fields)


# --- the second form -------------------------------------------------------------------------


def test_a_volume_is_added_to_a_server_of_an_image(made, service, images):
    data = service.volume(size=3)
    wish = volume(data, device_name="vdc", tag="t", delete_on_termination="True", disk_bus="scsi")

    request = made(block_device_mapping_v2=[ROOT, wish])

    assert request.image.id == IMAGE
    assert request.block_devices == (
        _disk(volume_id=data, size_gib=3, device_name="/dev/vdc", tag="t", disk_bus="scsi",
              delete_on_termination=True),
    )  # fmt: skip
    assert request.made_volumes == ()
    assert service.tokens == images.tokens == {TOKEN}


def test_a_server_boots_from_a_volume_and_its_image_is_what_the_volume_tells(made, service):
    properties = {"hw_disk_bus": "scsi", "image_id": IMAGE, "min_ram": "64", "min_disk": "1"}
    root = service.volume(bootable="true", size=2, volume_image_metadata=properties)

    request = made(imageRef=None, block_device_mapping_v2=[volume(root, boot_index="0")])

    assert request.block_devices == (_disk(volume_id=root, size_gib=2, boot_index=0),)
    assert request.image.id == ""  # users can write what a volume says of its image
    assert request.image.properties == {"hw_disk_bus": "scsi"}
    assert (request.image.min_ram, request.image.min_disk) == (64, 0)


def test_a_snapshot_tells_by_way_of_its_volume(made, service):
    before = service.volume(bootable="true", volume_image_metadata={"os_type": "linux"},
                            status="in-use")  # fmt: skip
    snapshot = service.snapshot(before, size=4)
    wish = {"source_type": "snapshot", "uuid": snapshot, "boot_index": 0}

    request = made(imageRef="", block_device_mapping_v2=[wish])

    (disk,) = request.block_devices
    assert (disk.snapshot_id, disk.size_gib, disk.destination) == (snapshot, 4, "volume")
    assert request.image.properties == {"os_type": "linux"}


def test_local_disks_go_along_as_they_are(made):
    swap = {"source_type": "blank", "destination_type": "local", "guest_format": "swap",
            "volume_size": 64}  # fmt: skip
    ephemeral = {"source_type": "blank", "guest_format": "ext4", "volume_size": "2",
                 "boot_index": -1}  # fmt: skip

    first, second = made(block_device_mapping_v2=[ROOT, swap, ephemeral]).block_devices

    assert (first.is_swap, first.size_mib, first.size_gib) == (True, 64, 0)
    assert (second.guest_format, second.size_gib, second.boot_index) == ("ext4", 2, None)
    assert (second.source, second.destination) == ("blank", "local")


def test_what_is_said_of_the_root_disk_itself_is_kept(made):
    (disk,) = made(block_device_mapping_v2=[ROOT | {"disk_bus": "scsi"}]).block_devices

    assert (disk.image_id, disk.boot_index, disk.disk_bus) == (IMAGE, 0, "scsi")


def test_a_device_that_is_not_wanted_is_none(made):
    unwanted = {"device_name": "vdx", "no_device": True}

    assert made(block_device_mapping_v2=[ROOT, unwanted]).block_devices == ()


def test_a_name_that_no_disk_has_is_no_wish(made, service):
    wish = volume(service.volume(), device_name="/dev/vd../../x")

    assert made(block_device_mapping_v2=[ROOT, wish]).block_devices[0].device_name is None


BLANK = {"source_type": "blank", "destination_type": "volume"}
_WRONG = [
    ({V1: [{"volume_id": NOWHERE}], V2: [ROOT]},
     "Using different block_device_mapping syntaxes is not allowed in the same request."),
    ({V2: [{}]}, MAPPING + "Invalid source_type field."),
    ({V2: [{"source_type": "volume"}]}, MAPPING + "Missing device UUID."),
    ({V2: [BLANK | {"uuid": NOWHERE}]}, MAPPING + "Invalid device UUID."),
    ({V2: [ROOT | {"boot_index": 1}]}, MAPPING + "Mapping image to local is not supported."),
    ({V2: [ROOT | {"boot_index": None}]}, MAPPING + "Mapping image to local is not supported."),
    ({V2: [ROOT], "imageRef": None}, MAPPING + "Mapping image to local is not supported."),
    ({V2: [ROOT, volume(NOWHERE, destination_type="local")]},
     MAPPING + "Mapping volume to local is not supported."),
    ({V2: [ROOT, {"source_type": "image", "destination_type": "volume", "uuid": IMAGE}]},
     "Images with destination_type 'volume' need to have a non-zero size specified"),
    ({V2: [ROOT, BLANK]},
     "Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size"),
    ({V2: [ROOT, volume(NOWHERE, volume_type="fast")]},
     MAPPING + "Specifying a volume_type with source_type=volume is not supported."),
    ({V2: [ROOT, {"source_type": "blank", "volume_type": "fast"}]},
     MAPPING + "Specifying a volume_type with destination_type=local is not supported."),
    ({V2: [ROOT, BLANK | {"volume_size": 1, "volume_type": "slow"}]},
     "Volume type slow could not be found."),
    ({V2: [ROOT, BLANK | {"volume_size": 1, "disk_bus": "cable"}]},
     MAPPING + "The provided disk bus cable is not valid."),
    ({V2: [ROOT, BLANK | {"volume_size": 1, "device_type": "'/>"}]},
     MAPPING + "The provided device type '/> is not valid."),
    ({V2: [ROOT, {"source_type": "blank", "guest_format": "-x /"}]},
     MAPPING + "The provided guest format -x / is not valid."),
    # --- together ---
    ({V2: [BLANK | {"volume_size": 1}]}, NO_ORDER),  # the image alone boots nothing here
    ({V2: [volume(NOWHERE)], "imageRef": None}, NO_ORDER),
    ({V2: [ROOT, volume(NOWHERE, boot_index=0)]}, NO_ORDER),
    ({V2: [ROOT, volume(NOWHERE, boot_index=2)]}, NO_ORDER),
    ({V2: [ROOT | {"uuid": MADE_OF}]}, NO_ORDER),
    ({V2: [{"source_type": "blank", "boot_index": 0}], "imageRef": None}, NO_ORDER),
    ({V2: [volume(NOWHERE, boot_index="9" * 5000)]}, MAPPING + "Boot index is invalid."),
    ({V2: [ROOT, volume(NOWHERE), volume(NOWHERE)]},
     MAPPING + f"Volume {NOWHERE} is named more than once."),
    ({V2: [ROOT, *(BLANK | {"volume_size": 1, "tag": "t"} for _ in "ab")]},
     MAPPING + "Tag t is given to more than one device."),
    ({V2: [ROOT, *({"source_type": "blank"} for _ in "abc")]},
     MAPPING + "You specified more local devices than the limit allows"),
    ({V2: [ROOT, *(BLANK for _ in range(300))]},
     MAPPING + "You specified more than 256 devices."),
    ({V2: [ROOT, volume(NOWHERE)], "max_count": 2},
     "Cannot attach one or more volumes to multiple instances"),
    ({V2: [ROOT, volume(NOWHERE, device_name="/dev/vda")]},
     "Invalid volume: The volume cannot be assigned the same device name as the root device vda"),
    # --- what is named ---
    ({V2: [ROOT, volume(NOWHERE)]}, MAPPING + f"failed to get volume {NOWHERE}."),
    ({V2: [ROOT, {"source_type": "snapshot", "uuid": NOWHERE}]},
     MAPPING + f"failed to get snapshot {NOWHERE}."),
    ({V2: [{"source_type": "image", "destination_type": "volume", "uuid": NOWHERE,
            "volume_size": 1, "boot_index": 0}], "imageRef": None},
     MAPPING + f"failed to get image {NOWHERE}."),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), _WRONG)
def test_disks_that_make_no_sense_are_refused(refused, service, fields, message):
    assert refused(**fields) == message
    assert service.volumes == {}


def test_a_volume_that_cannot_be_used_now_is_refused(refused, service):
    busy = service.volume(status="in-use")
    shared = service.volume(multiattach=True)
    empty = service.volume()

    assert refused(block_device_mapping_v2=[ROOT, volume(busy)]) == (
        f"Invalid volume: volume '{busy}' status must be 'available'. Currently in 'in-use'"
    )
    assert refused(version=59, block_device_mapping_v2=[ROOT, volume(shared)]) == (
        "Multiattach volumes are only supported starting with compute API version 2.60."
    )
    wish = volume(empty, boot_index=0)
    assert refused(imageRef=None, block_device_mapping_v2=[wish]) == (
        f"Block Device {empty} is not bootable."
    )


def test_certificates_are_for_images(refused, service):
    root = service.volume(bootable="true")
    wish = {"trusted_image_certificates": ["c"], V2: [volume(root, boot_index=0)]}

    assert refused(imageRef=None, **wish) == (
        "Image certificate validation is not supported when booting from volume"
    )


# --- the first form --------------------------------------------------------------------------


def test_vda_is_what_a_server_boots_from_in_the_first_form(made, refused, service):
    root, data = service.volume(bootable="true"), service.volume()
    disks = [
        {"volume_id": root, "device_name": "/dev/vda", "delete_on_termination": True},
        {"volume_id": data, "device_name": "vdb"},
    ]

    first, second = made(imageRef=None, block_device_mapping=disks).block_devices

    assert (first.volume_id, first.boot_index, first.delete_on_termination) == (root, 0, True)
    assert (second.volume_id, second.boot_index, second.device_name) == (data, None, "/dev/vdb")


def test_without_vda_there_is_nothing_to_boot_from_but_an_image(made, refused, service):
    disks = [{"volume_id": service.volume(), "device_name": "vdb"}]

    assert refused(imageRef=None, block_device_mapping=disks) == NO_ORDER
    request = made(block_device_mapping=disks)
    assert [disk.boot_index for disk in request.block_devices] == [None]
    assert request.image.id == IMAGE


def test_other_things_of_the_first_form(made, service):
    snapshot = service.snapshot(service.volume(), size=2)
    disks = [
        {"virtual_name": "swap", "device_name": "vdb", "volume_size": 64},
        {"virtual_name": "ephemeral0", "device_name": "vdc"},
        {"snapshot_id": snapshot, "device_name": "vdd"},
        {"device_name": "vde", "no_device": "True"},
        {"virtual_name": "what is this"},
    ]

    swap, ephemeral, copy = made(block_device_mapping=disks).block_devices

    assert (swap.guest_format, swap.size_mib, swap.destination) == ("swap", 64, "local")
    assert (ephemeral.guest_format, ephemeral.size_gib) == (None, 0)
    assert (copy.snapshot_id, copy.size_gib, copy.destination) == (snapshot, 2, "volume")


# --- images with disks of their own ----------------------------------------------------------


def _snapshot_image(images: Images, disks: Any, **properties: Any) -> None:
    text = disks if isinstance(disks, str) else json.dumps(disks)
    images.images[IMAGE] = {"block_device_mapping": text, "bdm_v2": "True"} | properties


@pytest.fixture
def snapshot(service) -> str:
    return service.snapshot(service.volume(size=2, bootable="true"), size=2)


def _brought(snapshot: str, **more: Any) -> dict[str, Any]:
    return {
        "source_type": "snapshot", "destination_type": "volume", "snapshot_id": snapshot,
        "volume_id": None, "image_id": None, "volume_size": 2, "boot_index": 0, "no_device": None,
        "device_name": "/dev/vda", "delete_on_termination": False, "guest_format": None,
        "device_type": "disk", "disk_bus": "virtio", "tag": None, "volume_type": None,
        "unknown": "field",
    } | more  # fmt: skip


@pytest.mark.parametrize("written", [None, [ROOT]])
def test_an_image_of_a_volume_backed_server_is_booted_from_new_volumes(
    made, images, snapshot, written
):
    _snapshot_image(images, [_brought(snapshot)], os_type="linux")

    request = made(block_device_mapping_v2=written)

    (disk,) = request.block_devices
    assert (disk.snapshot_id, disk.boot_index, disk.size_gib) == (snapshot, 0, 2)
    assert request.image.properties["os_type"] == "linux"
    assert [len(ids) for ids in request.made_volumes] == [1]


def test_what_a_request_names_takes_the_place_of_what_the_image_has_there(
    made, images, service, snapshot
):
    data = service.volume()
    second = _brought(snapshot, boot_index=None, device_name="/dev/vdb")
    _snapshot_image(images, [_brought(snapshot), second])

    disks = made(block_device_mapping_v2=[volume(data, device_name="vdb")]).block_devices

    assert [disk.volume_id or disk.snapshot_id for disk in disks] == [data, snapshot]


def test_an_old_image_names_its_root_disk(made, images, snapshot):
    old = [{"snapshot_id": snapshot, "device_name": "sda", "volume_size": 0}]
    _snapshot_image(images, old, bdm_v2="False", root_device_name="/dev/sda")

    (disk,) = made().block_devices

    assert (disk.snapshot_id, disk.boot_index, disk.size_gib) == (snapshot, 0, 2)


@pytest.mark.parametrize(
    "disks",
    [
        "{", "null", '{"a": 1}', "[1]", "[" * 100_000, [{"source_type": "elsewhere"}],
        [{"source_type": "image", "destination_type": "local", "image_id": IMAGE}],
        [{"source_type": "snapshot", "snapshot_id": {"a": 1}}],
        [{"source_type": "blank", "volume_size": -1}],
        [{"source_type": "blank", "device_name": "'><x"}],
        [{"source_type": "blank"}] * 257,
    ],
)  # fmt: skip
def test_an_image_with_broken_words_about_disks_is_unacceptable(refused, images, disks):
    _snapshot_image(images, disks)

    assert refused().startswith(f"Image {IMAGE} is unacceptable: its block_device_mapping")


# --- volumes that are made -------------------------------------------------------------------


def _from_image(**more: Any) -> dict[str, Any]:
    return {
        "source_type": "image", "destination_type": "volume", "uuid": MADE_OF, "volume_size": 5,
        "boot_index": 0,
    } | more  # fmt: skip


@pytest.fixture
def bootable(images: Images) -> None:
    images.images[MADE_OF] = {"min_disk": 5, "hw_disk_bus": "scsi"}


def test_volumes_are_made_for_each_server(made, service, bootable):
    disks = [_from_image(volume_type="fast"), BLANK | {"volume_size": 1}]

    request = made(imageRef=None, block_device_mapping_v2=disks, max_count=2)

    ids = [volume_id for each in request.made_volumes for volume_id in each]
    assert sorted(ids) == sorted(service.volumes)
    assert [len(each) for each in request.made_volumes] == [2, 2]
    for uuid, (root, blank) in zip(request.uuids, request.made_volumes, strict=True):
        assert service.volumes[root]["imageRef"] == MADE_OF
        assert service.volumes[root]["volume_type"] == "fast"
        assert (service.volumes[root]["name"], service.volumes[root]["size"]) == ("", 5)
        assert service.volumes[blank]["name"] == f"{uuid}-blank-vol"
    assert request.image.id == MADE_OF
    assert request.image.properties == {"hw_disk_bus": "scsi"}


def test_a_volume_is_not_smaller_than_its_image_needs(refused, bootable):
    wish = _from_image(volume_size=4)

    assert refused(imageRef=None, block_device_mapping_v2=[wish]) == (
        "Volume is smaller than the minimum size specified in image metadata. Volume size is "
        "4294967296 bytes, minimum size is 5368709120 bytes."
    )


def test_a_request_that_will_be_refused_makes_no_volume(post, servers, service, bootable):
    servers.room = 0

    assert post(imageRef=None, block_device_mapping_v2=[_from_image()]).status_code == 403
    assert ("POST", "/volumes") not in service.calls


def test_no_more_volumes_are_made_than_servers_fit(made, servers, service, bootable):
    servers.room = 3

    request = made(imageRef=None, block_device_mapping_v2=[_from_image()], max_count=1000)

    assert len(request.uuids) == len(request.made_volumes) == len(service.volumes) == 3


def test_fewer_volumes_mean_fewer_servers_but_not_fewer_than_the_least(
    post, made, service, bootable
):
    service.quota = 5
    wish = {"imageRef": None, V2: [_from_image(), BLANK | {"volume_size": 1}]}

    request = made(**wish, min_count=2, max_count=4)

    assert len(request.uuids) == 2
    assert len(service.volumes) == 4
    service.volumes.clear()
    refusal = post(**wish, min_count=3, max_count=4)
    assert refusal.status_code == 403
    assert "Quota exceeded for volumes" in refusal.text
    assert service.volumes == {}


def test_when_the_conductor_refuses_its_volumes_go(post, servers, service, bootable):
    servers.refusal, service.making = Conflict("no"), 2

    answer = post(imageRef=None, block_device_mapping_v2=[_from_image()], max_count=2)

    assert answer.status_code == 409
    assert service.calls.count(("POST", "/volumes")) == 2
    assert service.volumes == {}


def test_volumes_of_servers_that_were_not_accepted_go(made, servers, service, bootable):
    servers.taken = 1

    request = made(imageRef=None, block_device_mapping_v2=[_from_image()], max_count=3)

    assert list(service.volumes) == list(request.made_volumes[0])


def test_a_volume_that_cannot_be_deleted_does_not_hide_the_refusal(
    post, servers, service, bootable, caplog
):
    servers.refusal = Conflict("no")
    service.refuse["DELETE", "/volumes"] = Refused("in use", status=400)
    service.volume()

    assert post(imageRef=None, block_device_mapping_v2=[_from_image()]).status_code == 409
    assert "is left behind" in caplog.text


def test_one_request_makes_so_many_volumes_at_most(refused, service, bootable):
    disks = [_from_image(), *(BLANK | {"volume_size": 1} for _ in range(200))]
    wish = {"imageRef": None, V2: disks}

    assert refused(403, **wish, min_count=5).startswith("Quota exceeded for volumes")
    assert ("POST", "/volumes") not in service.calls
