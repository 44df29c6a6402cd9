# SPDX-License-Identifier: Apache-2.0
"""Volumes of a host: connected once, disconnected when the last one lets go, whatever happens."""

import contextlib
import stat
import threading

import msgspec
import pytest

from common.errors import HypervisorError, VolumeUnreachable
from services.compute.images import GIB
from services.compute.volume_sources import NetworkSource, RbdAccess
from services.compute.volumes import Volumes
from tests.contracts.drivers.volumes import VolumeFolder, make_mapping

HERE, THERE = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
SECRET = "s3kr1t-of-the-target"


class Storage:
    """Ways to volumes of every type, that keep account: which targets are connected, and how."""

    def __init__(self, folder):
        self.folder = folder
        self.connected = []
        self.mounted = set()
        self.forced = []
        self.is_silent = False
        self.fails = None
        self.size = None
        self.inside = 0
        self.most_inside = 0

    def host_properties(self):
        return {"host": "here"}

    @contextlib.contextmanager
    def guarded(self, kind):
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        yield
        self.inside -= 1

    def connector(self, kind):
        return self

    def answers(self, folder):
        return not self.is_silent

    def unmount(self, export):
        if self.fails:
            raise self.fails
        self.mounted.discard(export)

    def connect_volume(self, properties):
        if self.fails:
            raise self.fails
        if "export" in properties:
            self.mounted.add(properties["export"])
        target = properties.get("target_iqn") or properties["name"]
        self.connected.append(target)
        path = self.folder / target
        path.touch()
        return {"type": "block", "path": str(path), "scsi_wwn": "3600", "odd": object()}

    def disconnect_volume(self, properties, device, force=False, ignore_errors=False):
        if self.fails and not force:
            raise self.fails
        target = properties.get("target_iqn") or properties["name"]
        self.connected = [other for other in self.connected if other != target]
        self.forced.append((device or {}).get("scsi_wwn"))

    def extend_volume(self, properties):
        if self.fails:
            raise self.fails
        return self.size


@pytest.fixture
def storage(tmp_path):
    folder = tmp_path / "dev"
    folder.mkdir()
    return Storage(folder)


@pytest.fixture
def records(tmp_path):
    return tmp_path / "records"


@pytest.fixture
def volumes(records, storage):
    return Volumes(records, storage)


def iscsi(target="iqn.a", **values):
    data = {"target_iqn": target, "auth_password": SECRET, **values}
    return make_mapping(connection={"driver_volume_type": "iscsi", "data": data})


def nfs(name="volume-1", export="192.0.2.1:/share"):
    data = {"export": export, "name": name}
    return make_mapping(connection={"driver_volume_type": "nfs", "data": data})


def test_a_volume_is_connected_again_and_found_at_the_same_place(volumes, storage):
    disk = iscsi()

    first = volumes.connect(HERE, disk)

    assert volumes.connect(HERE, disk) == first
    assert volumes.source(HERE, disk.volume_id) == first
    assert volumes.sources(HERE) == {disk.volume_id: first}


def test_the_host_remembers_over_a_restart_what_it_connected(volumes, storage, records):
    disk = iscsi()
    volumes.connect(HERE, disk)

    Volumes(records, storage).disconnect(HERE, disk.volume_id)

    assert storage.connected == []
    assert storage.forced == ["3600"]  # os-brick gets what it said of the device
    assert list(records.iterdir()) == []


def test_a_volume_of_two_instances_stays_until_both_have_let_go(volumes, storage):
    disk = iscsi()
    volumes.connect(HERE, disk)
    volumes.connect(THERE, disk)

    volumes.disconnect(HERE, disk.volume_id)
    assert "iqn.a" in storage.connected
    volumes.disconnect(THERE, disk.volume_id)

    assert storage.connected == []


def test_a_volume_that_does_not_come_leaves_nothing(volumes, storage, records):
    storage.fails = OSError(5, "no answer")

    with pytest.raises(VolumeUnreachable, match="cannot be used on this host: .*no answer"):
        volumes.connect(HERE, iscsi())

    assert list(records.iterdir()) == []


def test_a_volume_that_does_not_come_again_counts_as_it_was(volumes, storage):
    disk = iscsi()
    volumes.connect(HERE, disk)
    storage.fails = OSError(5, "no answer")

    with pytest.raises(VolumeUnreachable):
        volumes.connect(HERE, disk)
    storage.fails = None

    volumes.disconnect(HERE, disk.volume_id)
    assert storage.connected == []


def test_storage_that_does_not_let_go_is_asked_again(volumes, storage):
    disk = iscsi()
    volumes.connect(HERE, disk)
    storage.fails = OSError(16, "busy")

    with pytest.raises(VolumeUnreachable, match="busy"):
        volumes.disconnect(HERE, disk.volume_id)

    assert volumes.source(HERE, disk.volume_id) is not None
    storage.fails = None
    volumes.disconnect(HERE, disk.volume_id)
    assert storage.connected == []


def test_an_instance_that_ends_lets_go_of_everything_whatever_the_storage_says(
    volumes, storage, records
):
    for target in ("iqn.a", "iqn.b"):
        volumes.connect(HERE, iscsi(target))
    volumes.connect(THERE, iscsi("iqn.c"))
    storage.fails = OSError(5, "no answer")

    volumes.disconnect_all(HERE)
    volumes.disconnect_all(HERE)

    assert storage.connected == ["iqn.c"]
    assert len(list(records.iterdir())) == 1


def test_a_record_is_for_its_owner_alone(volumes, records):
    volumes.connect(HERE, iscsi())

    [record] = records.iterdir()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(records.stat().st_mode) == 0o700
    assert SECRET in record.read_text()


def test_no_secret_is_in_what_goes_wrong(volumes, storage, caplog):
    storage.fails = ValueError(f"login failed: {{'auth_password': '{SECRET}'}}")

    with pytest.raises(VolumeUnreachable) as refused:
        volumes.connect(HERE, iscsi())
    volumes.disconnect_all(HERE)

    assert SECRET not in str(refused.value) + caplog.text


def test_a_share_is_unmounted_with_its_last_volume(volumes, storage):
    one, two = nfs("volume-1"), nfs("volume-2")
    for disk in (one, two):
        assert volumes.connect(HERE, disk).is_on_share

    volumes.disconnect(HERE, one.volume_id)
    assert storage.mounted == {"192.0.2.1:/share"}
    volumes.disconnect(HERE, two.volume_id)

    assert storage.mounted == set()


def test_a_share_that_does_not_answer_is_left_again(volumes, storage):
    storage.is_silent = True

    with pytest.raises(VolumeUnreachable, match="does not answer"):
        volumes.connect(HERE, nfs())

    assert not storage.connected
    assert not storage.mounted


def test_what_happens_to_one_volume_happens_one_after_the_other(volumes, storage):
    disk = iscsi()
    many = [
        threading.Thread(target=volumes.connect, args=(instance, disk))
        for instance in (HERE, THERE) * 4
    ]
    for thread in many:
        thread.start()
    for thread in many:
        thread.join()

    assert storage.most_inside == 1


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        (None, "has not said how to reach it"),
        ({"driver_volume_type": "iscsi"}, "has not said how to reach it"),
        ({"driver_volume_type": "dvd", "data": {}}, "knows no volumes of type dvd"),
        (
            {"driver_volume_type": "iscsi", "data": {"encrypted": True}},
            "it is encrypted, and this host has no keys",
        ),
        (
            {"driver_volume_type": "nfs", "data": {"export": "e", "name": "n", "format": "vmdk"}},
            "its format is vmdk",
        ),
        ({"driver_volume_type": "iscsi", "data": {}}, "does not say 'name'"),
        ({"driver_volume_type": "rbd", "data": {"name": "image"}}, "names no pool and image"),
        (
            {"driver_volume_type": "rbd", "data": {"name": "p/i", "auth_enabled": True}},
            "wants a user and a libvirt secret",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(volumes, records, connection, reason):
    with pytest.raises(VolumeUnreachable, match=reason):
        volumes.connect(HERE, make_mapping(connection=connection))

    assert not records.exists() or list(records.iterdir()) == []


def test_an_image_of_a_ceph_cluster_needs_no_device(records, storage):
    data = {"name": "pool/image", "hosts": ["[2001:db8::1]"], "ports": [6789]}
    disk = make_mapping(connection={"driver_volume_type": "rbd", "data": data})
    access = RbdAccess(user="kilonova", secret_uuid="a-secret")

    source = Volumes(records, storage, rbd=access).connect(HERE, disk)

    assert source.network == NetworkSource(
        protocol="rbd",
        hosts=(("2001:db8::1", "6789"),),
        user="kilonova",
        secret_uuid="a-secret",
    )
    Volumes(records, storage).disconnect(HERE, disk.volume_id)
    assert storage.forced == []


def test_a_file_grows_by_itself_and_a_device_is_asked(volumes, storage, tmp_path):
    file = VolumeFolder(tmp_path).make(size_gib=2)
    share = nfs()
    volumes.connect(HERE, share)

    assert volumes.extend(HERE, msgspec.structs.replace(share, size_gib=3)) == 3 * GIB
    with pytest.raises(VolumeUnreachable, match="not connected"):
        volumes.extend(HERE, file)


def test_the_newest_file_of_a_volume_is_used_until_the_service_says_otherwise(
    volumes, storage, records
):
    disk = nfs()
    base = volumes.connect(HERE, disk)
    overlay = storage.folder / "volume-1.snap"
    overlay.touch()
    volumes.moved(HERE, disk.volume_id, str(overlay), "qcow2")

    again = Volumes(records, storage).connect(HERE, disk)
    assert (again.path, again.format) == (str(overlay), "qcow2")
    overlay.unlink()
    with pytest.raises(VolumeUnreachable, match="there is nothing at"):
        volumes.connect(HERE, disk)
    data = {**disk.connection["data"], "merged": True}
    anew = msgspec.structs.replace(disk, connection={"driver_volume_type": "nfs", "data": data})
    assert volumes.connect(HERE, anew) == base


@pytest.mark.parametrize("hostile", ["../../etc/x", "a/b", "", "*", "a.b"])
def test_an_id_never_leads_out_of_the_folder(volumes, hostile):
    with pytest.raises(HypervisorError, match="is no id"):
        volumes.connect(HERE, msgspec.structs.replace(iscsi(), volume_id=hostile))
    with pytest.raises(HypervisorError, match="is no id"):
        volumes.disconnect_all(hostile)


def test_what_is_neither_file_nor_device_is_no_volume(volumes, storage, tmp_path):
    (storage.folder / "iqn.a").mkdir()
    storage.connect_volume = lambda _: {"path": str(storage.folder / "iqn.a")}

    with pytest.raises(VolumeUnreachable, match="neither a file nor a block device"):
        volumes.connect(HERE, iscsi())
