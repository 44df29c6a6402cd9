# SPDX-License-Identifier: Apache-2.0
"""Settings: how this host runs guests."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.console import ConsoleKind
from services.compute.virt.libvirt.consoles import KINDS
from services.compute.virt.libvirt.domain_xml.spec import Platform


@dataclass(frozen=True)
class MigrationSettings:
    """How guests move to other hosts.

    `uri` is a host's libvirt, with its name for `{host}`. `tls`: memory and disks of running guests
    are encrypted on their way. `address` is where this host takes them in; empty: libvirt's choice.
    `bandwidth_mib_s` 0: no limit. `timeout_s` holds for each GiB that moves, 0 for ever;
    then `timeout_action`: abort, or force_complete.
    """

    uri: str = "qemu+tls://{host}/system"
    tls: bool = True
    address: str = ""
    bandwidth_mib_s: int = 0
    timeout_s: int = 800
    timeout_action: str = "abort"
    auto_converge: bool = False
    post_copy: bool = False


@dataclass(frozen=True)
class Settings:
    """How this host runs guests. `virt_type` may be `auto`; seconds where the name ends in _s.

    `consoles_at` is where the console daemon reaches consoles of each kind.
    """

    host: str
    connection_uri: str
    state_folder: Path
    instances: Path
    virt_type: str = "auto"
    platform: Platform = dataclasses.field(default_factory=Platform)
    disk_format: str = "qcow2"
    preallocate_disks: bool = False
    config_drive_format: str = "iso9660"
    force_config_drive: bool = False
    soft_reboot_timeout_s: int = 120
    bridge_wait_s: int = 10
    unplug_timeout_s: int = 60
    agent_timeout_s: int = 30
    image_keep_s: int = 86400
    serial_ports: tuple[int, int] = (10000, 20000)
    consoles_at: Mapping[ConsoleKind, str] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(KINDS, "127.0.0.1")
    )
    migration: MigrationSettings = dataclasses.field(default_factory=MigrationSettings)
    share_mount_options: str = ""
    tree: TreeSettings = dataclasses.field(default_factory=TreeSettings)
