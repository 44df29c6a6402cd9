# SPDX-License-Identifier: Apache-2.0
"""[volume]: how a compute host reaches volumes."""

from oslo_config import cfg

GROUP = "volume"

OPTS = [
    cfg.StrOpt(
        "privileged_helper",
        default="",
        help="Command, such as `sudo /opt/kilonova/bin/privsep-helper`, that os-brick's privileged "
        "half is started with where kilonova-compute is not root. Needed for iSCSI, Fibre "
        "Channel, NVMe-oF and NFS volumes; empty: what needs root is done by the daemon itself.",
    ),
    cfg.BoolOpt(
        "multipath",
        default=False,
        help="Reach volumes by every path that there is. Needs multipathd.",
    ),
    cfg.BoolOpt(
        "enforce_multipath",
        default=False,
        help="Refuse volumes while multipathd does not run, instead of using a single path.",
    ),
    cfg.IntOpt(
        "device_scan_attempts",
        default=5,
        min=1,
        max=60,
        help="How often to look for the device of a volume that was just connected. Raise it for "
        "storage that is slow to show new volumes.",
    ),
    cfg.StrOpt(
        "lock_path",
        default="$state_path/locks",
        help="Folder of os-brick's lock files. Share it with other users of os-brick on this host, "
        "such as cinder-volume.",
    ),
    cfg.StrOpt(
        "mount_path",
        default="$state_path/mnt",
        help="Folder below which NFS shares with volumes are mounted.",
    ),
    cfg.StrOpt(
        "nfs_mount_options",
        default="",
        help="Options of mount(8) for NFS shares, beside those that the volume service gives.",
    ),
    cfg.StrOpt(
        "rbd_user",
        default="",
        help="Ceph user for RBD volumes; empty: the one that the volume service names.",
    ),
    cfg.StrOpt(
        "rbd_secret_uuid",
        default="",
        help="libvirt secret with that user's key; empty: the one that the volume service names.",
    ),
]
