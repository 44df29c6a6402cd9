# SPDX-License-Identifier: Apache-2.0
"""Where a connected volume is: what the volume service says of it, as a hypervisor needs it."""

from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from common.errors import VolumeUnreachable
from common.objects.block_device import BlockDeviceMapping

# Types whose volumes become block devices of the host, and those that are files on a share.
BLOCK_TYPES = ("iscsi", "iser", "fibre_channel", "nvmeof")
SHARE_TYPES = ("nfs",)
LOCAL, RBD = "local", "rbd"
_FORMATS = ("raw", "qcow2")
# Ceilings of a volume type that the hypervisor enforces, by the names that both sides use.
_LIMITS = tuple(
    f"{way}_{what}_sec" for way in ("total", "read", "write") for what in ("bytes", "iops")
)


class NetworkSource(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the hypervisor itself reaches by `protocol` at `hosts` (address, port)."""

    protocol: str
    hosts: tuple[tuple[str, str], ...] = ()
    user: str = ""
    secret_uuid: str = ""


class VolumeSource(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is a file, a block device, or (`kind` network) an image's name. `format` raw or qcow2.

    `is_on_share`: other hosts see the file, too. `limits` in bytes and operations a second.
    """

    kind: str
    path: str
    format: str = "raw"
    network: NetworkSource | None = None
    is_on_share: bool = False
    is_read_only: bool = False
    may_discard: bool = False
    limits: dict[str, int] = {}


class RbdAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What this host uses instead of what the volume service names; empty: its word."""

    user: str = ""
    secret_uuid: str = ""


def connection_of(disk: BlockDeviceMapping) -> tuple[str, dict[str, Any]]:
    """The volume's type and its data. Raises: VolumeUnreachable, for what cannot be used here."""
    connection = disk.connection or {}
    kind, data = connection.get("driver_volume_type"), connection.get("data")
    if not isinstance(kind, str) or not isinstance(data, dict):
        refuse(disk.volume_id, "the volume service has not said how to reach it")
    if kind.lower() not in (LOCAL, RBD, *BLOCK_TYPES, *SHARE_TYPES):
        refuse(disk.volume_id, f"this host knows no volumes of type {kind}")
    if data.get("encrypted"):
        refuse(disk.volume_id, "it is encrypted, and this host has no keys")
    return kind.lower(), data


def source_of(
    volume_id: str | None, kind: str, data: Mapping[str, Any], path: str, *, is_block: bool
) -> VolumeSource:
    """A file or block device at `path`. Raises: VolumeUnreachable."""
    return VolumeSource(
        kind="block" if is_block else "file",
        path=path,
        format=_format(volume_id, data),
        is_on_share=kind in SHARE_TYPES,
        **_manners(data),
    )


def rbd_source(volume_id: str | None, data: Mapping[str, Any], access: RbdAccess) -> VolumeSource:
    """An image of a Ceph cluster, which QEMU reaches by itself. Raises: VolumeUnreachable."""
    name, hosts, ports = data.get("name"), data.get("hosts") or (), data.get("ports") or ()
    if not isinstance(name, str) or "/" not in name or len(hosts) != len(ports):
        refuse(volume_id, "the volume service names no pool and image of its Ceph cluster")
    user, secret = "", ""
    if data.get("auth_enabled") or access.user:
        user = access.user or str(data.get("auth_username") or "")
        secret = access.secret_uuid or str(data.get("secret_uuid") or "")
        if not user or not secret:
            refuse(volume_id, "its Ceph cluster wants a user and a libvirt secret; see [volume]")
    network = NetworkSource(
        protocol="rbd",
        hosts=tuple(
            (str(host).strip("[]"), str(port)) for host, port in zip(hosts, ports, strict=True)
        ),
        user=user,
        secret_uuid=secret,
    )
    return VolumeSource(kind="network", path=name, network=network, **_manners(data))


def refuse(volume_id: str | None, reason: str) -> NoReturn:
    """Raises: VolumeUnreachable."""
    raise VolumeUnreachable(volume=volume_id, reason=reason)


def _format(volume_id: str | None, data: Mapping[str, Any]) -> str:
    # Never by looking at the content: a guest may write what looks like a qcow2 header, with a
    # backing file of its choice, into a raw volume.
    found = data.get("format") or "raw"
    if found not in _FORMATS:
        refuse(volume_id, f"its format is {found}; raw and qcow2 are known")
    return str(found)


def _manners(data: Mapping[str, Any]) -> dict[str, Any]:
    specs = data.get("qos_specs") or {}
    return {
        "is_read_only": data.get("access_mode") == "ro",
        "may_discard": bool(data.get("discard")),
        "limits": {
            name: int(specs[name]) for name in _LIMITS if str(specs.get(name, "")).isdecimal()
        },
    }
