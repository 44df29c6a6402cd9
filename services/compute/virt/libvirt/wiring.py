# SPDX-License-Identifier: Apache-2.0
"""From configuration to a libvirt driver."""

from pathlib import Path

from oslo_config import cfg

from common.clients.image import ImageClient
from common.clients.session import ServiceSession
from common.guest_hardware.topology import parse_cpus
from common.guest_metadata.openstack_tree import TreeSettings
from services.compute.images import GIB, ImageCache
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.driver import LibvirtDriver, Settings


def make_driver(conf: cfg.ConfigOpts) -> LibvirtDriver:
    """The driver that `[compute]` and `[libvirt]` describe."""
    compute, options, state_path = conf.compute, conf.libvirt, Path(conf.state_path)
    images = ImageCache(
        state_path / "images",
        ImageClient(ServiceSession(conf)),
        most_bytes=compute.image_download_limit_gib * GIB,
    )
    settings = Settings(
        host=conf.host,
        connection_uri=options.connection_uri,
        state_folder=state_path / "compute",
        instances=state_path / "instances",
        virt_type=options.virt_type,
        platform=Platform(
            machine_type=options.machine_type,
            cpu_model=options.cpu_model,
            cpu_features=tuple(options.cpu_features),
            dedicated_cpus=_cpus(options.cpu_dedicated_set),
            disk_cache=options.disk_cache,
            vnc_listen=options.vnc_listen if options.vnc_enabled else None,
        ),
        disk_format=options.disk_format,
        config_drive_format=compute.config_drive_format,
        force_config_drive=compute.force_config_drive,
        soft_reboot_timeout_s=options.soft_reboot_timeout_s,
        bridge_wait_s=options.bridge_wait_s,
        image_keep_s=compute.image_keep_s,
        tree=TreeSettings(dhcp_domain=conf.metadata.dhcp_domain),
    )
    return LibvirtDriver(settings, images)


def _cpus(text: str) -> frozenset[int]:
    return parse_cpus(text) if text else frozenset()
