# SPDX-License-Identifier: Apache-2.0
"""[compute]: what a compute host offers, and the pace at which it reports."""

from oslo_config import cfg, types

GROUP = "compute"

OPTS = [
    cfg.StrOpt(
        "driver",
        default="libvirt",
        choices=["libvirt", "fake"],
        help="Hypervisor driver. `fake` keeps guests in memory, for tests of scale.",
    ),
    cfg.HostAddressOpt("health_host", default="127.0.0.1", help="Address of GET /healthz."),
    cfg.PortOpt("health_port", default=8783, help="Port of GET /healthz; 0 turns it off."),
    cfg.HostAddressOpt(
        "host_ip", default="127.0.0.1", help="This host's address, as operators see it."
    ),
    cfg.ListOpt(
        "traits",
        item_type=types.String(regex=r"^[A-Z0-9_]{1,255}$"),
        default=[],
        help="Traits of this host beside those that its driver finds, such as CUSTOM_SSD: flavors "
        "and images require (trait:CUSTOM_SSD=required) or forbid them.",
    ),
    cfg.IntOpt(
        "operation_threads",
        default=16,
        min=1,
        max=256,
        help="Operations of different instances that run at the same time. Raise it when "
        "guests that are slow to shut down keep others waiting.",
    ),
    cfg.IntOpt(
        "reserved_vcpus", default=0, min=0, help="CPUs that are kept back for the host itself."
    ),
    cfg.IntOpt(
        "reserved_memory_mib",
        default=512,
        min=0,
        help="MiB of memory that are kept back for the host itself.",
    ),
    cfg.IntOpt(
        "reserved_disk_gib",
        default=0,
        min=0,
        help="GiB of disk that are kept back for the host itself, such as for cached images.",
    ),
    cfg.FloatOpt(
        "cpu_ratio",
        default=4.0,
        min=0.1,
        max=256.0,
        help="vCPUs that may be given out for each CPU of the host.",
    ),
    cfg.FloatOpt(
        "memory_ratio",
        default=1.0,
        min=0.1,
        max=16.0,
        help="Memory that may be given out for each byte of the host. Above 1 guests may swap.",
    ),
    cfg.FloatOpt(
        "disk_ratio",
        default=1.0,
        min=0.1,
        max=256.0,
        help="Disk that may be given out for each byte of the host. Above 1 disks may fill up.",
    ),
    cfg.IntOpt(
        "report_interval_s",
        default=300,
        min=5,
        max=86400,
        help="Seconds between full reports of what the host has, when nothing changes.",
    ),
    cfg.IntOpt(
        "pending_interval_s",
        default=30,
        min=1,
        max=3600,
        help="Seconds between questions for operations whose message got lost.",
    ),
    cfg.IntOpt(
        "power_sync_interval_s",
        default=600,
        min=5,
        max=86400,
        help="Seconds between sweeps over the guests for power states that no event told.",
    ),
    cfg.BoolOpt(
        "resume_guests_state_on_host_boot",
        default=False,
        help="After the host has booted, start those guests that ran when it went down. Otherwise "
        "they are shown as what they are: shut off.",
    ),
    cfg.StrOpt(
        "config_drive_format",
        default="iso9660",
        choices=["iso9660", "vfat"],
        help="Format of config drives.",
    ),
    cfg.BoolOpt(
        "force_config_drive",
        default=False,
        help="Give every new guest a config drive. For networks without a metadata service.",
    ),
    cfg.IntOpt(
        "image_keep_s",
        default=86400,
        min=0,
        max=31536000,
        help="Seconds for which a cached image that no guest uses is kept; 0 keeps it for ever.",
    ),
    cfg.IntOpt(
        "image_download_limit_gib",
        default=100,
        min=1,
        help="Largest image that is downloaded, whatever the image service says of its size.",
    ),
]
