# SPDX-License-Identifier: Apache-2.0
"""What the companion is told: plain values, so that tests build it without a configuration."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class PlaneSettings:
    """The Linux networking under the Network API.

    `namespace` empty: the network namespace of this process. `hosts`: names of the hosts whose
    guests live in it; ports bound elsewhere are left to others.
    """

    run_path: Path
    hosts: frozenset[str]
    namespace: str = ""
    metadata_port: int = 8775
    dns_servers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Passwords:
    """Passwords of the users that `bootstrap` makes."""

    admin: str
    service: str
    demo: str


@dataclass(frozen=True)
class VolumeSettings:
    """Limits of volumes, in GiB where they are sizes; -1 is unlimited.

    `host`: the name under which storage shows to administrators. `workers`: how many volumes are
    copied or converted at the same time.
    """

    host: str = "companion"
    quota_volumes: int = 10
    quota_gigabytes: int = 1000
    quota_snapshots: int = 10
    max_volume_gib: int = -1
    default_type: str = "__DEFAULT__"
    workers: int = 2


@dataclass(frozen=True)
class ShareSettings:
    """Where hosts reach shares, and how the NFS server is told who may; -1 is unlimited."""

    nfs_server: str = "127.0.0.1"
    export_command: tuple[str, ...] = ()
    quota_shares: int = 50


@dataclass(frozen=True)
class Settings:
    """Everything the HTTP application needs. `plane` None: networks are only stored.

    `tell_compute`: whether the compute service is told what happens to its ports and volumes.
    `plugs_ports`: whether ports are plugged once they are bound.
    """

    data_path: Path
    public_url: str = ""
    token_lifetime_s: int = 3600
    password_cost: int = 9
    max_image_bytes: int = 1 << 40
    network_mtu: int = 1500
    volumes: VolumeSettings = VolumeSettings()
    shares: ShareSettings = ShareSettings()
    plane: PlaneSettings | None = None
    tell_compute: bool = False
    plugs_ports: bool = True


@dataclass(frozen=True)
class Bootstrap:
    """What `bootstrap` puts into an empty store, or restores in a used one."""

    passwords: Passwords
    region: str = "RegionOne"
    endpoints: dict[str, str] = field(default_factory=dict)
