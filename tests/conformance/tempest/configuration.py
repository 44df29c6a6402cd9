# SPDX-License-Identifier: Apache-2.0
"""What Tempest must be told of a cloud: found by asking it, then written as tempest.conf."""

import configparser
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openstack.connection import Connection

_HERE = Path(__file__).resolve().parent
_FEATURES = _HERE / "features.conf"
_ALTERNATIVE = "tempest-alternative"
_PREFERRED = "guest"
_MULTIATTACH = {"name": "tempest-multiattach", "extra_specs": {"multiattach": "<is> True"}}
_VOLUMES = frozenset(("block-storage", "volumev3", "block-store"))


@dataclass(frozen=True)
class Options:
    """What the caller chose."""

    features: dict[str, str] = field(default_factory=dict)
    settings: list[tuple[str, str, str]] = field(default_factory=list)
    is_over_ssh: bool = False
    build_timeout_s: int = 120


@dataclass(frozen=True)
class Cloud:
    """What was found: who the administrator is, what services, images and sizes there are."""

    auth: dict[str, Any]
    region: str
    services: frozenset[str]
    images: tuple[str, str]
    image_format: tuple[str, str]
    flavors: tuple[str, str]
    public_network: tuple[str, str]
    network_extensions: tuple[str, ...]
    hosts: int
    hypervisor: str
    multiattach_type: str


def discover(connection: Connection, options: Options) -> Cloud:
    """Ask the cloud. Ends the program, saying what is missing, when it has no image or flavors."""
    access = connection.session.auth.get_access(connection.session)
    services = frozenset(entry["type"] for entry in access.service_catalog.catalog)
    flavors = sorted(
        (flavor for flavor in connection.compute.flavors() if flavor.is_public),
        key=lambda flavor: (flavor.ram, flavor.vcpus, flavor.disk),
    )
    if len(flavors) < 2:
        sys.exit("Tempest needs two public flavors: one to resize to.")
    public: Any = next(iter(connection.network.networks(**{"router:external": True})), None)
    hosts = [
        service
        for service in connection.compute.services(binary="nova-compute")
        if service.state == "up" and service.status == "enabled"
    ]
    hypervisors = [each.hypervisor_type for each in connection.compute.hypervisors(details=True)]
    images = _images(connection)
    image: Any = connection.image.get_image(images[0])
    return Cloud(
        auth=connection.config.get_auth_args(),
        region=connection.config.get_region_name() or "RegionOne",
        services=services,
        images=images,
        image_format=(image.disk_format, image.container_format),
        flavors=(flavors[0].id, flavors[1].id),
        public_network=(public.id, public.name) if public else ("", ""),
        network_extensions=tuple(each.alias for each in connection.network.extensions()),
        hosts=len(hosts),
        hypervisor=hypervisors[0] if hypervisors else "QEMU",
        multiattach_type=_multiattach_type(connection) if services & _VOLUMES else "",
    )


def _images(connection: Connection) -> tuple[str, str]:
    """An image and another, which is a copy of the first where the cloud has but one."""
    active = [image for image in connection.image.images() if image.status == "active"]
    if not active:
        sys.exit("The cloud has no active image.")
    active.sort(key=lambda image: (image.name != _PREFERRED, image.name or ""))
    first = active[0]
    other = next((image for image in active if image.name == _ALTERNATIVE), None)
    if other is None:
        data = connection.image.download_image(first).content
        other = connection.image.create_image(
            name=_ALTERNATIVE, data=data, disk_format=first.disk_format, visibility="public",
            container_format=first.container_format, validate_checksum=False,
            min_ram=first.min_ram, min_disk=first.min_disk,
        )  # fmt: skip
    return first.id, other.id


def save_image(connection: Connection, cloud: Cloud, file: Path) -> None:
    """Put the first image's data in `file`: scenarios bring an image of their own."""
    with file.open("wb") as open_file:
        connection.image.download_image(cloud.images[0], output=open_file)


def _multiattach_type(connection: Connection) -> str:
    """A type of volumes that several servers may have at once, made where there is none."""
    name = str(_MULTIATTACH["name"])
    if connection.block_storage.find_type(name) is None:
        connection.block_storage.create_type(**_MULTIATTACH)
    return name


def tempest_conf(
    cloud: Cloud,
    options: Options,
    folder: Path,
    *,
    minimum: str,
    image_file: Path,
    accounts_file: Path | None,
) -> configparser.RawConfigParser:
    """The configuration of one run, whose files are in `folder`."""
    conf = configparser.RawConfigParser()
    conf.read_dict(
        {
            "DEFAULT": {
                "debug": "true", "log_dir": f"{folder}/logs", "log_file": "tempest.log",
                "use_stderr": "false",
            },
            "oslo_concurrency": {"lock_path": f"{folder}/lock"},
            **_who(cloud, accounts_file),
            **_what(cloud, options, minimum, image_file),
            **_reach(cloud, options),
        }
    )  # fmt: skip
    features = configparser.RawConfigParser()
    features.read(_FEATURES)
    conf.read_dict({"compute-feature-enabled": dict(features["compute"]) | options.features})
    if cloud.hosts < 2:
        conf.set("compute-feature-enabled", "live_migration", "false")
        conf.set("compute-feature-enabled", "cold_migration", "false")
    for group, name, value in options.settings:
        if not conf.has_section(group):
            conf.add_section(group)
        conf.set(group, name, value)
    return conf


def _who(cloud: Cloud, accounts_file: Path | None) -> dict[str, dict[str, Any]]:
    auth = cloud.auth
    domain = auth.get("user_domain_name", "Default")
    accounts: dict[str, Any] = {"use_dynamic_credentials": "true"}
    if accounts_file:
        accounts = {"use_dynamic_credentials": "false", "test_accounts_file": accounts_file}
    return {
        "auth": {
            **accounts,
            "create_isolated_networks": _true("network" in cloud.services),
            "admin_username": auth["username"],
            "admin_password": auth["password"],
            "admin_project_name": auth["project_name"],
            "admin_domain_name": domain,
            "admin_user_domain_name": domain,
            "admin_project_domain_name": auth.get("project_domain_name", "Default"),
            "default_credentials_domain_name": domain,
            "tempest_roles": "member",
        },
        "identity": {
            "auth_version": "v3",
            "uri_v3": auth["auth_url"],
            "region": cloud.region,
            "admin_role": "admin",
            "v3_endpoint_type": "public",
        },
        "identity-feature-enabled": {"api_v3": "true", "api_v2": "false"},
        # readers may read, as the contract's policies have it
        "enforce_scope": {"nova": "true"},
    }


def _what(
    cloud: Cloud, options: Options, minimum: str, image_file: Path
) -> dict[str, dict[str, Any]]:
    volumes = _VOLUMES & cloud.services
    waits = {"build_timeout": options.build_timeout_s, "build_interval": 1}
    return {
        "service_available": {
            "nova": "true", "horizon": "false", "swift": "false",
            "glance": _true("image" in cloud.services),
            "neutron": _true("network" in cloud.services),
            "cinder": _true(volumes),
        },
        "compute": {
            "region": cloud.region,
            "image_ref": cloud.images[0], "image_ref_alt": cloud.images[1],
            "flavor_ref": cloud.flavors[0], "flavor_ref_alt": cloud.flavors[1],
            "min_compute_nodes": cloud.hosts,
            "shelved_offload_time": 0,
            "hypervisor_type": cloud.hypervisor,
            "max_microversion": "2.104",
            **({"min_microversion": minimum} if minimum else {}),
            **waits,
        },
        "image": {"region": cloud.region, "build_timeout": options.build_timeout_s},
        "scenario": {
            "img_file": image_file,
            "img_disk_format": cloud.image_format[0],
            "img_container_format": cloud.image_format[1],
        },
        "volume": {
            "catalog_type": next(iter(sorted(volumes)), "block-storage"),
            "region": cloud.region, "volume_size": 1,
            "min_microversion": "3.0", "max_microversion": "3.71", **waits,
            "volume_type_multiattach": cloud.multiattach_type,
        },
        "volume-feature-enabled": {"backup": "false", "snapshot": "true"},
        "placement": {"catalog_type": "placement", "max_microversion": "1.39"},
    }  # fmt: skip


def _reach(cloud: Cloud, options: Options) -> dict[str, dict[str, Any]]:
    network, name = cloud.public_network
    return {
        "network": {
            "region": cloud.region,
            "public_network_id": network,
            "floating_network_name": name,
            "project_network_cidr": "10.100.0.0/16",
            "project_network_mask_bits": 28,
            "build_timeout": options.build_timeout_s,
        },
        "network-feature-enabled": {
            "floating_ips": _true(network), "ipv6": "false",
            "api_extensions": ",".join(cloud.network_extensions),
            "port_security": _true("port-security" in cloud.network_extensions),
        },
        "validation": {
            "run_validation": _true(options.is_over_ssh),
            "connect_method": "floating",
            "network_for_ssh": name,
            "image_ssh_user": "root", "image_alt_ssh_user": "root",
            "image_ssh_password": "guest", "image_alt_ssh_password": "guest",
            "ssh_key_type": "ecdsa",
            "ssh_timeout": 120, "connect_timeout": 30, "ping_timeout": 120,
            "ssh_shell_prologue": '"set -eu; PATH=$$PATH:/sbin:/usr/sbin;"',
        },
    }  # fmt: skip


def _true(value: object) -> str:
    return "true" if value else "false"
