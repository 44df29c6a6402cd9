# SPDX-License-Identifier: Apache-2.0
"""DomainSpec: a guest as libvirt shall run it, before it becomes XML."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.guest_hardware.topology import CpuTopology, NumaNode
from common.objects.instance import Instance
from common.objects.network import VirtualInterface
from services.compute.volume_sources import NetworkSource


@dataclass(frozen=True)
class Platform:
    """What the host decides for all its guests.

    `virt_type` is libvirt's: kvm, or qemu for emulated CPUs. `cpu_mode` is libvirt's as well;
    empty: the default; a `cpu_model` goes before it. `cpu_features` are switched on beside those.
    `dedicated_cpus` are the host CPUs that guests may have for themselves, `shared_cpus` those for
    what all have in common, `floating_cpus` those on which CPUs of guests run that have no host CPU
    for themselves (none: on any). `disk_cache` is the cache mode of local disks, `disk_caches`
    those of other kinds of disks. `pcie_ports`: for all devices of guests without PCI slots, also
    those to come. `vnc_listen`, `spice_listen` None: no such display; `serial_listen` None: the
    serial port is only logged.
    """

    virt_type: str = "qemu"
    machine_type: str = "pc"
    arch: str = "x86_64"
    cpu_mode: str = ""
    cpu_model: str = ""
    cpu_features: tuple[str, ...] = ()
    dedicated_cpus: frozenset[int] = frozenset()
    shared_cpus: frozenset[int] = frozenset()
    floating_cpus: frozenset[int] = frozenset()
    disk_cache: str = "writeback"
    disk_caches: Mapping[str, str] = field(default_factory=dict)
    disk_discard: bool = True
    pcie_ports: int = 0
    vnc_listen: str | None = "127.0.0.1"
    spice_listen: str | None = None
    spice_agent: bool = True
    serial_listen: str | None = None


@dataclass(frozen=True)
class Backing:
    """The file that an overlay stands on, which stands alone itself. `format` raw or qcow2."""

    path: str
    format: str


@dataclass(frozen=True)
class DiskSpec:
    """A disk. `role` is root, ephemeral, swap, rescue, config or volume; `format` raw or qcow2.

    `kind`: `path` is a file, a block device, a file that other hosts see too (share), or the name
    of an image in the `network`. `backing` is what it is an overlay of; None for a disk that stands
    alone, unless `format` is qcow2: then the hypervisor reads from the file what it stands on.

    What is None is left to the guest's hardware (`bus`), to the disks beside it (`name`, such as
    vdb; taken only where it is free), to the platform (`discard`) or the flavor (`limits`).
    `boot_index`: lower ones are tried first, None never is. `serial` lets a guest tell its volumes.
    """

    path: str
    format: str
    role: str
    backing: Backing | None = None
    kind: str = "file"
    network: NetworkSource | None = None
    device: str = "disk"
    bus: str | None = None
    name: str | None = None
    boot_index: int | None = None
    serial: str | None = None
    read_only: bool = False
    shared: bool = False
    discard: bool | None = None
    limits: Mapping[str, int] | None = None


@dataclass(frozen=True)
class SharedFolder:
    """A folder of the host that the guest mounts by its `tag`, shown to it by `program`."""

    path: str
    tag: str
    program: str


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


# Among pins, what is no CPU of the guest: the hypervisor's own threads.
EMULATOR = -1


@dataclass(frozen=True)
class Processor:
    """The guest's CPUs. Those in `dedicated` get a host CPU each, which `pins` says; others float.

    `emulator` is where the hypervisor's own threads run beside pinned CPUs: on these, on a host CPU
    of their own (isolate, to which EMULATOR is pinned), or on the shared ones (share).
    `pmu` None: as the hypervisor does it.
    """

    topology: CpuTopology
    nodes: tuple[NumaNode, ...] = ()
    dedicated: frozenset[int] = frozenset()
    pins: Mapping[int, int] = field(default_factory=dict)
    emulator: str = ""
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
    """All that a definition is made of. `console_log` is the file of the serial port's output.

    `serial_port` is the TCP port on which the serial port listens; None: it does not.
    `nvram` is the file of the firmware's variables, for guests that have such; None: libvirt's own.
    """

    instance: Instance
    platform: Platform
    hardware: Hardware
    disks: tuple[DiskSpec, ...]
    vifs: tuple[VirtualInterface, ...]
    console_log: str
    serial_port: int | None = None
    config_drive_format: str = "iso9660"
    nvram: str | None = None
    folders: tuple[SharedFolder, ...] = ()
