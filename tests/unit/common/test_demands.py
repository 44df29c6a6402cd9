# SPDX-License-Identifier: Apache-2.0
"""What flavor and image ask for that no host can give is told before anything is made."""

import pytest

from common.errors import ImageUnacceptable
from common.guest_hardware.demands import check_demands
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta


def check(specs: dict[str, str], properties: dict[str, str] | None, vcpus: int = 4) -> None:
    flavor = Flavor(
        flavorid="f", name="f", vcpus=vcpus, memory_mib=1024, root_gib=1, extra_specs=specs
    )
    image = None if properties is None else ImageMeta(id="i", properties=properties)
    check_demands(flavor, image)


@pytest.mark.parametrize(
    ("specs", "properties"),
    [
        ({}, None),
        ({}, {"hw_disk_bus": "scsi", "hw_cpu_cores": "2", "os_type": "linux", "mine": "any"}),
        ({"hw:numa_nodes": "2"}, {"hw_numa_nodes": "2", "hw_firmware_type": "UEFI"}),
        ({"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "require"}, {}),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"}, {}),
        (
            {"hw:cpu_policy": "dedicated", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0"},
            {},
        ),
        ({"hw:mem_page_size": "2MB", "hw:locked_memory": "true"}, {}),
        ({"hw:serial_port_count": "2"}, {"hw_serial_port_count": "2"}),
    ],
)
def test_what_a_host_may_be_able_to_give_passes(specs, properties):
    check(specs, properties)


@pytest.mark.parametrize(
    ("specs", "properties", "word"),
    [
        ({}, {"hw_disk_bus": "foo"}, "hw_disk_bus=foo"),
        ({}, {"hw_cpu_cores": "many"}, "hw_cpu_cores=many"),
        ({}, {"hw_numa_nodes": "3"}, "do not split evenly into 3 nodes"),
        ({}, {"hw_numa_nodes": "1000000000"}, "more than any host has"),
        ({"hw:numa_nodes": "2"}, {"hw_numa_nodes": "4"}, "differs from the flavor's"),
        ({"hw:numa_nodes": "2", "hw:numa_cpus.0": "0,1"}, {}, "hw:numa_mem.0"),
        ({"hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "2", "hw:cpu_max_threads": "1"}, {},
         "cannot be laid out"),
        ({"hw:cpu_max_cores": "2"}, {"hw_cpu_max_cores": "4"}, "hw_cpu_max_cores=4"),
        ({"hw:cpu_policy": "own"}, {}, "hw:cpu_policy=own"),
        ({"hw:cpu_policy": "mixed"}, {}, "hw:cpu_dedicated_mask"),
        ({"hw:cpu_policy": "shared"}, {"hw_cpu_policy": "dedicated"}, "differs"),
        ({"hw:cpu_thread_policy": "isolate"}, {}, "hw:cpu_thread_policy"),
        ({"hw:emulator_threads_policy": "isolate"}, {}, "hw:emulator_threads_policy"),
        ({"hw:cpu_realtime": "yes"}, {}, "hw:cpu_realtime"),
        ({"hw:mem_page_size": "small pages"}, {}, "hw:mem_page_size"),
        ({"hw:locked_memory": "yes"}, {}, "hw:locked_memory"),
        ({"hw:serial_port_count": "1"}, {"hw_serial_port_count": "2"}, "hw_serial_port_count=2"),
    ],
)  # fmt: skip
def test_what_no_host_can_give_is_refused_by_name(specs, properties, word):
    with pytest.raises(ImageUnacceptable, match="Image i is unacceptable") as refused:
        check(specs, properties)

    assert word in str(refused.value)


def test_without_an_image_the_flavor_is_named():
    with pytest.raises(ImageUnacceptable, match="Flavor f is unacceptable: hw:cpu_policy=own"):
        check({"hw:cpu_policy": "own"}, None)


@pytest.mark.parametrize("specs", [{"hw:numa_nodes": "1"}, {"hw:cpu_policy": "dedicated"}])
def test_no_set_is_made_of_more_cpus_than_any_host_has(specs):
    with pytest.raises(ImageUnacceptable, match="more than any host has"):
        check(specs, {}, vcpus=2**31 - 2)
