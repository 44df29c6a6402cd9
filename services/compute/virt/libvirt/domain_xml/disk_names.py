# SPDX-License-Identifier: Apache-2.0
"""Under which bus and name a guest sees its disks: vda, vdb, sda, … no two alike."""

from collections.abc import Collection, Sequence
from itertools import chain, islice

from common.errors import HypervisorError
from common.guest_hardware.disk_names import PREFIXES, all_letters, letters_of
from services.compute.virt.libvirt.domain_xml.spec import DiskSpec, Hardware

# Disks that a bus of this kind has room for, where that is few.
_MOST = {"ide": 4, "fdc": 2}
# Where the config drive is: out of the way of disks that come later.
_LAST = {"virtio": "z", "usb": "z", "scsi": "o", "sata": "f", "ide": "d", "fdc": "b"}


def bus_of(disk: DiskSpec, hardware: Hardware) -> str:
    """The bus that a disk hangs on. Raises: HypervisorError, for one that the guest cannot have."""
    usual = {"cdrom": hardware.cdrom_bus, "floppy": "fdc", "lun": _lun_bus(hardware)}
    bus = (disk.bus or usual.get(disk.device, hardware.disk_bus)).lower()
    if bus not in PREFIXES:
        known = ", ".join(sorted(PREFIXES))
        raise HypervisorError(reason=f"a disk asks for the bus {bus}; this host has {known}")
    if bus == "ide" and "q35" in hardware.machine_type:
        raise HypervisorError(reason="a disk asks for the bus ide, which a q35 machine has not")
    if (bus == "fdc") != (disk.device == "floppy"):
        raise HypervisorError(reason=f"a disk of type {disk.device} cannot be on the bus {bus}")
    return bus


def name_disks(
    disks: Sequence[DiskSpec], buses: Sequence[str], taken: Collection[str] = ()
) -> tuple[str, ...]:
    """A name for each of `disks`, on its bus of `buses`; none of those in `taken`.

    Disks of this host go first, then those that wish for a name, then all others: what comes and
    goes moves nothing else. The letters of a wish hold, not its prefix, which is the bus's.
    Raises: HypervisorError, when a bus is full.
    """
    used = set(taken)
    names = [""] * len(disks)
    someone_boots = any(disk.boot_index == 0 for disk in disks)
    for number in sorted(range(len(disks)), key=lambda n: _rank(disks[n], someone_boots)):
        names[number] = _free_name(disks[number], buses[number], used)
        used.add(names[number])
    return tuple(names)


def _rank(disk: DiskSpec, someone_boots: bool) -> int:
    if disk.role == "config":
        return 0
    if disk.boot_index == 0 or (disk.role == "root" and not someone_boots):
        return 1
    if disk.role in ("ephemeral", "swap"):
        return 2
    if disk.role == "volume":
        return 3 if disk.name else 4
    return 5  # the rescue disk, or the root disk beside it: whichever the guest does not boot from


def _free_name(disk: DiskSpec, bus: str, used: Collection[str]) -> str:
    prefix = PREFIXES[bus]
    wish = _LAST[bus] if disk.role == "config" else letters_of(disk.name or "")
    for letters in chain((wish,), islice(all_letters(), _MOST.get(bus))):
        if letters and prefix + letters not in used:
            return prefix + letters
    raise HypervisorError(reason=f"the guest has no room for another disk on its bus {bus}")


def _lun_bus(hardware: Hardware) -> str:
    return hardware.disk_bus if hardware.disk_bus in ("virtio", "scsi") else "scsi"
