# SPDX-License-Identifier: Apache-2.0
"""Volumes and snapshots as the Compute API showed them until 2.35.

Every call goes to the volume service with the caller's own token.
"""

from typing import Any

from common.errors import Invalid, SnapshotNotFound, VolumeNotFound
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY, LIMIT, Body, Query
from services.api.declare.types import BOOLEAN, TEXT, Field, Plain, Record, integer, is_true
from services.api.declare.view import Raw
from services.api.resources.volume_attachments import attachment_entry
from services.api.responder import responder
from services.api.volume_gateway import Document, VolumeGateway, path_of

_UNTIL = "2.35"
_OBJECT = Raw(Plain({"type": "object"}))
_RULE = "os_compute_api:os-volumes:"
_SNAPSHOT_RULE = _RULE + "snapshots:"
# What both APIs call the same.
_SAME_NAMES = ("volume_type", "metadata", "snapshot_id", "availability_zone")

LIST = Query("volume-list", [Field("limit", LIMIT), Field("offset", LIMIT)], strict_since=None)
CREATE = Body("volume-create", key="volume", fields=[
    Field("size", integer(1, texts=True, pattern="^[0-9]+$")),
    Field("volume_type", TEXT, required=False),
    Field("metadata", Plain({"type": "object", "additionalProperties": True}), required=False),
    Field("snapshot_id", TEXT, required=False),
    Field("availability_zone", TEXT, required=False),
    Field("display_name", TEXT, required=False),
    Field("display_description", TEXT, required=False),
])  # fmt: skip
CREATE_SNAPSHOT = Body.of("snapshot-create", "snapshot", Record([
    Field("volume_id", TEXT),
    Field("force", BOOLEAN, required=False),
    Field("display_name", TEXT, required=False),
    Field("display_description", TEXT, required=False),
]))  # fmt: skip


class Volumes:
    """`/os-volumes` and `/os-volumes/detail`, which show the same."""

    def __init__(self, volumes: VolumeGateway) -> None:
        self._volumes = volumes

    @responder(policy=_RULE + "list", query=LIST, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List volumes."""
        return self._list(call)

    @responder(policy=_RULE + "detail", query=LIST, returns=_OBJECT, until=_UNTIL)
    def on_get_detail(self, call: ApiCall) -> dict[str, Any]:
        """List volumes with details."""
        return self._list(call)

    @responder(policy=_RULE + "create", body=CREATE, returns=_OBJECT, until=_UNTIL)
    def on_post(self, call: ApiCall) -> dict[str, Any]:
        """Create a volume."""
        asked = call.body
        wanted = {
            "size": int(asked["size"]),
            "name": asked.get("display_name"),
            "description": asked.get("display_description"),
            **{name: asked[name] for name in _SAME_NAMES if name in asked},
        }
        snapshot = asked.get("snapshot_id")
        missing = SnapshotNotFound(snapshot=snapshot) if snapshot else None
        made = self._volumes.ask(call, "POST", "/volumes", missing=missing, json={"volume": wanted})
        volume = made["volume"]
        call.location = call.links.self_href("os-volumes", volume["id"])
        return {"volume": _show(volume)}

    def _list(self, call: ApiCall) -> dict[str, Any]:
        return {"volumes": [_show(volume) for volume in self._volumes.page(call, "volumes")]}


class VolumeById:
    """`/os-volumes/{volume_id}`."""

    def __init__(self, volumes: VolumeGateway) -> None:
        self._volumes = volumes

    @responder(policy=_RULE + "show", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall, volume_id: str) -> dict[str, Any]:
        """Show a volume."""
        missing = VolumeNotFound(volume=volume_id)
        return {"volume": _show(self._volumes.one(call, "volumes", volume_id, missing))}

    @responder(policy=_RULE + "delete", status=202, until=_UNTIL)
    def on_delete(self, call: ApiCall, volume_id: str) -> None:
        """Delete a volume."""
        missing = VolumeNotFound(volume=volume_id)
        self._volumes.ask(call, "DELETE", path_of("volumes", volume_id), missing=missing)


class Snapshots:
    """`/os-snapshots` and `/os-snapshots/detail`, which show the same."""

    def __init__(self, volumes: VolumeGateway) -> None:
        self._volumes = volumes

    @responder(policy=_SNAPSHOT_RULE + "list", query=LIST, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List snapshots of volumes."""
        return self._list(call)

    @responder(policy=_SNAPSHOT_RULE + "detail", query=LIST, returns=_OBJECT, until=_UNTIL)
    def on_get_detail(self, call: ApiCall) -> dict[str, Any]:
        """List snapshots of volumes with details."""
        return self._list(call)

    @responder(policy=_SNAPSHOT_RULE + "create", body=CREATE_SNAPSHOT, returns=_OBJECT,
               until=_UNTIL)  # fmt: skip
    def on_post(self, call: ApiCall) -> dict[str, Any]:
        """Take a snapshot of a volume; of one in use only with `force`."""
        asked = call.body
        wanted = {
            "volume_id": asked["volume_id"],
            "force": is_true(asked.get("force", False)),
            "name": asked.get("display_name"),
            "description": asked.get("display_description"),
        }
        # What a body names and is not there makes the body wrong.
        missing = Invalid(str(VolumeNotFound(volume=asked["volume_id"])))
        body = {"snapshot": wanted}
        made = self._volumes.ask(call, "POST", "/snapshots", missing=missing, json=body)
        return {"snapshot": _show_snapshot(made["snapshot"])}

    def _list(self, call: ApiCall) -> dict[str, Any]:
        return {"snapshots": [_show_snapshot(s) for s in self._volumes.page(call, "snapshots")]}


class SnapshotById:
    """`/os-snapshots/{snapshot_id}`."""

    def __init__(self, volumes: VolumeGateway) -> None:
        self._volumes = volumes

    @responder(policy=_SNAPSHOT_RULE + "show", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall, snapshot_id: str) -> dict[str, Any]:
        """Show a snapshot."""
        missing = SnapshotNotFound(snapshot=snapshot_id)
        found = self._volumes.one(call, "snapshots", snapshot_id, missing)
        return {"snapshot": _show_snapshot(found)}

    @responder(policy=_SNAPSHOT_RULE + "delete", status=202, until=_UNTIL)
    def on_delete(self, call: ApiCall, snapshot_id: str) -> None:
        """Delete a snapshot."""
        missing = SnapshotNotFound(snapshot=snapshot_id)
        self._volumes.ask(call, "DELETE", path_of("snapshots", snapshot_id), missing=missing)


def _show(volume: Document) -> dict[str, Any]:
    attached = [
        attachment_entry(each["server_id"], volume["id"], each.get("device"))
        for each in volume.get("attachments") or ()
    ]
    return {
        "id": volume["id"],
        "status": volume["status"],
        "size": volume["size"],
        "availabilityZone": volume.get("availability_zone"),
        "createdAt": volume.get("created_at"),
        "displayName": volume.get("name"),
        "displayDescription": volume.get("description"),
        "volumeType": volume.get("volume_type"),
        "snapshotId": volume.get("snapshot_id"),
        "metadata": volume.get("metadata") or {},
        # A volume that is nowhere has one attachment that says nothing.
        "attachments": attached or [{}],
    }


def _show_snapshot(snapshot: Document) -> dict[str, Any]:
    return {
        "id": snapshot["id"],
        "volumeId": snapshot["volume_id"],
        "status": snapshot["status"],
        "size": snapshot["size"],
        "createdAt": snapshot.get("created_at"),
        "displayName": snapshot.get("name"),
        "displayDescription": snapshot.get("description"),
    }
