# SPDX-License-Identifier: Apache-2.0
"""DomainSpec: a guest as libvirt shall run it, before it becomes XML."""

from dataclasses import dataclass

from common.objects.instance import Instance
from common.objects.network import VirtualInterface


@dataclass(frozen=True)
class Platform:
    """What the host decides for all its guests.

    `virt_type` is libvirt's: kvm, or qemu for emulated CPUs. `cpu_model` empty: the default.
    `vnc_listen` None: no display.
    """

    virt_type: str = "qemu"
    machine_type: str = "pc"
    arch: str = "x86_64"
    cpu_model: str = ""
    disk_cache: str = "writeback"
    vnc_listen: str | None = "127.0.0.1"


@dataclass(frozen=True)
class DiskSpec:
    """A disk file. `role` is root, ephemeral, swap or config; `format` raw or qcow2."""

    path: str
    format: str
    role: str


@dataclass(frozen=True)
class Hardware:
    """Device models of a guest: the image's wishes, checked, with defaults filled in.

    `rng` and `agent` say whether there is such a device. `video` is `none` for no adapter.
    """

    machine_type: str
    disk_bus: str = "virtio"
    cdrom_bus: str = "ide"
    vif_model: str = "virtio"
    video: str = "vga"
    rng: bool = True
    agent: bool = True
    scsi_model: str = "virtio-scsi"
    pointer: str | None = None
    boot_menu: bool = False


@dataclass(frozen=True)
class DomainSpec:
    """All that a definition is made of. `console_log` is the file of the serial port's output."""

    instance: Instance
    platform: Platform
    hardware: Hardware
    disks: tuple[DiskSpec, ...]
    vifs: tuple[VirtualInterface, ...]
    console_log: str
    config_drive_format: str = "iso9660"
