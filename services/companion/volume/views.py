# SPDX-License-Identifier: Apache-2.0
"""How volumes, snapshots and attachments look at each version of the API."""

import uuid
from typing import Any

from services.companion.volume.call import VolumeCall
from services.companion.volume.records import Row

ATTACHED = "attached"
BACKEND = "local"


def pool(host: str) -> str:
    """The one place where volumes are, as `host@backend#pool`."""
    return f"{host}@{BACKEND}#{BACKEND}"


def service_uuid(host: str) -> str:
    """The id of the service at `host`: always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, pool(host)))


def volume_summary(call: VolumeCall, volume: Row) -> Row:
    """A volume in a list."""
    return {
        "id": volume["id"],
        "name": volume["name"],
        "links": call.links(f"volumes/{volume['id']}"),
    }


def volume_detail(call: VolumeCall, volume: Row, host: str, *, fresh: bool = False) -> Row:
    """A volume in full. `fresh`: as the answer to its creation, which says less."""
    detail: Row = {
        **volume_summary(call, volume),
        "description": volume["description"],
        "status": volume["status"],
        "size": volume["size"],
        "availability_zone": volume["availability_zone"],
        "created_at": volume["created_at"],
        "updated_at": volume["updated_at"],
        "volume_type": volume["type_name"],
        "snapshot_id": volume["snapshot_id"],
        "source_volid": volume["source_volid"],
        "metadata": _metadata(volume),
        "user_id": volume["user_id"],
        "bootable": "true" if volume["bootable"] else "false",
        "encrypted": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": volume["multiattach"],
        "migration_status": volume["migration_status"] if call.is_admin else None,
        "attachments": [
            _attached(call, attachment)
            for attachment in volume["attachments"]
            if attachment["status"] == ATTACHED
        ],
    }
    if not fresh:
        detail |= _extended(call, volume, host)
    return detail | _since(call, volume, host)


def _metadata(volume: Row) -> Row:
    if volume["readonly"] is None:
        return dict(volume["metadata"])
    return {**volume["metadata"], "readonly": str(volume["readonly"])}


def _extended(call: VolumeCall, volume: Row, host: str) -> Row:
    more: Row = {"os-vol-tenant-attr:tenant_id": volume["project_id"]}
    if volume["image_metadata"]:
        more["volume_image_metadata"] = volume["image_metadata"]
    if call.sees_everything:
        more |= {
            "os-vol-host-attr:host": pool(host),
            "os-vol-mig-status-attr:migstat": volume["migration_status"],
            "os-vol-mig-status-attr:name_id": None,
        }
    return more


def _since(call: VolumeCall, volume: Row, host: str) -> Row:
    """What later versions added."""
    added: tuple[tuple[int, str, Any], ...] = (
        (13, "group_id", None),
        (48, "service_uuid", service_uuid(host)),
        (48, "shared_targets", False),
        (63, "volume_type_id", volume["type_id"]),
        (65, "consumes_quota", True),
    )
    if call.sees_everything:
        added += ((21, "provider_id", None), (61, "cluster_name", None))
    return {name: value for minor, name, value in added if call.at_least(minor)}


def _attached(call: VolumeCall, attachment: Row) -> Row:
    return {
        "id": attachment["volume_id"],
        "attachment_id": attachment["id"],
        "volume_id": attachment["volume_id"],
        "server_id": attachment["instance_uuid"],
        "host_name": attachment["attached_host"] if call.sees_everything else None,
        "device": attachment["mountpoint"],
        "attached_at": attachment["attached_at"],
    }


def snapshot_summary(call: VolumeCall, snapshot: Row) -> Row:
    """A snapshot in a list, and as the answer to its creation."""
    summary = {
        name: snapshot[name]
        for name in (
            "id", "name", "description", "status", "size", "volume_id", "metadata", "created_at",
            "updated_at",
        )
    }  # fmt: skip
    added = (
        (14, "group_snapshot_id", None),
        (41, "user_id", snapshot["user_id"]),
        (65, "consumes_quota", True),
    )
    return summary | {name: value for minor, name, value in added if call.at_least(minor)}


def snapshot_detail(call: VolumeCall, snapshot: Row) -> Row:
    """A snapshot in full."""
    return {
        **snapshot_summary(call, snapshot),
        "os-extended-snapshot-attributes:progress": snapshot["progress"],
        "os-extended-snapshot-attributes:project_id": snapshot["project_id"],
    }


def attachment_summary(attachment: Row) -> Row:
    """An attachment in a list."""
    return {
        "id": attachment["id"],
        "status": attachment["status"],
        "instance": attachment["instance_uuid"],
        "volume_id": attachment["volume_id"],
    }


def attachment_detail(attachment: Row) -> Row:
    """An attachment in full; its connection is flat, as in Cinder."""
    return {
        **attachment_summary(attachment),
        "attached_at": attachment["attached_at"] or "",
        "detached_at": "",
        "attach_mode": attachment["attach_mode"],
        "connection_info": attachment["connection_info"] or {},
    }
