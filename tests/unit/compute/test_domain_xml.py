# SPDX-License-Identifier: Apache-2.0
"""Domain definitions, read back as XML."""

from xml.etree import ElementTree as ET

import msgspec
import pytest

from common.errors import ImageUnacceptable
from services.compute.virt.libvirt.domain_xml.domain import NAMESPACE, domain_xml
from services.compute.virt.libvirt.domain_xml.hardware import choose_hardware
from services.compute.virt.libvirt.domain_xml.spec import (
    Backing,
    DiskSpec,
    DomainSpec,
    Platform,
    SharedFolder,
)
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance, make_vif


def make_guest(*, properties=None, extra_specs=None, vcpus=1):
    """An instance whose image and flavor ask for something."""
    return make_instance(
        image=msgspec.structs.replace(IMAGE, properties=properties or {}),
        flavor=msgspec.structs.replace(TINY, extra_specs=extra_specs or {}, vcpus=vcpus),
    )


def define(instance=None, *, properties=None, platform=None, disks=None, **values):
    platform = platform or Platform()
    instance = instance or make_guest(properties=properties)
    spec = DomainSpec(
        instance=instance,
        platform=platform,
        hardware=choose_hardware(instance, platform),
        disks=disks or (DiskSpec("/i/disk", "qcow2", "root"),),
        vifs=values.pop("vifs", ()),
        console_log="/i/console.log",
        **values,
    )
    return ET.fromstring(domain_xml(spec))


def test_the_guest_has_the_flavors_size_and_the_instances_uuid():
    instance = make_instance()
    domain = define(instance)

    assert domain.findtext("uuid") == instance.uuid
    assert domain.findtext("memory") == "32"
    assert domain.find("memory").get("unit") == "MiB"
    assert domain.findtext("vcpu") == "1"


def test_the_guest_can_read_who_it_is_from_its_firmware():
    instance = make_instance()
    entries = {e.get("name"): e.text for e in define(instance).iterfind("sysinfo/system/entry")}

    assert entries["uuid"] == entries["serial"] == instance.uuid
    assert entries["product"] == "OpenStack Compute"


def test_a_name_with_anything_in_it_makes_well_formed_xml():
    domain = define(make_instance(name="<b>&\x00\x1b]]>\ufffe \U0001f600"))

    shown = domain.findtext(f"metadata/{{{NAMESPACE}}}instance/{{{NAMESPACE}}}name")
    assert shown.startswith("<b>&")
    assert shown.endswith("\U0001f600")


def test_the_serial_log_is_appended_to():
    source = define().find("devices/serial/source")

    assert source.attrib == {"path": "/i/console.log", "append": "on"}


def test_a_serial_port_that_listens_is_logged_as_well():
    platform = Platform(serial_listen="192.0.2.7")
    serial = define(platform=platform, serial_port=10007).find("devices/serial")

    assert serial.get("type") == "tcp"
    source = serial.find("source").attrib
    assert (source["mode"], source["host"], source["service"]) == ("bind", "192.0.2.7", "10007")
    assert serial.find("log").attrib == {"file": "/i/console.log", "append": "on"}


@pytest.mark.parametrize(
    ("platform", "kinds", "channels"),
    [
        (Platform(), ["vnc"], 0),
        (Platform(spice_listen="192.0.2.7"), ["vnc", "spice"], 1),
        (Platform(vnc_listen=None, spice_listen="192.0.2.7", spice_agent=False), ["spice"], 0),
        (Platform(vnc_listen=None), [], 0),
    ],
)
def test_a_guest_has_the_displays_of_its_host(platform, kinds, channels):
    domain = define(platform=platform)

    assert [found.get("type") for found in domain.iterfind("devices/graphics")] == kinds
    assert len(domain.findall("devices/channel[@type='spicevmc']")) == channels


def test_a_guest_without_a_video_adapter_has_no_display():
    platform = Platform(spice_listen="192.0.2.7")

    assert define(properties={"hw_video_model": "none"}, platform=platform).find(
        "devices/graphics"
    ) is None  # fmt: skip


def test_disks_are_named_in_order_and_the_config_drive_is_a_cdrom():
    disks = define(
        disks=(
            DiskSpec("/i/disk", "qcow2", "root"),
            DiskSpec("/i/eph", "raw", "ephemeral"),
            DiskSpec("/i/config", "raw", "config"),
        )
    ).findall("devices/disk")

    assert [(d.get("device"), d.find("target").get("dev")) for d in disks] == [
        ("disk", "vda"), ("disk", "vdb"), ("cdrom", "hdd"),
    ]  # fmt: skip
    assert disks[2].find("readonly") is not None


def test_a_vfat_config_drive_is_a_disk():
    disk = define(disks=(DiskSpec("/i/config", "raw", "config"),), config_drive_format="vfat").find(
        "devices/disk"
    )

    assert disk.get("device") == "disk"


def test_a_q35_guest_gets_its_cdrom_by_scsi():
    domain = define(
        properties={"hw_machine_type": "q35"}, disks=(DiskSpec("/i/config", "raw", "config"),)
    )

    assert domain.find("devices/disk/target").get("bus") == "scsi"
    assert domain.find("devices/controller").get("model") == "virtio-scsi"


def test_an_interface_has_the_ports_mac_mtu_device_and_bridge():
    interface = define(vifs=(make_vif(),)).find("devices/interface")

    assert interface.find("mac").get("address") == "fa:16:3e:00:00:01"
    assert interface.find("mtu").get("size") == "1450"
    assert interface.find("target").get("dev") == "tap3f0d3d8e-6a"
    assert interface.find("source").get("bridge") == "br-test"


def test_emulation_is_kept_small_and_kvm_shows_the_hosts_cpu():
    emulated, kvm = define(), define(platform=Platform(virt_type="kvm"))

    assert emulated.findtext("features/tcg/tb-cache") == "32"
    assert emulated.find("cpu").get("mode") is None
    assert kvm.find("features/tcg") is None
    assert kvm.find("cpu").get("mode") == "host-model"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hw_disk_bus", "xen"),
        ("hw_vif_model", "netfront"),
        ("hw_video_model", "gop"),
        ("hw_mem_encryption", "true"),
        ("hw_cpu_policy", "dedicated"),
    ],
)
def test_what_the_host_cannot_give_is_refused_by_name(name, value):
    with pytest.raises(ImageUnacceptable, match=f"{name}={value}"):
        define(properties={name: value})


def test_a_guest_without_video_has_no_display():
    domain = define(properties={"hw_video_model": "none"})

    assert domain.find("devices/graphics") is None
    assert domain.find("devices/video/model").get("type") == "none"


def test_what_a_disk_stands_on_is_said_and_never_read_from_its_header():
    disks = define(
        disks=(
            DiskSpec("/i/disk", "qcow2", "root", Backing("/c/image.raw", "raw")),
            DiskSpec("/i/eph", "raw", "ephemeral"),
        )
    ).findall("devices/disk")

    overlay, alone = (disk.find("backingStore") for disk in disks)
    assert overlay.find("source").get("file") == "/c/image.raw"
    assert overlay.find("format").get("type") == "raw"
    assert list(overlay.find("backingStore")) == list(alone) == []


def test_the_firmwares_variables_are_kept_with_the_instance():
    uefi = {"hw_firmware_type": "uefi"}

    assert define(properties=uefi, nvram="/i/nvram.fd").findtext("os/nvram") == "/i/nvram.fd"
    assert define(nvram="/i/nvram.fd").find("os/nvram") is None


def test_a_folder_is_shown_by_its_tag_to_a_guest_whose_memory_others_may_see():
    shared = SharedFolder("/state/shares/u/1", "data", "/usr/lib/qemu/virtiofsd")
    domain = define(make_guest(extra_specs={"hw:mem_page_size": "large"}), folders=(shared,))

    folder = domain.find("devices/filesystem")
    assert folder.find("driver").attrib == {"type": "virtiofs"}
    assert folder.find("binary").attrib == {"path": "/usr/lib/qemu/virtiofsd"}
    assert folder.find("source").attrib == {"dir": "/state/shares/u/1"}
    assert folder.find("target").attrib == {"dir": "data"}
    backing = [each.tag for each in domain.find("memoryBacking")]
    assert backing == ["hugepages", "source", "access"]
    assert domain.find("memoryBacking/access").attrib == {"mode": "shared"}
    assert define().find("memoryBacking") is None
