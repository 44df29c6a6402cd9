# SPDX-License-Identifier: Apache-2.0
"""Image properties that take one of a few words, or a whole number.

Architectures, hypervisors and machine modes have more spellings than a table holds: the scheduler
reads those.
"""

from collections.abc import Mapping

_BUSES = ("fdc", "ide", "lxc", "sata", "scsi", "uml", "usb", "virtio", "xen")

WORDS: Mapping[str, tuple[str, ...]] = {
    "hw_cdrom_bus": _BUSES,
    "hw_cpu_policy": ("dedicated", "mixed", "shared"),
    "hw_cpu_thread_policy": ("isolate", "prefer", "require"),
    "hw_disk_bus": _BUSES,
    "hw_ephemeral_encryption_format": ("luks", "luksv2", "plain"),
    "hw_firmware_type": ("bios", "uefi"),
    "hw_floppy_bus": _BUSES,
    "hw_input_bus": ("usb", "virtio"),
    "hw_maxphysaddr_mode": ("emulate", "passthrough"),
    "hw_mem_encryption_model": ("amd-sev", "amd-sev-es", "amd-sev-snp", "intel-tdx"),
    "hw_pci_numa_affinity_policy": ("legacy", "preferred", "required", "socket"),
    "hw_pointer_model": ("usbtablet",),
    "hw_rescue_bus": _BUSES,
    "hw_rescue_device": ("cdrom", "disk", "floppy", "fs", "lun"),
    "hw_rng_model": ("virtio",),
    "hw_scsi_model": (
        "buslogic", "ibmvscsi", "lsilogic", "lsisas1068", "lsisas1078", "virtio-scsi", "vmpvscsi",
    ),
    "hw_sound_model": ("ac97", "es1370", "ich6", "ich9", "pcspk", "sb16", "usb", "virtio"),
    "hw_tpm_model": ("tpm-crb", "tpm-tis"),
    "hw_tpm_version": ("1.2", "2.0"),
    "hw_usb_model": ("nec-xhci", "none", "qemu-xhci"),
    "hw_video_model": (
        "bochs", "cirrus", "gop", "none", "qxl", "vga", "virtio", "vmvga", "xen",
    ),
    "hw_vif_model": (
        "e1000", "e1000e", "igb", "lan9118", "ne2k_pci", "netfront", "pcnet", "rtl8139",
        "spapr-vlan", "sriov", "virtio", "vmxnet", "vmxnet3",
    ),
    "hw_viommu_model": ("auto", "intel", "smmuv3", "virtio"),
    "hw_watchdog_action": ("disabled", "none", "pause", "poweroff", "reset"),
    "img_config_drive": ("mandatory", "optional"),
    "os_secure_boot": ("disabled", "optional", "required"),
    "os_type": ("linux", "windows"),
}  # fmt: skip

NUMBERS = (
    "hw_cpu_cores", "hw_cpu_max_cores", "hw_cpu_max_sockets", "hw_cpu_max_threads",
    "hw_cpu_sockets", "hw_cpu_threads", "hw_maxphysaddr_bits", "hw_numa_nodes",
    "hw_redirected_usb_ports", "hw_serial_port_count", "hw_video_ram",
)  # fmt: skip
