# SPDX-License-Identifier: Apache-2.0
"""Which disks a guest has, under which names, and how they stand in its definition."""

from xml.etree import ElementTree as ET

import msgspec
import pytest

from common.errors import HypervisorError, ImageUnacceptable, NotSupported
from common.objects.block_device import BlockDeviceMapping
from services.compute import block_devices
from services.compute.virt.libvirt.disks import RescueDrive
from services.compute.virt.libvirt.domain_xml.disk import disk_element
from services.compute.virt.libvirt.domain_xml.disk_names import bus_of, name_disks
from services.compute.virt.libvirt.domain_xml.domain import domain_xml
from services.compute.virt.libvirt.domain_xml.hardware import choose_hardware
from services.compute.virt.libvirt.domain_xml.spec import DiskSpec, DomainSpec, Hardware, Platform
from services.compute.virt.libvirt.guest_disks import compose, rescue_drive, volume_disk
from services.compute.volume_sources import NetworkSource, VolumeSource
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance
from tests.contracts.drivers.volumes import make_mapping

ROOT = DiskSpec("/i/disk", "qcow2", "root")
EPH0 = DiskSpec("/i/disk.eph0", "raw", "ephemeral")
SWAP = DiskSpec("/i/disk.swap", "raw", "swap")
CONFIG = DiskSpec("/i/disk.config", "raw", "config")
RESCUE = DiskSpec("/i/disk.rescue", "qcow2", "rescue")


def blank(**values):
    return BlockDeviceMapping(uuid="b", source="blank", boot_index=None, **values)


def hardware_of(*, properties=None, specs=None, platform=None):
    instance = make_instance(
        image=msgspec.structs.replace(IMAGE, properties=properties or {}),
        flavor=msgspec.structs.replace(TINY, extra_specs=specs or {}),
    )
    return choose_hardware(instance, platform or Platform())


def source_of(mapping, **values):
    return VolumeSource(**{"kind": "file", "path": f"/v/{mapping.volume_id}", **values})


def put_together(instance, *local, names=None, rescue=None):
    sources = {d.volume_id: source_of(d) for d in block_devices.volumes(instance)}
    return compose(instance, local, sources, names=names or {}, rescue=rescue)


def named(disks, hardware=None):
    """Names in the guest by path."""
    hardware = hardware or hardware_of()
    names = name_disks(disks, [bus_of(disk, hardware) for disk in disks])
    return {disk.path.rsplit("/", 1)[1]: name for disk, name in zip(disks, names, strict=True)}


def defined(instance, disks, **values):
    platform = values.pop("platform", Platform())
    spec = DomainSpec(
        instance=instance,
        platform=platform,
        hardware=choose_hardware(instance, platform),
        disks=tuple(disks),
        vifs=(),
        console_log="/i/console.log",
        **values,
    )
    return ET.fromstring(domain_xml(spec))


def element(mapping, hardware=None, platform=None, **source):
    hardware = hardware or hardware_of()
    disk = volume_disk(mapping, source_of(mapping, **source))
    return disk_element(disk, "vdb", bus_of(disk, hardware), hardware, platform or Platform())


# --- which disks ---


def test_a_flavor_gives_its_disks_unless_the_server_names_some():
    flavor = msgspec.structs.replace(TINY, ephemeral_gib=3, swap_mib=64)
    plain = make_instance(flavor=flavor)
    named_ones = make_instance(
        flavor=flavor,
        block_devices=(
            blank(size_gib=1, guest_format="xfs"), blank(), blank(guest_format="swap", size_mib=8),
        ),
    )  # fmt: skip

    assert [(d.size_mib, d.guest_format) for d in block_devices.ephemerals(plain)] == [
        (3072, "ext4")
    ]
    assert block_devices.swap(plain).size_mib == 64
    assert [(d.size_mib, d.guest_format) for d in block_devices.ephemerals(named_ones)] == [
        (1024, "xfs"), (3072, "ext4"),
    ]  # fmt: skip
    assert block_devices.swap(named_ones).size_mib == 8


def test_a_server_without_anything_to_boot_from_is_refused():
    assert block_devices.root_image(make_instance()) == IMAGE
    root = make_mapping(boot_index=0)
    assert block_devices.root_image(make_instance(block_devices=(root,))) is None
    with pytest.raises(NotSupported, match="neither an image nor a volume"):
        block_devices.root_image(make_instance(image=None))


# --- names ---


def test_what_comes_and_goes_moves_nothing_else():
    one, two = make_mapping(device_name="/dev/vdd"), make_mapping()
    instance = make_instance(block_devices=(one, two))
    disks = put_together(instance, ROOT, EPH0, SWAP, CONFIG)

    assert named(disks) == {
        "disk": "vda", "disk.eph0": "vdb", "disk.swap": "vdc", "disk.config": "vdz",
        one.volume_id: "vdd", two.volume_id: "vde",
    }  # fmt: skip
    without = put_together(make_instance(block_devices=(two,)), ROOT, EPH0, SWAP,
                           names={two.volume_id: "vde"})  # fmt: skip
    assert named(without)[two.volume_id] == "vde"


def test_no_two_disks_have_one_name():
    twins = [make_mapping(device_name=name) for name in ("/dev/vdb", "/dev/sdb", "vdb", "/dev/x")]
    instance = make_instance(block_devices=tuple(twins))

    names = named(put_together(instance, ROOT, EPH0))

    assert len(set(names.values())) == len(names)
    assert names["disk.eph0"] == "vdb"  # local disks have been there before any volume came


def test_the_letters_of_a_name_hold_and_its_prefix_is_the_buss():
    disk = make_mapping(device_name="/dev/xvdc", disk_bus="scsi")

    assert named(put_together(make_instance(block_devices=(disk,)), ROOT))[disk.volume_id] == "sdc"


def test_names_go_on_behind_z():
    many = [make_mapping() for _ in range(30)]
    names = named(put_together(make_instance(block_devices=tuple(many)), ROOT))

    assert names[many[-1].volume_id] == "vdae"


@pytest.mark.parametrize(
    ("values", "properties", "reason"),
    [
        ({"disk_bus": "xen"}, {}, "bus xen"),
        ({"disk_bus": "ide"}, {"hw_machine_type": "q35"}, "q35 machine has not"),
        ({"disk_bus": "fdc"}, {}, "cannot be on the bus fdc"),
        ({"device_type": "floppy", "disk_bus": "virtio"}, {}, "cannot be on the bus virtio"),
    ],
)
def test_a_bus_that_the_guest_cannot_have_is_refused_by_name(values, properties, reason):
    hardware = hardware_of(properties=properties)

    with pytest.raises(HypervisorError, match=reason):
        element(make_mapping(**values), hardware)


def test_a_bus_that_is_full_says_so():
    many = tuple(make_mapping(disk_bus="ide") for _ in range(5))

    with pytest.raises(HypervisorError, match="no room for another disk on its bus ide"):
        named(put_together(make_instance(block_devices=many), ROOT))


# --- who boots ---


def orders(instance, disks):
    found = defined(instance, disks).findall("devices/disk")
    return [(d.find("target").get("dev"), d.find("boot").get("order"))
            for d in found if d.find("boot") is not None]  # fmt: skip


def test_a_guest_boots_from_its_first_disk_and_then_from_the_next():
    root = make_mapping(boot_index=0, device_name="/dev/vda")
    later = make_mapping(boot_index=1, device_name="/dev/vdb")
    never = make_mapping(boot_index=-1)
    instance = make_instance(image=None, block_devices=(never, later, root))
    disks = put_together(instance)

    assert orders(instance, disks) == [("vda", "1"), ("vdb", "2")]
    assert disks[0].serial == root.volume_id
    assert defined(instance, disks).find("os/boot") is None


def test_a_rescue_disk_takes_the_place_of_the_first():
    instance = make_instance(block_devices=(make_mapping(device_name="/dev/vdb"),))
    disks = put_together(instance, RESCUE, ROOT)

    assert named(disks)["disk.rescue"] == "vda"
    assert named(disks)["disk"] == "vdc"
    assert orders(instance, disks) == [("vda", "1")]


def test_a_rescue_disk_that_comes_beside_leaves_all_others_as_they_are():
    root, data = (make_mapping(boot_index=n, device_name=f"/dev/vd{n}") for n in (0, None))
    root = msgspec.structs.replace(root, device_name="/dev/vda")
    data = msgspec.structs.replace(data, device_name="/dev/vdb")
    instance = make_instance(image=None, block_devices=(root, data))
    drive = RescueDrive("cdrom", "usb")
    disks = put_together(instance, RESCUE, rescue=drive)

    assert named(disks) == {
        root.volume_id: "vda", data.volume_id: "vdb", "disk.rescue": "sda",
    }  # fmt: skip
    assert orders(instance, disks) == [("sda", "1")]


def test_how_a_rescue_disk_comes_is_its_images_wish():
    def drive(**properties):
        return rescue_drive(msgspec.structs.replace(IMAGE, properties=properties))

    assert drive() is None
    assert drive(hw_rescue_device="cdrom") == RescueDrive("cdrom", None)
    assert drive(hw_rescue_bus="usb") == RescueDrive("disk", "usb")
    with pytest.raises(ImageUnacceptable, match="hw_rescue_device=tape"):
        drive(hw_rescue_device="tape")


def test_a_cd_is_booted_from_as_such():
    cd = make_instance(image=msgspec.structs.replace(IMAGE, disk_format="iso"))

    [disk] = defined(cd, put_together(cd, ROOT)).findall("devices/disk")

    assert disk.get("device") == "cdrom"
    assert disk.find("target").get("dev") == "hda"


# --- elements ---


def test_a_volume_shows_the_guest_its_id():
    disk = element(mapping := make_mapping())

    assert disk.findtext("serial") == mapping.volume_id
    assert disk.find("source").get("file") == f"/v/{mapping.volume_id}"
    assert disk.find("driver").get("discard") is None


@pytest.mark.parametrize(
    ("source", "mapping", "caches", "cache"),
    [
        ({}, {}, {}, "writeback"),
        ({"kind": "block"}, {}, {}, "none"),
        ({"is_on_share": True}, {}, {}, "none"),
        ({"kind": "block"}, {}, {"block": "writethrough"}, "writethrough"),
        ({"kind": "block"}, {"multiattach": True}, {"block": "writeback"}, "none"),
        ({"kind": "network", "network": NetworkSource(protocol="rbd")}, {}, {}, "writeback"),
    ],
)
def test_each_kind_of_disk_has_its_cache_mode(source, mapping, caches, cache):
    platform = Platform(disk_caches=caches)

    disk = element(make_mapping(**mapping), platform=platform, **source)

    assert disk.find("driver").get("cache") == cache
    assert (disk.find("driver").get("io") == "native") == (
        source.get("kind") == "block" and cache == "none"
    )
    assert (disk.find("shareable") is not None) == bool(mapping)


def test_a_volumes_own_limits_go_before_the_flavors():
    hardware = hardware_of(specs={"quota:disk_read_iops_sec": "100"})

    own = element(make_mapping(), hardware, limits={"total_bytes_sec": 5000})
    flavors = element(make_mapping(), hardware)

    assert {e.tag: e.text for e in own.find("iotune")} == {"total_bytes_sec": "5000"}
    assert {e.tag: e.text for e in flavors.find("iotune")} == {"read_iops_sec": "100"}


def test_a_volume_may_be_read_only_and_give_back_what_is_discarded():
    disk = element(make_mapping(), is_read_only=True, may_discard=True)

    assert disk.find("readonly") is not None
    assert disk.find("driver").get("discard") == "unmap"
    assert element(make_mapping()).find("readonly") is None


def test_a_device_is_passed_on_as_a_lun_and_a_file_is_not():
    lun = element(make_mapping(device_type="lun"), kind="block")

    assert (lun.get("device"), lun.find("target").get("bus")) == ("lun", "virtio")
    with pytest.raises(HypervisorError, match="only where it is a block device"):
        element(make_mapping(device_type="lun"))


def test_scsi_disks_share_one_controller():
    disks = [make_mapping(disk_bus="scsi") for _ in range(9)]
    instance = make_instance(block_devices=tuple(disks))
    domain = defined(instance, put_together(instance, ROOT))

    assert len(domain.findall("devices/controller[@type='scsi']")) == 1
    units = [d.find("address").get("unit") for d in domain.findall("devices/disk")[1:]]
    assert units == [str(n) for n in range(9)]


def test_an_image_of_a_ceph_cluster_is_named_with_its_hosts_and_secret():
    network = NetworkSource(
        protocol="rbd", hosts=(("192.0.2.1", "6789"),), user="u", secret_uuid="s"
    )
    source = element(make_mapping(), kind="network", network=network).find("source")

    assert source.get("protocol") == "rbd"
    assert source.find("host").attrib == {"name": "192.0.2.1", "port": "6789"}
    assert source.find("auth").get("username") == "u"
    assert source.find("auth/secret").attrib == {"type": "ceph", "uuid": "s"}


def test_a_guest_without_pci_slots_has_ports_for_what_comes_later():
    q35 = make_instance(image=msgspec.structs.replace(IMAGE, properties={"hw_machine_type": "q35"}))
    platform = Platform(pcie_ports=5)

    ports = "devices/controller[@model='pcie-root-port']"
    assert len(defined(q35, [ROOT], platform=platform).findall(ports)) == 5
    assert defined(make_instance(), [ROOT], platform=platform).findall(ports) == []


def test_hardware_has_virtio_disks_unless_the_image_says_otherwise():
    assert bus_of(ROOT, Hardware("pc", hardware_of().processor)) == "virtio"
    assert bus_of(ROOT, hardware_of(properties={"hw_disk_bus": "scsi"})) == "scsi"
