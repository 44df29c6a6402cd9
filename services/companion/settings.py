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
class Settings:
    """Everything the HTTP application needs. `plane` None: networks are only stored.

    `tell_compute`: whether the compute service is told what happens to its ports.
    """

    data_path: Path
    public_url: str = ""
    token_lifetime_s: int = 3600
    password_cost: int = 9
    max_image_bytes: int = 1 << 40
    network_mtu: int = 1500
    plane: PlaneSettings | None = None
    tell_compute: bool = False


@dataclass(frozen=True)
class Bootstrap:
    """What `bootstrap` puts into an empty store, or restores in a used one."""

    passwords: Passwords
    region: str = "RegionOne"
    endpoints: dict[str, str] = field(default_factory=dict)
