# SPDX-License-Identifier: Apache-2.0
"""`/servers/{server_id}/os-volume_attachments`: the volumes of a server."""

from typing import Any

from common.errors import (
    Conflict,
    Invalid,
    InvalidVolume,
    NotFound,
    VolumeNotFound,
)
from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from common.objects.volume import RequestedVolume, Volume
from common.policy import PolicyForbids
from common.rpc.conductor.servers import Servers as ServersRpc
from common.rpc.conductor.volumes import Volumes
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY, LIMIT, Body, Query
from services.api.declare.types import (
    BOOLEAN,
    STRICT_BOOLEAN,
    TEXT_OR_NULL,
    UUID,
    Array,
    Field,
    Plain,
    Record,
    Type,
    is_true,
    string,
)
from services.api.declare.view import Raw
from services.api.resources.servers.bodies import TAG_TEXT
from services.api.responder import responder
from services.api.volume_gateway import VolumeGateway
from services.api.waiting import result_of

_RULE = "os_compute_api:os-volumes-attachments:"
# Volumes of shelved servers came with 2.20; from 2.101 on nobody waits for the attachment.
_SHELVED_TOO, _NO_WAIT = 20, 101
_DEVICE = string(pattern="(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$", null=True)


def _optional(name: str, type_: Type, since: str | None = None) -> Field:
    return Field(name, type_, since, required=False)


LIST = Query("volume-attachment-list", [Field("limit", LIMIT), Field("offset", LIMIT)])
CREATE = Body("volume-attachment-create", key="volumeAttachment", fields=[
    Field("volumeId", UUID),
    _optional("device", _DEVICE),
    _optional("tag", TAG_TEXT, "2.49"),
    _optional("delete_on_termination", BOOLEAN, "2.79"),
])  # fmt: skip
UPDATE = Body("volume-attachment-update", key="volumeAttachment", fields=[
    Field("volumeId", UUID),
    _optional("device", _DEVICE, "2.85"),
    _optional("tag", TAG_TEXT, "2.85"),
    _optional("delete_on_termination", BOOLEAN, "2.85"),
    _optional("serverId", UUID, "2.85"),
    _optional("id", UUID, "2.85"),
])  # fmt: skip
_SHOWN = Record([
    Field("id", UUID, until="2.88", required=False),
    Field("device", TEXT_OR_NULL, required=False),
    Field("serverId", UUID),
    Field("volumeId", UUID),
    Field("tag", TEXT_OR_NULL, "2.70"),
    Field("delete_on_termination", STRICT_BOOLEAN, "2.79"),
    Field("attachment_id", Plain({"type": ["string", "null"]}), "2.89"),
    Field("bdm_uuid", UUID, "2.89"),
])  # fmt: skip
_ONE = Raw(Record([Field("volumeAttachment", _SHOWN)]))
_MADE = Raw(Record([Field("volumeAttachment", Record([
    Field("id", UUID),
    Field("device", TEXT_OR_NULL),
    Field("serverId", UUID),
    Field("volumeId", UUID),
    Field("tag", TEXT_OR_NULL, "2.70"),
    Field("delete_on_termination", STRICT_BOOLEAN, "2.79"),
]))]))  # fmt: skip
_MANY = Raw(Record([Field("volumeAttachments", Array(_SHOWN))]))


def attachment_entry(server: str, volume: str, device: str | None) -> dict[str, Any]:
    """An attachment as it was shown from the beginning: its id is the volume's."""
    entry = {"id": volume, "serverId": server, "volumeId": volume}
    return {**entry, "device": device} if device else entry


def _shown(call: ApiCall, server: Instance, disk: BlockDeviceMapping) -> dict[str, Any]:
    entry = attachment_entry(server.uuid, str(disk.volume_id), disk.device_name)
    if call.at_least(70):
        entry["tag"] = disk.tag
    if call.at_least(79):
        entry["delete_on_termination"] = disk.delete_on_termination
    if call.at_least(89):
        del entry["id"]
        entry |= {"attachment_id": disk.attachment_id, "bdm_uuid": disk.uuid}
    return entry


class VolumeAttachments:
    """`/servers/{server_id}/os-volume_attachments`."""

    def __init__(self, servers: ServersRpc, volumes: Volumes, gateway: VolumeGateway) -> None:
        self._servers = servers
        self._volumes = volumes
        self._gateway = gateway

    @responder(policy=_RULE + "index", query=LIST, returns=_MANY)
    def on_get(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """List a server's volumes."""
        server = self._servers.get(call.caller, server_id)
        disks = [disk for disk in server.block_devices if disk.volume_id]
        start, count = call.offset_page()
        shown = [_shown(call, server, disk) for disk in disks[start : start + count]]
        return {"volumeAttachments": shown}

    @responder(policy=_RULE + "create", body=CREATE, returns=_MADE, or_status=(202,))
    def on_post(self, call: ApiCall, server_id: str) -> dict[str, Any] | None:
        """Attach a volume to a server, and wait until it is reserved for it."""
        asked = call.body
        volume = self._gateway.attachable(call, asked["volumeId"])
        wanted = RequestedVolume(
            volume_id=volume.id,
            size_gib=volume.size_gib,
            device_name=asked.get("device"),
            tag=asked.get("tag"),
            delete_on_termination=is_true(asked.get("delete_on_termination", False)),
            multiattach=volume.multiattach,
        )
        task = self._volumes.attach(
            call.caller, server_id, wanted=wanted, shelved_too=call.at_least(_SHELVED_TOO)
        )
        device = result_of(
            lambda: self._volumes.attached(call.caller, server_id, task=task),
            not_yet="The volume is not reserved yet",
        )
        if call.at_least(_NO_WAIT):
            call.status = 202
            return None
        return {"volumeAttachment": _made(call, server_id, wanted, device)}


class VolumeAttachment:
    """`/servers/{server_id}/os-volume_attachments/{volume_id}`."""

    def __init__(self, servers: ServersRpc, volumes: Volumes, gateway: VolumeGateway) -> None:
        self._servers = servers
        self._volumes = volumes
        self._gateway = gateway

    @responder(policy=_RULE + "show", query=LENIENT_QUERY, returns=_ONE)
    def on_get(self, call: ApiCall, server_id: str, volume_id: str) -> dict[str, Any]:
        """Show one of a server's volumes."""
        server = self._servers.get(call.caller, server_id)
        return {"volumeAttachment": _shown(call, server, _disk(server, volume_id))}

    @responder(body=UPDATE, status=202)
    def on_put(self, call: ApiCall, server_id: str, volume_id: str) -> None:
        """Put another volume in the place of one; from 2.85 on, or change what ends with it."""
        if call.at_least(85) and call.body["volumeId"] == volume_id:
            self._update(call, server_id, volume_id)
        else:
            self._swap(call, server_id, volume_id)

    @responder(policy=_RULE + "delete", status=202)
    def on_delete(self, call: ApiCall, server_id: str, volume_id: str) -> None:
        """Detach a volume from a server, and wait until the volume shows it.

        Who looks at the volume after the answer sees that it is about to leave.
        """
        task = self._volumes.detach(
            call.caller, server_id, volume_id=volume_id, shelved_too=call.at_least(_SHELVED_TOO)
        )
        result_of(
            lambda: self._volumes.detaching(call.caller, server_id, task=task) or None,
            not_yet="The volume does not show yet that it is detached",
        )

    def _update(self, call: ApiCall, server_id: str, volume_id: str) -> None:
        """Say whether the volume is deleted with the server; the rest must be as it is."""
        _permit(call, _RULE + "update")
        asked = call.body
        current: dict[str, Any] = {"id": volume_id, "serverId": server_id}
        if asked.keys() & {"device", "tag"} or "delete_on_termination" not in asked:
            disk = _disk(self._servers.get(call.caller, server_id), volume_id)
            current |= {"device": disk.device_name, "tag": disk.tag}
        for name, value in current.items():
            if asked.get(name, value) != value:
                raise Invalid(f"The {name} of a volume attachment cannot be changed.")
        if "delete_on_termination" in asked:
            self._volumes.update(
                call.caller,
                server_id,
                volume_id=volume_id,
                delete_on_termination=is_true(asked["delete_on_termination"]),
            )

    def _swap(self, call: ApiCall, server_id: str, volume_id: str) -> None:
        """Have the host move over to another volume, as the volume service asks to when it moves
        a volume's data."""
        _permit(call, _RULE + "swap")
        old = self._gateway.get(call, volume_id)
        if not old.is_migrating:
            raise Conflict(
                f"Volume {volume_id} is not migrating: only the volume service swaps volumes."
            )
        try:
            new = self._gateway.get(call, call.body["volumeId"])
        except VolumeNotFound as missing:  # what a body names and is not there
            raise Invalid(str(missing)) from missing
        _check_swap(old, new)
        wanted = RequestedVolume(
            volume_id=new.id, size_gib=new.size_gib, multiattach=new.multiattach
        )
        self._volumes.swap(call.caller, server_id, volume_id=volume_id, wanted=wanted)


def _made(
    call: ApiCall, server_id: str, wanted: RequestedVolume, device: str
) -> dict[str, Any]:  # fmt: skip
    shown: dict[str, Any] = attachment_entry(server_id, wanted.volume_id, device)
    if call.at_least(70):
        shown["tag"] = wanted.tag
    if call.at_least(79):
        shown["delete_on_termination"] = wanted.delete_on_termination
    return shown


def _disk(server: Instance, volume_id: str) -> BlockDeviceMapping:
    found = next((disk for disk in server.block_devices if disk.volume_id == volume_id), None)
    if found is None:
        raise NotFound(f"Instance {server.uuid} is not attached to volume {volume_id}")
    return found


def _permit(call: ApiCall, rule: str) -> None:
    if not call.allows(rule):
        raise PolicyForbids(rule=rule)


def _check_swap(old: Volume, new: Volume) -> None:
    """Raises: Invalid, InvalidVolume."""
    if old.multiattach and len(old.attached_to) > 1:
        raise Invalid(
            "Swapping multi-attach volumes with more than one read/write attachment is not "
            "supported."
        )
    if new.attached_to:
        raise InvalidVolume(reason="New volume must be detached in order to swap.")
    if new.size_gib < old.size_gib:
        raise InvalidVolume(reason="New volume must be the same size or larger.")
