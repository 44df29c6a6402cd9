# SPDX-License-Identifier: Apache-2.0
"""`/os-assisted-volume-snapshots`: what the volume service has hosts do for its snapshots."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from common.errors import (
    InstanceInvalidState,
    InstanceNotReady,
    Invalid,
    VolumeNotAttached,
)
from common.rpc.conductor.volumes import Volumes
from services.api.call import ApiCall
from services.api.declare.request import Body, Query
from services.api.declare.types import TEXT, Field, Plain, Record, enum, string
from services.api.declare.view import Raw
from services.api.responder import responder

_RULE = "os_compute_api:os-assisted-volume-snapshots:"
_NEEDED = string(1)
CREATE = Body("assisted-snapshot-create", key="snapshot", fields=[
    Field("volume_id", _NEEDED),
    Field("create_info", Record([
        Field("snapshot_id", _NEEDED),
        Field("type", enum("qcow2")),
        Field("new_file", _NEEDED),
        Field("id", _NEEDED, required=False),
    ])),
])  # fmt: skip
DELETE = Query("assisted-snapshot-delete", [Field("delete_info", TEXT)])
_MADE = Raw(Record([Field("snapshot", Record([
    Field("id", Plain({"type": ["string", "null"]})), Field("volumeId", TEXT),
]))]))  # fmt: skip


class AssistedSnapshots:
    """`/os-assisted-volume-snapshots`."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    @responder(policy=_RULE + "create", body=CREATE, returns=_MADE)
    def on_post(self, call: ApiCall) -> dict[str, Any]:
        """Have the host that uses a volume write to a new file from now on."""
        volume_id, info = call.body["volume_id"], call.body["create_info"]
        with _refusals_as_bad_requests():
            self._volumes.snapshot_assisted(
                call.caller,
                volume_id=volume_id,
                snapshot_id=info["snapshot_id"],
                new_file=info["new_file"],
            )
        return {"snapshot": {"id": info.get("id"), "volumeId": volume_id}}


class AssistedSnapshotById:
    """`/os-assisted-volume-snapshots/{snapshot_id}`."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    @responder(policy=_RULE + "delete", query=DELETE, status=204)
    def on_delete(self, call: ApiCall, snapshot_id: str) -> None:
        """Have the host merge a snapshot away; `delete_info` says how, as JSON."""
        info = _info(call.single("delete_info"))
        with _refusals_as_bad_requests():
            self._volumes.drop_assisted_snapshot(
                call.caller,
                volume_id=info["volume_id"],
                snapshot_id=snapshot_id,
                delete_info=info,
            )


def _info(text: str | None) -> dict[str, Any]:
    """The volume service's words on what to merge. Raises: Invalid."""
    try:
        info = msgspec.json.decode(text or "")
    except (msgspec.DecodeError, RecursionError) as broken:
        raise Invalid("delete_info is no JSON document.") from broken
    if not isinstance(info, dict) or not isinstance(info.get("volume_id"), str):
        raise Invalid("delete_info does not name a volume_id.")
    return info


@contextmanager
def _refusals_as_bad_requests() -> Iterator[None]:
    """This resource answers 400 where others know 404 and 409."""
    try:
        yield
    except (VolumeNotAttached, InstanceNotReady, InstanceInvalidState) as refused:
        raise Invalid(str(refused)) from refused
