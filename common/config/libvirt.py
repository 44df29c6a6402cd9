# SPDX-License-Identifier: Apache-2.0
"""[libvirt]: the hypervisor of a compute host."""

from oslo_config import cfg, types

GROUP = "libvirt"

_CACHE_MODES = ("none", "writeback", "writethrough", "unsafe", "directsync")
_CACHE_MODE_OF_KIND = rf"^(block|share|network)=({'|'.join(_CACHE_MODES)})$"

OPTS = [
    cfg.StrOpt(
        "connection_uri",
        default="",
        help="libvirt's URI of this host; empty: lxc:///system with virt_type lxc, qemu:///system "
        "otherwise.",
    ),
    cfg.StrOpt(
        "virt_type",
        default="auto",
        choices=["auto", "kvm", "qemu", "lxc"],
        help="`kvm`, `qemu` (emulated CPUs, slow) or `lxc` (containers, which share the host's "
        "kernel: only for users who are trusted). `auto` starts a tiny guest once after each boot "
        "of the host and takes kvm if that guest really runs.",
    ),
    cfg.StrOpt(
        "machine_type",
        default="pc",
        help="Machine of guests whose image has no hw_machine_type, such as pc or q35.",
    ),
    cfg.StrOpt(
        "cpu_mode",
        default="",
        choices=["", "host-model", "host-passthrough", "maximum"],
        help="CPU of guests where no cpu_model is named: like the host's, the host's itself (such "
        "guests move alive to equal hosts only), or all that the hypervisor can do. Empty: "
        "host-model with kvm, QEMU's default otherwise.",
    ),
    cfg.StrOpt(
        "cpu_model",
        default="",
        help="CPU model of guests; empty: as cpu_mode says.",
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
        "themselves; other guests run on the others. Empty: this host runs no such guests.",
    ),
    cfg.StrOpt(
        "cpu_shared_set",
        default="",
        regex=r"^(\^?\d+(-\d+)?(,\^?\d+(-\d+)?)*)?$",
        help="Host CPUs on which guests without dedicated CPUs run (empty: on all that are not "
        "dedicated), and QEMU's own threads for guests with hw:emulator_threads_policy=share "
        "(empty: on the guests' dedicated ones).",
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
        choices=_CACHE_MODES,
        help="Cache mode of disks that are files of this host. `none` makes BIOS boots slow; "
        "`unsafe` is for tests only.",
    ),
    cfg.ListOpt(
        "disk_cachemodes",
        item_type=types.String(regex=_CACHE_MODE_OF_KIND),
        default=[],
        help="Cache modes of other kinds of disks than files of this host, such as "
        "`block=none,network=writeback`: `block` devices, files on a `share`, and images that QEMU "
        "reaches by `network`. Unless said: none, none and writeback; volumes that several "
        "guests have are never cached.",
    ),
    cfg.BoolOpt(
        "disk_discard",
        default=True,
        help="Give space that guests discard on disks of this host back to its file system. For "
        "volumes, the volume service says.",
    ),
    cfg.BoolOpt(
        "preallocate_disks",
        default=False,
        help="Take the whole space of a disk of this host when it is made: slower, but a guest "
        "never runs into a full file system.",
    ),
    cfg.IntOpt(
        "pcie_ports",
        default=16,
        min=0,
        max=28,
        help="PCI Express ports of q35 guests, which have no PCI slots: as many disks and "
        "interfaces can be there in all, those that are attached later included. 0: libvirt's "
        "choice, which leaves one or none free.",
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
    cfg.IntOpt(
        "unplug_timeout_s",
        default=60,
        min=1,
        max=150,
        help="Seconds a running guest gets to let go of a device that is detached.",
    ),
    cfg.IntOpt(
        "agent_timeout_s",
        default=30,
        min=1,
        max=45,
        help="Seconds a guest's agent gets to answer. More where guests take long to write out "
        "what they hold back when their file systems are frozen for a snapshot.",
    ),
    cfg.StrOpt(
        "migration_uri",
        default="qemu+tls://{host}/system",
        help="libvirt's URI of another host, whose name takes the place of {host}. Guests move by "
        "this way, and their disks are fetched: hosts have certificates for one another, or a "
        "network of their own for qemu+tcp.",
    ),
    cfg.BoolOpt(
        "migration_tls",
        default=True,
        help="Encrypt memory and disks of guests that move while they run, with QEMU's own "
        "certificates. Turn it off only in a network of the hosts' own.",
    ),
    cfg.StrOpt(
        "migration_address",
        default="",
        help="Address at which this host takes in guests that move while they run; empty: what "
        "libvirt takes for its own.",
    ),
    cfg.IntOpt(
        "migration_bandwidth_mib_s",
        default=0,
        min=0,
        max=1048576,
        help="MiB a second that a guest may take that moves while it runs; 0: no limit.",
    ),
    cfg.IntOpt(
        "migration_timeout_s",
        default=800,
        min=0,
        max=86400,
        help="Seconds a running guest may take to move, for each GiB of its memory and of the "
        "disks that are copied; 0: as long as [conductor] live_migration_timeout_s.",
    ),
    cfg.StrOpt(
        "migration_timeout_action",
        default="abort",
        choices=["abort", "force_complete"],
        help="What happens then: the guest stays, or it stands still until the rest has followed.",
    ),
    cfg.BoolOpt(
        "migration_auto_converge",
        default=False,
        help="Slow down guests that change their memory faster than it can be copied.",
    ),
    cfg.BoolOpt(
        "migration_post_copy",
        default=False,
        help="Have guests that are hurried go on on the new host at once, with memory that "
        "follows. A failure meanwhile loses such a guest.",
    ),
]
