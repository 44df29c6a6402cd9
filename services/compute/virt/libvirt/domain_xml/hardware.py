# SPDX-License-Identifier: Apache-2.0
"""Which hardware a guest gets: wishes of its flavor and image, checked, and defaults that work.

Names, values and meaning are those of the Compute service's documented extra specs and image
properties. What this host cannot give is refused by name, not overlooked.
"""

from common.guest_hardware.topology import (
    choose_nodes,
    choose_topology,
    dedicated_cpus,
    memory_pages,
)
from common.guest_hardware.wishes import Wishes
from common.objects.instance import Instance
from services.compute.virt.libvirt.domain_xml.spec import (
    Firmware,
    Hardware,
    Limits,
    Memory,
    Platform,
    Processor,
    Rng,
    Tpm,
)

_DISK_BUSES = ("virtio", "scsi", "ide", "sata", "usb")
_VIF_MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "ne2k_pci", "pcnet", "vmxnet3")
_VIDEO_MODELS = ("vga", "cirrus", "virtio", "bochs", "qxl", "vmvga", "none")
_SCSI_MODELS = ("virtio-scsi", "lsilogic", "lsisas1068", "lsisas1078")
_SOUND_MODELS = ("none", "sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb")
_WATCHDOG_ACTIONS = ("none", "pause", "poweroff", "reset", "disabled")
# Wishes whose absence a guest would notice, with the values that ask for nothing special.
_UNSUPPORTED = (
    ("hw:mem_encryption", "hw_mem_encryption", ("false",)),
    ("hw:ephemeral_encryption", "hw_ephemeral_encryption", ("false",)),
    ("hw:redirected_usb_ports", "hw_redirected_usb_ports", ("0",)),
    ("hw:pmem", "", ()),
    ("hw:cpu_realtime", "", ("false", "no", "0")),
)
# The kernel's tap devices have no more.
_MOST_QUEUES = 256
# QEMU's default CPU under emulation hangs in secure firmware.
_SECURE_BOOT_CPU = "Nehalem"


def choose_hardware(instance: Instance, platform: Platform) -> Hardware:
    """The hardware for a guest of this flavor and image. Raises: ImageUnacceptable."""
    wishes = Wishes(instance)
    for spec, image, fine in _UNSUPPORTED:
        value = wishes.text(spec, image)
        if value is not None and value.lower() not in fine:
            wishes.refuse(f"this host cannot provide {image or spec}={value}")
    firmware = _firmware(wishes)
    machine = wishes.of_image("hw_machine_type") or (
        "q35" if firmware.secure_boot else platform.machine_type
    )
    is_q35 = "q35" in machine
    if firmware.secure_boot and not is_q35:
        wishes.refuse(f"secure boot needs a q35 machine, not hw_machine_type={machine}")
    # An emulated q35 has no IDE, and small kernels lack the driver of its SATA: use SCSI there.
    disk_buses = tuple(b for b in _DISK_BUSES if not (is_q35 and b == "ide"))
    vif_model = wishes.one_of("", "hw_vif_model", _VIF_MODELS, "virtio")
    return Hardware(
        machine_type=machine,
        processor=_processor(wishes, instance, platform, firmware),
        memory=_memory(wishes),
        firmware=firmware,
        limits=_limits(wishes),
        disk_bus=wishes.one_of("", "hw_disk_bus", disk_buses, "virtio"),
        cdrom_bus=wishes.one_of("", "hw_cdrom_bus", disk_buses, "scsi" if is_q35 else "ide"),
        scsi_model=wishes.one_of("", "hw_scsi_model", _SCSI_MODELS, "virtio-scsi"),
        vif_model=vif_model,
        vif_queues=_queues(wishes, vif_model, instance.flavor.vcpus),
        packed_ring=wishes.is_on("hw:virtio_packed_ring", "hw_virtio_packed_ring"),
        video=wishes.one_of("", "hw_video_model", _VIDEO_MODELS, "vga"),
        video_ram_mib=wishes.bounded("hw_video:ram_max_mb", "hw_video_ram", default_most=0),
        rng=_rng(wishes),
        tpm=_tpm(wishes),
        watchdog=_watchdog(wishes),
        agent=wishes.is_on("", "hw_qemu_guest_agent", default=True),
        pointer=_pointer(wishes),
        serial_ports=_serial_ports(wishes),
        sound=_named(wishes, "hw:sound_model", "hw_sound_model", _SOUND_MODELS),
        usb=_usb(wishes),
        iommu=_iommu(wishes, is_q35=is_q35),
        hpet=wishes.is_on("", "hw_time_hpet"),
        is_windows=wishes.of_image("os_type") == "windows",
    )


def _firmware(wishes: Wishes) -> Firmware:
    kind = wishes.one_of("", "hw_firmware_type", ("bios", "uefi"), "bios")
    by_image = wishes.one_of("", "os_secure_boot", ("disabled", "optional", "required"), "disabled")
    by_flavor = wishes.one_of("os:secure_boot", "", ("disabled", "required"), "disabled")
    if by_image == "required" and wishes.of_flavor("os:secure_boot") == "disabled":
        wishes.refuse("os_secure_boot=required, and the flavor's os:secure_boot=disabled")
    is_required = "required" in (by_image, by_flavor)
    if is_required and kind != "uefi":
        wishes.refuse("secure boot needs hw_firmware_type=uefi")
    return Firmware(
        kind=kind,
        secure_boot=is_required,
        stateless=kind == "uefi" and wishes.is_on("", "hw_firmware_stateless"),
        boot_menu=wishes.is_on("hw:boot_menu", "hw_boot_menu"),
    )


def _processor(
    wishes: Wishes, instance: Instance, platform: Platform, firmware: Firmware
) -> Processor:
    flavor = instance.flavor
    emulated_and_secure = platform.virt_type == "qemu" and firmware.secure_boot
    bits = wishes.text("hw:maxphysaddr_bits", "hw_maxphysaddr_bits")
    mode = _named(
        wishes, "hw:maxphysaddr_mode", "hw_maxphysaddr_mode", ("none", "emulate", "passthrough")
    )
    if bits is not None and not bits.isdecimal():
        wishes.refuse(f"hw_maxphysaddr_bits={bits} is no number")
    return Processor(
        topology=choose_topology(wishes, flavor.vcpus),
        nodes=choose_nodes(wishes, flavor.vcpus, flavor.memory_mib),
        dedicated=_dedicated(wishes, flavor.vcpus, platform),
        emulator=_emulator(wishes, platform),
        model=platform.cpu_model or (_SECURE_BOOT_CPU if emulated_and_secure else ""),
        hide_hypervisor=wishes.is_on("hw:hide_hypervisor_id", "img_hide_hypervisor_id")
        or wishes.is_on("hide_hypervisor_id"),
        pmu=wishes.switch("hw:pmu", "hw_pmu"),
        physical_address_bits=int(bits) if bits else None,
        physical_address_mode=mode,
    )


def _dedicated(wishes: Wishes, vcpus: int, platform: Platform) -> frozenset[int]:
    wanted = dedicated_cpus(wishes, vcpus)
    if wanted and not platform.dedicated_cpus:
        policy = wishes.text("hw:cpu_policy", "hw_cpu_policy")
        wishes.refuse(f"this host has no dedicated CPUs for hw_cpu_policy={policy}")
    return wanted


def _emulator(wishes: Wishes, platform: Platform) -> str:
    known = ("share", "isolate")
    policy = wishes.of_flavor("hw:emulator_threads_policy")
    if policy is None:
        return ""
    policy = wishes.one_of("hw:emulator_threads_policy", "", known, "share")
    if wishes.text("hw:cpu_policy", "hw_cpu_policy") not in ("dedicated", "mixed"):
        wishes.refuse("hw:emulator_threads_policy needs hw:cpu_policy=dedicated")
    return "" if policy == "share" and not platform.shared_cpus else policy


def _memory(wishes: Wishes) -> Memory:
    pages_kib, locked = memory_pages(wishes)
    return Memory(page_kib=pages_kib, locked=locked)


def _limits(wishes: Wishes) -> Limits:
    def found(names: dict[str, str]) -> dict[str, int]:
        values = {ours: wishes.number(wishes.specs, f"quota:{spec}", least=-1)
                  for ours, spec in names.items()}  # fmt: skip
        return {name: value for name, value in values.items() if value is not None}

    directions = ("total", "read", "write")
    disk = {f"{d}_bytes_sec": f"disk_{d}_bytes_sec" for d in directions}
    disk |= {f"{d}_iops_sec": f"disk_{d}_iops_sec" for d in directions}
    vif = ("average", "peak", "burst")
    return Limits(
        cpu=found({"shares": "cpu_shares", "period": "cpu_period", "quota": "cpu_quota"}),
        disk=found(disk),
        inbound=found({name: f"vif_inbound_{name}" for name in vif}),
        outbound=found({name: f"vif_outbound_{name}" for name in vif}),
    )


def _queues(wishes: Wishes, vif_model: str, vcpus: int) -> int:
    wanted = wishes.is_on("hw:vif_multiqueue_enabled", "hw_vif_multiqueue_enabled")
    return min(vcpus, _MOST_QUEUES) if wanted and vif_model == "virtio" else 1


def _rng(wishes: Wishes) -> Rng | None:
    if not wishes.is_on("hw_rng:allowed", default=True):
        return None
    wishes.one_of("", "hw_rng_model", ("virtio",), "virtio")
    count = wishes.number(wishes.specs, "hw_rng:rate_bytes") or 0
    return Rng(count, (wishes.number(wishes.specs, "hw_rng:rate_period") or 1000) if count else 0)


def _tpm(wishes: Wishes) -> Tpm | None:
    version = wishes.text("hw:tpm_version", "hw_tpm_version")
    model = wishes.one_of("hw:tpm_model", "hw_tpm_model", ("tpm-tis", "tpm-crb"), "tpm-tis")
    if version is None:
        if wishes.text("hw:tpm_model", "hw_tpm_model"):
            wishes.refuse("hw:tpm_model needs hw:tpm_version")
        return None
    if version not in ("1.2", "2.0"):
        wishes.refuse(f"hw:tpm_version={version} is not supported; 1.2 and 2.0 are")
    if model == "tpm-crb" and version == "1.2":
        wishes.refuse("hw:tpm_model=tpm-crb needs hw:tpm_version=2.0")
    return Tpm(model, version)


def _watchdog(wishes: Wishes) -> str | None:
    # Here the image goes before the flavor: its owner knows what the guest can live with.
    asked = wishes.of_image("hw_watchdog_action") or wishes.of_flavor("hw:watchdog_action")
    if asked is None:
        return None
    action = asked.lower()
    if action not in _WATCHDOG_ACTIONS:
        wishes.refuse(f"hw_watchdog_action={action} is not supported")
    return None if action == "disabled" else action


def _pointer(wishes: Wishes) -> str | None:
    bus = wishes.of_image("hw_input_bus")
    if bus is not None:
        return wishes.one_of("", "hw_input_bus", ("usb", "virtio"), "usb")
    return "usb" if wishes.of_image("hw_pointer_model") == "usbtablet" else None


def _serial_ports(wishes: Wishes) -> int:
    spec = "hw:serial_port_count"
    by_image = wishes.bounded(spec, "hw_serial_port_count")
    by_flavor = wishes.number(wishes.specs, spec)
    found = by_image if by_image is not None else by_flavor
    # The first port is the console log: a guest always has it.
    return max(1, found or 0)


def _named(wishes: Wishes, spec: str, image: str, known: tuple[str, ...]) -> str | None:
    """A word out of `known`, whose first stands for silence."""
    found = wishes.one_of(spec, image, known, known[0])
    return None if found == known[0] else found


def _usb(wishes: Wishes) -> str | None:
    if wishes.text("hw:usb_model", "hw_usb_model") is None:
        return None
    return wishes.one_of("hw:usb_model", "hw_usb_model", ("none", "nec-xhci", "qemu-xhci"), "none")


def _iommu(wishes: Wishes, *, is_q35: bool) -> str | None:
    model = _named(
        wishes, "hw:viommu_model", "hw_viommu_model", ("none", "auto", "intel", "virtio")
    )
    if model is not None and not is_q35:
        wishes.refuse(f"hw_viommu_model={model} needs hw_machine_type=q35")
    return "intel" if model == "auto" else model
