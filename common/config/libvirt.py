# SPDX-License-Identifier: Apache-2.0
"""[libvirt]: the hypervisor of a compute host."""

from oslo_config import cfg

GROUP = "libvirt"

OPTS = [
    cfg.StrOpt("connection_uri", default="qemu:///system", help="libvirt's URI of this host."),
    cfg.StrOpt(
        "virt_type",
        default="auto",
        choices=["auto", "kvm", "qemu"],
        help="`kvm` or `qemu` (emulated CPUs, slow). `auto` starts a tiny guest once after each "
        "boot of the host and takes kvm if that guest really runs.",
    ),
    cfg.StrOpt(
        "machine_type",
        default="pc",
        help="Machine of guests whose image has no hw_machine_type, such as pc or q35.",
    ),
    cfg.StrOpt(
        "cpu_model",
        default="",
        help="CPU model of guests; empty: the host's with kvm, QEMU's default otherwise.",
    ),
    cfg.ListOpt(
        "cpu_features",
        default=[],
        help="CPU features that guests get beside those of the model, such as vmx.",
    ),
    cfg.StrOpt(
        "cpu_dedicated_set",
        default="",
        regex=r"^(\^?\d+(-\d+)?(,\^?\d+(-\d+)?)*)?$",
        help="Host CPUs, such as 4-15, that guests with hw:cpu_policy=dedicated get for "
        "themselves. Empty: this host runs no such guests.",
    ),
    cfg.StrOpt(
        "disk_format",
        default="qcow2",
        choices=["qcow2", "raw"],
        help="qcow2: a disk is an overlay on the cached image, made at once. raw: a copy of its "
        "own, slower to make, faster to use.",
    ),
    cfg.StrOpt(
        "disk_cache",
        default="writeback",
        choices=["none", "writeback", "writethrough", "unsafe", "directsync"],
        help="Cache mode of disks. `none` makes BIOS boots slow; `unsafe` is for tests only.",
    ),
    cfg.IntOpt(
        "soft_reboot_timeout_s",
        default=120,
        min=1,
        max=3600,
        help="Seconds a guest gets to shut down at a soft reboot before it becomes a hard one.",
    ),
    cfg.IntOpt(
        "bridge_wait_s",
        default=10,
        min=0,
        max=600,
        help="Seconds to wait for a bridge that the network service is still making.",
    ),
    cfg.BoolOpt("vnc_enabled", default=True, help="Give guests a VNC display."),
    cfg.HostAddressOpt("vnc_listen", default="127.0.0.1", help="Where VNC displays listen."),
]
