# SPDX-License-Identifier: Apache-2.0
"""Which wishes of a flavor and an image a container can have; others are refused by name.

Models of devices (of a disk's bus, a network card, a screen) mean nothing to a container and are
passed over: an image may be good for machines, too.
"""

from common.errors import NotSupported
from common.objects.instance import Instance
from services.compute.virt.libvirt.domain_xml.hardware import choose_hardware
from services.compute.virt.libvirt.domain_xml.spec import Hardware, Platform


def choose_container_hardware(instance: Instance, platform: Platform) -> Hardware:
    """What a container of this flavor and image gets. Raises: ImageUnacceptable, NotSupported."""
    hardware = choose_hardware(instance, platform)
    processor, firmware = hardware.processor, hardware.firmware
    wishes = {
        "UEFI firmware": firmware.kind == "uefi",
        "TPM": hardware.tpm is not None,
        "watchdog": hardware.watchdog is not None,
        "IOMMU": hardware.iommu is not None,
        "CPUs for itself alone": bool(processor.dedicated),
        "NUMA nodes": len(processor.nodes) > 1,
        "memory pages of a chosen size": hardware.memory.page_kib is not None,
        "bounds of a disk's speed (quota:disk_*)": bool(hardware.limits.disk),
        "kernel of its own, such as that of Windows": hardware.is_windows,
    }
    for wish, is_made in wishes.items():
        if is_made:
            raise NotSupported(f"A container has no {wish}.")
    return hardware
