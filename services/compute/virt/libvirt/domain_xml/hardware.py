# SPDX-License-Identifier: Apache-2.0
"""Which devices a guest gets: hw_* properties of its image, checked, and defaults that work.

Meaning and values of the properties are the Image API's common ones; those that need more than a
device model (NUMA, pinning, encryption, UEFI) are refused, not overlooked.
"""

from collections.abc import Mapping

from common.errors import ImageUnacceptable
from services.compute.virt.libvirt.domain_xml.spec import Hardware

_DISK_BUSES = ("virtio", "scsi", "ide", "sata", "usb")
_VIF_MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "ne2k_pci", "pcnet", "vmxnet3")
_VIDEO_MODELS = ("vga", "cirrus", "virtio", "bochs", "qxl", "none")
_SCSI_MODELS = ("virtio-scsi", "lsilogic")
_TRUE = frozenset(("1", "t", "true", "on", "y", "yes"))
# Wishes whose absence a guest would notice; values that ask for nothing special are fine.
_UNSUPPORTED = {
    "hw_firmware_type": frozenset(("", "bios")),
    "hw_cpu_policy": frozenset(("", "shared")),
    "hw_mem_encryption": frozenset(("", "false")),
    "hw_numa_nodes": frozenset(("", "1")),
}


def choose_hardware(
    properties: Mapping[str, str], *, image_id: str, default_machine: str
) -> Hardware:
    """The devices for a guest of this image. Raises: ImageUnacceptable."""
    for name, fine in _UNSUPPORTED.items():
        if properties.get(name, "").lower() not in fine:
            reason = f"this host cannot provide {name}={properties[name]}"
            raise ImageUnacceptable(image=image_id, reason=reason)
    wishes = _Wishes(properties, image_id)
    machine = properties.get("hw_machine_type") or default_machine
    is_q35 = "q35" in machine
    # An emulated q35 has no IDE, and small kernels lack the driver of its SATA: use SCSI there.
    default_cdrom = "scsi" if is_q35 else "ide"
    disk_buses = tuple(b for b in _DISK_BUSES if not (is_q35 and b == "ide"))
    return Hardware(
        machine_type=machine,
        disk_bus=wishes.one_of("hw_disk_bus", disk_buses, "virtio"),
        cdrom_bus=wishes.one_of("hw_cdrom_bus", disk_buses, default_cdrom),
        vif_model=wishes.one_of("hw_vif_model", _VIF_MODELS, "virtio"),
        video=wishes.one_of("hw_video_model", _VIDEO_MODELS, "vga"),
        rng=True,
        agent=wishes.is_true("hw_qemu_guest_agent", default=True),
        scsi_model=wishes.one_of("hw_scsi_model", _SCSI_MODELS, "virtio-scsi"),
        pointer="usb" if properties.get("hw_pointer_model") == "usbtablet" else None,
        boot_menu=wishes.is_true("hw_boot_menu", default=False),
    )


class _Wishes:
    """Reads properties; says which value of which property cannot be had."""

    def __init__(self, properties: Mapping[str, str], image_id: str) -> None:
        self._properties = properties
        self._image_id = image_id

    def one_of(self, name: str, known: tuple[str, ...], default: str) -> str:
        value = self._properties.get(name) or default
        if value not in known:
            reason = f"{name}={value} is not supported; {', '.join(known)} are"
            raise ImageUnacceptable(image=self._image_id, reason=reason)
        return value

    def is_true(self, name: str, *, default: bool) -> bool:
        value = self._properties.get(name)
        return default if value is None else value.strip().lower() in _TRUE
