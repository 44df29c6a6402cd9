# SPDX-License-Identifier: Apache-2.0
"""From configuration to a libvirt driver."""

import os
from pathlib import Path
from typing import Any

from oslo_config import cfg

from common.clients.image import ImageClient
from common.clients.session import ServiceSession
from common.clock import SystemClock
from common.guest_hardware.topology import parse_cpus
from common.guest_metadata import vendor_data
from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.console import ConsoleKind
from services.compute.brick import Brick, BrickSettings
from services.compute.images import GIB, ImageCache
from services.compute.virt.libvirt.consoles import parse_range
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.driver import LibvirtDriver
from services.compute.virt.libvirt.lxc.driver import ContainerDriver
from services.compute.virt.libvirt.settings import MigrationSettings, Settings
from services.compute.volume_sources import RbdAccess
from services.compute.volumes import Volumes

# A config drive has a tree for each version: what services say is asked for once.
_ONE_DRIVE_S = 30.0


def make_driver(conf: cfg.ConfigOpts) -> LibvirtDriver:
    """The driver that `[compute]` and `[libvirt]` describe. Raises: ValueError (bad port range)."""
    compute, options, state_path = conf.compute, conf.libvirt, Path(conf.state_path)
    serial, is_lxc = conf.serial_console, conf.libvirt.virt_type == "lxc"
    images = ImageCache(
        state_path / "images",
        ImageClient(ServiceSession(conf)),
        most_bytes=compute.image_download_limit_gib * GIB,
    )
    settings = Settings(
        host=conf.host,
        connection_uri=options.connection_uri or f"{'lxc' if is_lxc else 'qemu'}:///system",
        state_folder=state_path / "compute",
        instances=state_path / "instances",
        virt_type=options.virt_type,
        platform=Platform(
            machine_type=options.machine_type,
            cpu_mode=options.cpu_mode,
            cpu_model=options.cpu_model,
            cpu_features=tuple(options.cpu_features),
            dedicated_cpus=_cpus(options.cpu_dedicated_set),
            shared_cpus=_cpus(options.cpu_shared_set),
            floating_cpus=_floating_cpus(options),
            disk_cache=options.disk_cache,
            disk_caches=dict(mode.split("=", 1) for mode in options.disk_cachemodes),
            disk_discard=options.disk_discard,
            pcie_ports=options.pcie_ports,
            vnc_listen=conf.vnc.server_listen if conf.vnc.enabled else None,
            spice_listen=conf.spice.server_listen if conf.spice.enabled else None,
            spice_agent=conf.spice.agent_enabled,
            serial_listen=serial.proxyclient_address if serial.enabled else None,
        ),
        disk_format=options.disk_format,
        preallocate_disks=options.preallocate_disks,
        config_drive_format=compute.config_drive_format,
        force_config_drive=compute.force_config_drive,
        soft_reboot_timeout_s=options.soft_reboot_timeout_s,
        bridge_wait_s=options.bridge_wait_s,
        unplug_timeout_s=options.unplug_timeout_s,
        agent_timeout_s=options.agent_timeout_s,
        image_keep_s=compute.image_keep_s,
        migration=MigrationSettings(
            uri=options.migration_uri,
            tls=options.migration_tls,
            address=options.migration_address,
            bandwidth_mib_s=options.migration_bandwidth_mib_s,
            timeout_s=options.migration_timeout_s,
            timeout_action=options.migration_timeout_action,
            auto_converge=options.migration_auto_converge,
            post_copy=options.migration_post_copy,
        ),
        share_mount_options=conf.volume.nfs_mount_options,
        tree=tree_settings(conf),
        serial_ports=parse_range(serial.port_range),
        consoles_at={
            ConsoleKind.VNC: conf.vnc.server_proxyclient_address,
            ConsoleKind.SPICE: conf.spice.server_proxyclient_address,
            ConsoleKind.SERIAL: serial.proxyclient_address,
        },
    )
    kind = ContainerDriver if is_lxc else LibvirtDriver
    return kind(settings, images, volumes_of(conf))


def tree_settings(conf: cfg.ConfigOpts) -> TreeSettings:
    """What the deployment adds to config drives. Raises: Invalid (vendor data)."""
    options = conf.metadata
    asking = None
    if options.vendor_data_targets:
        from common.guest_metadata import vendor_services

        asking = vendor_services.dynamic(conf, SystemClock(), cache_s=_ONE_DRIVE_S)
    return TreeSettings(
        dhcp_domain=options.dhcp_domain,
        vendor_data=vendor_data.static(options.vendor_data_file),
        dynamic=asking,
    )


def volumes_of(conf: cfg.ConfigOpts) -> Volumes:
    """How `[volume]` has this host reach volumes."""
    options = conf.volume
    brick = Brick(
        BrickSettings(
            host=conf.host,
            host_ip=conf.compute.host_ip,
            lock_path=Path(options.lock_path),
            mount_path=Path(options.mount_path),
            nfs_mount_options=options.nfs_mount_options,
            multipath=options.multipath,
            enforce_multipath=options.enforce_multipath,
            device_scan_attempts=options.device_scan_attempts,
            privileged_helper=options.privileged_helper,
        )
    )
    rbd = RbdAccess(user=options.rbd_user, secret_uuid=options.rbd_secret_uuid)
    return Volumes(Path(conf.state_path) / "compute" / "volumes", brick, rbd=rbd)


def _floating_cpus(options: Any) -> frozenset[int]:
    """Guests without CPUs of their own keep off those that others have for themselves."""
    dedicated = _cpus(options.cpu_dedicated_set)
    others = frozenset(range(os.cpu_count() or 1)) - dedicated if dedicated else frozenset()
    return _cpus(options.cpu_shared_set) or others


def _cpus(text: str) -> frozenset[int]:
    return parse_cpus(text) if text else frozenset()
