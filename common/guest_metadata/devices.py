# SPDX-License-Identifier: Apache-2.0
"""`devices` of meta_data.json: tagged NICs and disks of a server, its shares, and how a guest knows
them.

What is told is what is known before the guest starts: a volume's serial number, the bus, and an
address only where this cloud chooses it. PCI addresses are the hypervisor's choice.
"""

from typing import Any

from common.guest_hardware.disk_names import letters_of, place_of
from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance

_UNKNOWN = "none"
# What a guest finds a disk on: virtio disks are PCI devices.
_BUS = {"virtio": "pci", "scsi": "scsi", "ide": "ide", "sata": "sata", "usb": "usb"}


def tagged_devices(instance: Instance) -> list[dict[str, Any]]:
    """The entries, NICs first."""
    nics: list[dict[str, Any]] = [
        {"type": "nic", "bus": _UNKNOWN, "address": _UNKNOWN, "mac": vif.mac, "tags": [vif.tag]}
        for vif in instance.vifs
        if vif.tag
    ]
    properties = instance.image.properties if instance.image else {}
    return nics + [_disk(disk, properties) for disk in instance.block_devices if disk.tag]


def shares(instance: Instance) -> list[dict[str, Any]]:
    """The entries of what the guest may mount, which it finds on PCI."""
    return [
        {
            "type": "share",
            "bus": "pci",
            "address": _UNKNOWN,
            "share_id": each.share_id,
            "tag": each.tag,
            "tags": [each.tag],
        }
        for each in instance.attached_shares
    ]


def _disk(disk: BlockDeviceMapping, properties: dict[str, str]) -> dict[str, Any]:
    bus = disk.disk_bus or properties.get("hw_disk_bus") or "virtio"
    known: dict[str, Any] = {"type": "disk", "bus": _BUS.get(bus, _UNKNOWN), "address": _UNKNOWN}
    letters = letters_of(disk.device_name or "")
    if bus == "scsi" and letters and properties.get("hw_scsi_model") in (None, "virtio-scsi"):
        known["address"] = f"0:0:0:{place_of(letters)}"
    if disk.volume_id:
        known["serial"] = disk.volume_id
    if disk.device_name:
        known["path"] = disk.device_name
    return known | {"tags": [disk.tag]}
