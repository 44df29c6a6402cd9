# SPDX-License-Identifier: Apache-2.0
"""[companion]: the stand-alone identity, image, network, block storage and share services."""

from oslo_config import cfg

GROUP = "companion"

OPTS = [
    cfg.HostAddressOpt("host", default="127.0.0.1", help="Address to listen on."),
    cfg.PortOpt("port", default=5000, help="Port to listen on, for all services."),
    cfg.IntOpt("threads", default=8, min=1, max=64, help="Requests answered at the same time."),
    cfg.URIOpt(
        "public_url",
        default="http://127.0.0.1:5000",
        schemes=["http", "https"],
        help="URL under which clients reach the companion; goes into links and the catalogue. "
        "Change it, and run bootstrap again, when they do not run on this machine.",
    ),
    cfg.URIOpt(
        "compute_url",
        default="http://127.0.0.1:8774/v2.1",
        schemes=["http", "https"],
        help="URL of the Compute API for the catalogue.",
    ),
    cfg.StrOpt("region", default="RegionOne", help="Name of the one region."),
    cfg.StrOpt(
        "data_path",
        default="",
        help="Folder for the store, images, volumes and shares; empty: `companion` below "
        "state_path. A file system with reflinks (XFS, btrfs) makes snapshots and copies of "
        "volumes at once, also of volumes in use.",
    ),
    cfg.StrOpt(
        "run_path",
        default="/run/kilonova/companion",
        help="Folder for files that dnsmasq reads. An ordinary user must be able to enter it.",
    ),
    cfg.IntOpt(
        "token_lifetime_s",
        default=14400,
        min=60,
        max=86400 * 7,
        help="Seconds for which a token is good. Shorter limits what a stolen one is worth.",
    ),
    cfg.IntOpt(
        "password_cost",
        default=9,
        min=4,
        max=16,
        help="Cost of bcrypt: each step doubles the time of a password check (9: about 30 ms). "
        "Raise it where users choose their passwords.",
    ),
    cfg.StrOpt(
        "admin_password",
        secret=True,
        default="",
        help="Password that bootstrap gives user admin; empty: KILONOVA_ADMIN_PASSWORD.",
    ),
    cfg.StrOpt(
        "service_password",
        secret=True,
        default="",
        help="Password of user kilonova, as which the daemons log in; empty: "
        "KILONOVA_SERVICE_PASSWORD.",
    ),
    cfg.StrOpt(
        "demo_password",
        secret=True,
        default="",
        help="Password that bootstrap gives user demo; empty: KILONOVA_DEMO_PASSWORD.",
    ),
    cfg.IntOpt(
        "max_image_mib",
        default=1 << 20,
        min=1,
        help="Largest image in MiB; a larger upload is refused.",
    ),
    cfg.IntOpt(
        "network_mtu",
        default=1500,
        min=576,
        max=9216,
        help="MTU of new networks in bytes. Lower it when the way outside carries less.",
    ),
    cfg.BoolOpt(
        "data_plane",
        default=True,
        help="Whether networks are made real with bridges, nftables and dnsmasq, which needs root. "
        "Without, they are only stored: enough for hosts that are not real.",
    ),
    cfg.BoolOpt(
        "tell_compute",
        default=True,
        help="Whether the compute service in the catalogue is told what happens to the ports and "
        "volumes of its instances. Without, it learns of changes of ports when it looks by itself, "
        "and servers do not see that a volume grew.",
    ),
    cfg.BoolOpt(
        "plugs_ports",
        default=True,
        help="Whether ports are ACTIVE as soon as they are bound to a host. Without, they stay "
        "DOWN, as with a network service whose agents do nothing, and an administrator says by "
        "external events that one is plugged: for trying how servers wait for that.",
    ),
    cfg.IntOpt(
        "quota_volumes",
        default=10,
        min=-1,
        help="Volumes that a project may have unless an administrator gave it another quota; -1: "
        "as many as it likes.",
    ),
    cfg.IntOpt(
        "quota_gigabytes",
        default=1000,
        min=-1,
        help="GiB that a project's volumes and snapshots may have together. Volumes take room only "
        "for what is written to them, so this may promise more than there is.",
    ),
    cfg.IntOpt(
        "quota_snapshots",
        default=10,
        min=-1,
        help="Snapshots of volumes that a project may have.",
    ),
    cfg.IntOpt(
        "max_volume_gib",
        default=-1,
        min=-1,
        help="Largest volume in GiB; -1: no limit but the quota and the file system (16384 on "
        "ext4).",
    ),
    cfg.IntOpt(
        "volume_workers",
        default=2,
        min=1,
        max=32,
        help="Volumes that are copied or converted at the same time. More finish sooner only where "
        "the disk is faster than one processor.",
    ),
    cfg.StrOpt(
        "default_volume_type",
        default="__DEFAULT__",
        help="Type of volumes when a request names none; made when it is missing.",
    ),
    cfg.HostAddressOpt(
        "nfs_server",
        default="127.0.0.1",
        help="Address at which hosts reach the NFS server that exports `shares` of data_path.",
    ),
    cfg.StrOpt(
        "export_command",
        default="",
        help="Command that makes the NFS server read `shares/exports` of data_path again, such as "
        "`exportfs -ra`. It runs whenever somebody is let in to a share, or out; empty: "
        "something else sees to that.",
    ),
    cfg.IntOpt(
        "quota_shares", default=50, min=-1, help="Shares that a project may have; -1: no limit."
    ),
    cfg.StrOpt(
        "network_namespace",
        default="",
        help="Network namespace for bridges, rules and dnsmasq, made when missing; empty: the "
        "daemon's own. Must be the one in which the hypervisor makes its taps.",
    ),
    cfg.ListOpt(
        "plane_hosts",
        default=[],
        help="Names of the compute hosts whose guests live on these bridges; empty: this host.",
    ),
    cfg.PortOpt(
        "metadata_port",
        default=8775,
        help="Port of the metadata service, where requests to 169.254.169.254 are sent.",
    ),
    cfg.ListOpt(
        "dns_servers",
        default=[],
        help="Name servers for guests of subnets that name none.",
    ),
]
