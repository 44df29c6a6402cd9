# SPDX-License-Identifier: Apache-2.0
"""DomainSpec: a guest as libvirt shall run it, before it becomes XML."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.guest_hardware.topology import CpuTopology, NumaNode
from common.objects.instance import Instance
from common.objects.network import VirtualInterface


@dataclass(frozen=True)
class Platform:
    """What the host decides for all its guests.

    `virt_type` is libvirt's: kvm, or qemu for emulated CPUs. `cpu_model` empty: the default;
    `cpu_features` are switched on beside it. `dedicated_cpus` are the host CPUs that guests may
    have for themselves. `vnc_listen` None: no display.
    """

    virt_type: str = "qemu"
    machine_type: str = "pc"
    arch: str = "x86_64"
    cpu_model: str = ""
    cpu_features: tuple[str, ...] = ()
    dedicated_cpus: frozenset[int] = frozenset()
    disk_cache: str = "writeback"
    vnc_listen: str | None = "127.0.0.1"


@dataclass(frozen=True)
class DiskSpec:
    """A disk file. `role` is root, ephemeral, swap or config; `format` raw or qcow2."""

    path: str
    format: str
    role: str


@dataclass(frozen=True)
class Firmware:
    """What starts the guest. `secure_boot` and `stateless` are for `uefi` only."""

    kind: str = "bios"
    secure_boot: bool = False
    stateless: bool = False
    boot_menu: bool = False


@dataclass(frozen=True)
class Tpm:
    """A virtual TPM: `model` tpm-tis or tpm-crb, `version` 1.2 or 2.0."""

    model: str
    version: str


@dataclass(frozen=True)
class Rng:
    """A random number generator, at most `bytes` in `period_ms`; 0: as fast as it goes."""

    bytes: int = 0
    period_ms: int = 0


@dataclass(frozen=True)
class Processor:
    """The guest's CPUs. Those in `dedicated` get a host CPU each, which `pins` says; others float.

    `pmu` None: as the hypervisor does it.
    """

    topology: CpuTopology
    nodes: tuple[NumaNode, ...] = ()
    dedicated: frozenset[int] = frozenset()
    pins: Mapping[int, int] = field(default_factory=dict)
    model: str = ""
    hide_hypervisor: bool = False
    pmu: bool | None = None
    physical_address_bits: int | None = None
    physical_address_mode: str | None = None


@dataclass(frozen=True)
class Memory:
    """`page_kib` None: pages of the usual size. `locked`: never swapped out by the host."""

    page_kib: int | None = None
    locked: bool = False


@dataclass(frozen=True)
class Limits:
    """Ceilings by the names that libvirt's XML has for them; empty: none."""

    cpu: Mapping[str, int] = field(default_factory=dict)
    disk: Mapping[str, int] = field(default_factory=dict)
    inbound: Mapping[str, int] = field(default_factory=dict)
    outbound: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Hardware:
    """Device models of a guest: the wishes of flavor and image, checked, with defaults filled in.

    `video` is `none` for no adapter, `video_ram_mib` None its default. `pointer` is the bus of a
    tablet. `usb` None: the machine's own controller.
    """

    machine_type: str
    processor: Processor
    memory: Memory = Memory()
    firmware: Firmware = Firmware()
    limits: Limits = Limits()
    disk_bus: str = "virtio"
    cdrom_bus: str = "ide"
    scsi_model: str = "virtio-scsi"
    vif_model: str = "virtio"
    vif_queues: int = 1
    packed_ring: bool = False
    video: str = "vga"
    video_ram_mib: int | None = None
    rng: Rng | None = Rng()
    tpm: Tpm | None = None
    watchdog: str | None = None
    agent: bool = True
    pointer: str | None = None
    serial_ports: int = 1
    sound: str | None = None
    usb: str | None = None
    iommu: str | None = None
    hpet: bool = False
    is_windows: bool = False


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
