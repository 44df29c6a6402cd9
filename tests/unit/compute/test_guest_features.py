# SPDX-License-Identifier: Apache-2.0
"""Wishes of flavors and images, each as what stands in the domain definition for it."""

import dataclasses
from xml.etree import ElementTree as ET

import pytest

from common.errors import HypervisorError, ImageUnacceptable
from services.compute.virt.libvirt.domain_xml.domain import domain_xml
from services.compute.virt.libvirt.domain_xml.hardware import choose_hardware
from services.compute.virt.libvirt.domain_xml.spec import (
    EMULATOR,
    DiskSpec,
    DomainSpec,
    Platform,
)
from services.compute.virt.libvirt.pinning import choose_pins
from tests.contracts.drivers.instances import make_vif
from tests.unit.compute.test_domain_xml import make_guest

_DISKS = (DiskSpec("/i/disk", "qcow2", "root"),)


def define(specs=None, properties=None, *, vcpus=1, platform=None):
    guest = make_guest(properties=properties, extra_specs=specs, vcpus=vcpus)
    platform = platform or Platform()
    return describe(guest, platform, choose_hardware(guest, platform))


def describe(guest, platform, hardware):
    spec = DomainSpec(
        instance=guest, platform=platform, hardware=hardware,
        disks=_DISKS, vifs=(make_vif(),), console_log="/i/console.log",
    )  # fmt: skip
    return ET.fromstring(domain_xml(spec))


def attributes(domain, path):
    found = domain.find(path)
    return None if found is None else found.attrib


@pytest.mark.parametrize(
    ("specs", "properties", "path", "expected"),
    [
        ({"hw:watchdog_action": "reset"}, {}, "devices/watchdog",
         {"model": "i6300esb", "action": "reset"}),
        ({"hw:watchdog_action": "reset"}, {"hw_watchdog_action": "pause"}, "devices/watchdog",
         {"model": "i6300esb", "action": "pause"}),
        ({"hw:watchdog_action": "disabled"}, {}, "devices/watchdog", None),
        ({"hw_rng:allowed": "false"}, {}, "devices/rng", None),
        ({"hw_rng:rate_bytes": "4096", "hw_rng:rate_period": "500"}, {}, "devices/rng/rate",
         {"bytes": "4096", "period": "500"}),
        ({}, {"hw_video_model": "qxl"}, "devices/video/model", {"type": "qxl"}),
        ({"hw_video:ram_max_mb": "64"}, {"hw_video_ram": "32"}, "devices/video/model",
         {"type": "vga", "vram": "32768"}),
        ({}, {"hw_disk_bus": "scsi"}, "devices/controller",
         {"type": "scsi", "index": "0", "model": "virtio-scsi"}),
        ({}, {"hw_vif_model": "e1000"}, "devices/interface/model", {"type": "e1000"}),
        ({"hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb"}, {}, "devices/tpm",
         {"model": "tpm-crb"}),
        ({}, {"hw_tpm_version": "1.2"}, "devices/tpm/backend",
         {"type": "emulator", "version": "1.2"}),
        ({"hw:boot_menu": "true"}, {}, "os/bootmenu", {"enable": "yes"}),
        ({}, {"hw_pointer_model": "usbtablet"}, "devices/input", {"type": "tablet", "bus": "usb"}),
        ({}, {"hw_input_bus": "virtio"}, "devices/input", {"type": "tablet", "bus": "virtio"}),
        ({"hw:sound_model": "ich9"}, {}, "devices/sound", {"model": "ich9"}),
        ({}, {"hw_usb_model": "qemu-xhci"}, "devices/controller",
         {"type": "usb", "index": "0", "model": "qemu-xhci"}),
        ({}, {"hw_viommu_model": "auto", "hw_machine_type": "q35"}, "devices/iommu",
         {"model": "intel"}),
        ({"hw:virtio_packed_ring": "true"}, {}, "devices/interface/driver", {"packed": "on"}),
        ({"hw:pmu": "false"}, {}, "features/pmu", {"state": "off"}),
        ({}, {"hw_time_hpet": "true"}, "clock/timer[@name='hpet']",
         {"name": "hpet", "present": "yes"}),
        ({"hw:mem_page_size": "large"}, {}, "memoryBacking/hugepages/page",
         {"size": "2048", "unit": "KiB"}),
        ({"hw:mem_page_size": "1GB"}, {}, "memoryBacking/hugepages/page",
         {"size": "1048576", "unit": "KiB"}),
        ({"hw:mem_page_size": "small"}, {}, "memoryBacking", None),
        ({"hw:mem_page_size": "large", "hw:locked_memory": "true"}, {}, "memoryBacking/locked", {}),
        ({"quota:vif_inbound_average": "100", "quota:vif_inbound_peak": "200"}, {},
         "devices/interface/bandwidth/inbound", {"average": "100", "peak": "200"}),
        ({}, {"os_type": "windows"}, "clock", {"offset": "localtime"}),
    ],
)  # fmt: skip
def test_a_wish_becomes_a_device(specs, properties, path, expected):
    assert attributes(define(specs, properties), path) == expected


def test_limits_of_cpu_and_disk_are_what_the_flavor_says():
    domain = define({"quota:cpu_shares": "512", "quota:disk_read_iops_sec": "100"})

    assert domain.findtext("cputune/shares") == "512"
    assert domain.findtext("devices/disk/iotune/read_iops_sec") == "100"


def test_every_cpu_has_a_queue_of_its_own_where_asked_for():
    queues = define({"hw:vif_multiqueue_enabled": "true"}, vcpus=4)

    assert attributes(queues, "devices/interface/driver") == {"queues": "4"}
    assert define(vcpus=4).find("devices/interface/driver") is None


def test_further_serial_ports_follow_the_console_log():
    ports = define({"hw:serial_port_count": "3"}, {"hw_serial_port_count": "2"})

    assert [s.get("type") for s in ports.findall("devices/serial")] == ["file", "pty"]


def test_uefi_is_picked_by_features_and_secure_boot_brings_what_it_needs():
    plain = define(properties={"hw_firmware_type": "uefi"})
    secure = define({"os:secure_boot": "required"}, {"hw_firmware_type": "uefi"})

    assert plain.find("os").get("firmware") == "efi"
    assert plain.find("os/loader") is None  # libvirt 9 refuses a loader that is not secure
    assert secure.find("os/loader").get("secure") == "yes"
    assert secure.find("os/type").get("machine") == "q35"
    assert secure.find("features/smm").get("state") == "on"
    assert secure.findtext("cpu/model") == "Nehalem"


def test_a_guest_is_hidden_from_only_where_there_is_something_to_hide():
    asked = {"hw:hide_hypervisor_id": "true"}

    assert define(asked, platform=Platform(virt_type="kvm")).find("features/kvm/hidden") is not None
    assert define(asked).find("features/kvm") is None


@pytest.mark.parametrize(
    ("specs", "properties", "vcpus", "layout"),
    [
        ({}, {}, 4, (4, 1, 1)),
        ({"hw:cpu_cores": "2"}, {}, 4, (2, 2, 1)),
        ({"hw:cpu_cores": "2"}, {"hw_cpu_cores": "4"}, 4, (1, 4, 1)),
        ({"hw:cpu_max_sockets": "1"}, {}, 4, (1, 4, 1)),
        ({"hw:cpu_max_sockets": "2", "hw:cpu_max_cores": "1"}, {}, 4, (2, 1, 2)),
        ({"hw:cpu_threads": "2", "hw:cpu_sockets": "1"}, {}, 8, (1, 4, 2)),
    ],
)
def test_cpus_are_laid_out_as_preferred_within_the_maxima(specs, properties, vcpus, layout):
    topology = define(specs, properties, vcpus=vcpus).find("cpu/topology")

    assert tuple(int(topology.get(p)) for p in ("sockets", "cores", "threads")) == layout


def test_nodes_share_cpus_and_memory_evenly_or_as_described():
    even = define({"hw:numa_nodes": "2"}, vcpus=2)
    described = define(
        {
            "hw:numa_nodes": "2", "hw:numa_cpus.0": "0", "hw:numa_mem.0": "20",
            "hw:numa_cpus.1": "1-2", "hw:numa_mem.1": "12",
        },
        vcpus=3,
    )  # fmt: skip

    assert [(c.get("cpus"), c.get("memory")) for c in even.iterfind("cpu/numa/cell")] == [
        ("0", "16"), ("1", "16"),
    ]  # fmt: skip
    assert [(c.get("cpus"), c.get("memory")) for c in described.iterfind("cpu/numa/cell")] == [
        ("0", "20"), ("1,2", "12"),
    ]  # fmt: skip


def test_a_mixed_guest_has_the_cpus_of_its_mask_for_itself():
    platform = Platform(dedicated_cpus=frozenset((2, 3)))
    guest = make_guest(
        extra_specs={"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}, vcpus=3
    )

    assert choose_hardware(guest, platform).processor.dedicated == {1, 2}


@pytest.mark.parametrize(
    ("specs", "pins", "expected"),
    [
        ({}, {}, "0,1"), ({"hw:cpu_policy": "dedicated"}, {0: 2, 1: 3, 2: 4}, None),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"}, {0: 2, 1: 3}, "0,1"),
    ],
    ids=("shared", "dedicated", "mixed"),
)  # fmt: skip
def test_cpus_without_one_of_their_own_keep_off_those_of_others(specs, pins, expected):
    platform = Platform(
        dedicated_cpus=frozenset((2, 3, 4)), floating_cpus=frozenset((0, 1))
    )  # fmt: skip
    guest = make_guest(extra_specs=specs, vcpus=3)
    hardware = choose_hardware(guest, platform)
    hardware = dataclasses.replace(
        hardware, processor=dataclasses.replace(hardware.processor, pins=pins)
    )

    assert describe(guest, platform, hardware).find("vcpu").get("cpuset") == expected


@pytest.mark.parametrize(
    ("policy", "pins", "expected"),
    [
        (None, {0: 2, 1: 3}, "2,3"), ("share", {0: 2, 1: 3}, "0"),
        ("isolate", {0: 2, 1: 3, EMULATOR: 4}, "4"),
    ],
)  # fmt: skip
def test_threads_of_the_hypervisor_run_where_the_flavor_has_them(policy, pins, expected):
    platform = Platform(dedicated_cpus=frozenset((2, 3, 4)), shared_cpus=frozenset((0,)))
    specs = {"hw:cpu_policy": "dedicated"}
    if policy:
        specs["hw:emulator_threads_policy"] = policy
    guest = make_guest(extra_specs=specs, vcpus=2)
    hardware = choose_hardware(guest, platform)
    hardware = dataclasses.replace(
        hardware, processor=dataclasses.replace(hardware.processor, pins=pins)
    )

    domain = describe(guest, platform, hardware)

    assert domain.find("cputune/emulatorpin").get("cpuset") == expected
    assert [p.attrib for p in domain.iterfind("cputune/vcpupin")] == [
        {"vcpu": "0", "cpuset": "2"}, {"vcpu": "1", "cpuset": "3"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "specs", "expected"),
    [
        ({}, {}, (None, None, {})),
        ({"cpu_mode": "maximum"}, {}, ("maximum", None, {})),
        ({"virt_type": "kvm"}, {}, ("host-model", None, {})),
        ({"virt_type": "kvm", "cpu_mode": "host-passthrough"}, {}, ("host-passthrough", None, {})),
        ({"cpu_model": "Nehalem", "cpu_features": ("aes",)}, {},
         ("custom", "Nehalem", {"aes": "require"})),
        ({"cpu_features": ("aes",)}, {}, ("custom", "qemu64", {"aes": "require"})),
        ({}, {"hw:hide_hypervisor_id": "true"}, ("custom", "qemu64", {"hypervisor": "disable"})),
    ],
)  # fmt: skip
def test_a_guest_has_the_cpu_of_its_host(values, specs, expected):
    cpu = define(specs, platform=Platform(**values)).find("cpu")

    features = {each.get("name"): each.get("policy") for each in cpu.iterfind("feature")}
    assert (cpu.get("mode"), cpu.findtext("model"), features) == expected


def test_pins_are_free_cpus_of_the_set_and_never_shared():
    assert choose_pins(frozenset((0, 1)), frozenset((4, 5, 6)), frozenset((5,))) == {0: 4, 1: 6}
    with pytest.raises(HypervisorError, match="2 dedicated CPUs are wanted, 1 of this host's 3"):
        choose_pins(frozenset((0, 1)), frozenset((4, 5, 6)), frozenset((4, 5)))


@pytest.mark.parametrize(
    ("specs", "properties", "vcpus", "words"),
    [
        ({"hw:watchdog_action": "explode"}, {}, 1, "hw_watchdog_action=explode"),
        ({"hw:tpm_model": "tpm-crb"}, {}, 1, "needs hw:tpm_version"),
        ({"hw:tpm_model": "tpm-crb", "hw:tpm_version": "1.2"}, {}, 1, "tpm-crb needs"),
        ({}, {"hw_video_ram": "32"}, 1, "hw_video_ram=32 is more than"),
        ({"hw:serial_port_count": "1"}, {"hw_serial_port_count": "2"}, 1, "more than the flavor's"),
        ({"hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "2", "hw:cpu_max_threads": "1"}, {}, 4,
         "4 CPUs cannot be laid out in at most 1 sockets, 2 cores, 1 threads"),
        ({"hw:numa_nodes": "3"}, {}, 2, "do not split evenly into 3 nodes"),
        ({"hw:numa_nodes": "2", "hw:numa_cpus.0": "0", "hw:numa_mem.0": "16"}, {}, 2,
         "NUMA node 1 is not described"),
        ({"hw:mem_page_size": "huge"}, {}, 1, "hw:mem_page_size=huge is no size"),
        ({"hw:locked_memory": "true"}, {}, 1, "hw:locked_memory needs hw:mem_page_size"),
        ({"os:secure_boot": "required"}, {}, 1, "secure boot needs hw_firmware_type=uefi"),
        ({"hw:emulator_threads_policy": "isolate"}, {}, 1, "needs hw:cpu_policy=dedicated"),
        ({"hw:cpu_policy": "shared"}, {"hw_cpu_policy": "dedicated"}, 1, "differs from the flavor"),
        ({"hw:pmu": "maybe"}, {}, 1, "neither true nor false"),
        ({}, {"hw_viommu_model": "intel"}, 1, "needs hw_machine_type=q35"),
        ({"quota:cpu_shares": "many"}, {}, 1, "quota:cpu_shares=many is not a whole number"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_by_name(specs, properties, vcpus, words):
    with pytest.raises(ImageUnacceptable, match=words):
        define(specs, properties, vcpus=vcpus)
