# SPDX-License-Identifier: Apache-2.0
"""What a new cloud offers its users: flavors, networks, rules, images, volume types.

Runs inside the virtual environment: `python -m deploy.bringup.seed CLOUDS_YAML NAME=FILE …`, each
file an image. It speaks the public APIs only. Again: what is there stays as it is, also where the
operator changed it.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import openstack
from openstack.connection import Connection

from deploy.bringup.settings import EXTERNAL_CIDR

# name, vCPUs, MiB of memory, GiB of disk
FLAVORS = (
    ("m1.nano", 1, 128, 1),
    ("m1.micro", 1, 256, 1),
    ("m1.tiny", 1, 512, 1),
    ("m1.small", 1, 2048, 20),
    ("m1.medium", 2, 4096, 40),
    ("m1.large", 4, 8192, 80),
)
_NETWORK = "private"
_CIDR = "10.77.0.0/16"
_EXTERNAL = "public"
_DIGEST = "kilonova_digest"
# Beside the default type, which the volume service makes itself.
_VOLUME_TYPES = {"multiattach": {"multiattach": "<is> True"}}
# Of images, by the names of their files.
_PROPERTIES: dict[str, dict[str, Any]] = {
    # not for hosts that run nothing: they say that they are QEMU 1.0; and not in less memory
    "guest.qcow2": {
        "img_hv_type": "qemu",
        "img_hv_requested_version": ">=2.0",
        "hw_architecture": "x86_64",
        "min_ram": 80,
    },
    "container.qcow2": {"img_hv_type": "lxc", "hw_vm_mode": "exe", "hw_architecture": "x86_64"},
    # nothing that a container could start from
    "placeholder.raw": {"img_hv_type": "qemu"},
}


def seed(clouds_yaml: Path, images: dict[str, Path]) -> None:
    """Make what is missing."""
    config = openstack.config.OpenStackConfig(
        config_files=[str(clouds_yaml)], secure_files=[], vendor_files=[], load_envvars=False
    )
    admin = Connection(config=config.get_one("kilonova-admin"))
    demo = Connection(config=config.get_one("kilonova"))
    ensure_flavors(admin)
    ensure_network(admin)
    ensure_external_network(admin)
    ensure_rules(demo)
    ensure_volume_types(admin)
    for name, file in images.items():
        ensure_image(admin, name, file)


def ensure_flavors(admin: Connection) -> None:
    """The usual sizes, numbered from 1."""
    known = {flavor.name for flavor in admin.compute.flavors()}
    for number, (name, vcpus, memory_mib, disk_gib) in enumerate(FLAVORS, start=1):
        if name not in known:
            admin.compute.create_flavor(
                name=name, vcpus=vcpus, ram=memory_mib, disk=disk_gib, id=str(number)
            )


def ensure_network(admin: Connection) -> None:
    """A network that every project may use."""
    network = admin.network.find_network(_NETWORK)
    if network is None:
        network = admin.network.create_network(name=_NETWORK, is_shared=True)
    if not list(admin.network.subnets(network_id=network.id)):
        admin.network.create_subnet(
            network_id=network.id, name=_NETWORK, ip_version=4, cidr=_CIDR, is_dhcp_enabled=True
        )


def ensure_external_network(admin: Connection) -> None:
    """Floating addresses. It belongs to the services: nobody boots on it without being asked."""
    network = admin.network.find_network(_EXTERNAL)
    if network is None:
        owner = admin.identity.find_project("service", ignore_missing=False)
        network = admin.network.create_network(
            name=_EXTERNAL, is_router_external=True, project_id=owner.id
        )
    if not list(admin.network.subnets(network_id=network.id)):
        admin.network.create_subnet(
            network_id=network.id, name=_EXTERNAL, ip_version=4, cidr=EXTERNAL_CIDR,
            is_dhcp_enabled=False,
        )  # fmt: skip


def ensure_rules(demo: Connection) -> None:
    """ssh and ping from everywhere, in the demo project's default group."""
    project = demo.current_project_id
    groups = demo.network.security_groups(name="default", project_id=project)
    group = next(group for group in groups if group.project_id == project)
    known = {
        (rule.protocol, rule.port_range_min)
        for rule in demo.network.security_group_rules(security_group_id=group.id)
        if rule.direction == "ingress"
    }
    for protocol, port in (("icmp", None), ("tcp", 22)):
        if (protocol, port) not in known:
            demo.network.create_security_group_rule(
                security_group_id=group.id, direction="ingress", ethertype="IPv4",
                protocol=protocol, port_range_min=port, port_range_max=port,
                remote_ip_prefix="0.0.0.0/0",
            )  # fmt: skip


def ensure_volume_types(admin: Connection) -> None:
    """Types of volumes: one whose volumes go to several servers at once."""
    known = {kind.name for kind in admin.block_storage.types()}
    for name, extra_specs in _VOLUME_TYPES.items():
        if name not in known:
            admin.block_storage.create_type(name=name, extra_specs=extra_specs)


def ensure_image(admin: Connection, name: str, file: Path) -> None:
    """An image; one of another digest replaces ours of this name, and no one else's."""
    attributes = dict(_PROPERTIES.get(file.name, {}))
    digest = hashlib.sha256(file.read_bytes() + repr(attributes).encode()).hexdigest()
    attributes[_DIGEST] = digest
    ours = [image for image in admin.image.images(name=name) if _DIGEST in (image.properties or {})]
    if any(i.properties[_DIGEST] == digest and i.status == "active" for i in ours):
        return
    admin.image.create_image(
        name=name, filename=str(file), disk_format=file.suffix.removeprefix("."),
        container_format="bare", visibility="public", wait=True, allow_duplicates=True,
        validate_checksum=False, **attributes,
    )  # fmt: skip
    for image in ours:
        admin.image.delete_image(image.id)


if __name__ == "__main__":
    pairs = (argument.partition("=") for argument in sys.argv[2:])
    seed(Path(sys.argv[1]), {name: Path(file) for name, _, file in pairs})
