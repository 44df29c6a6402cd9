# SPDX-License-Identifier: Apache-2.0
"""What flows that bring an instance to a host, or take it away, do with its volumes."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.errors import InvalidVolume, VolumeNotFound, VolumesNotReady
from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from common.objects.versioned import Versioned
from common.objects.volume import VolumeConnection
from services.conductor.db import compute_nodes
from services.conductor.db.journal_task import Task
from services.conductor.tasks.ground import Ground

LOG = logging.getLogger(__name__)

_BEING_MADE = frozenset(("creating", "downloading", "uploading", "reimaging"))
# Under this name tasks keep the volumes of an instance that leaves its host.
_LEAVING = "leaving_volumes"


class Storage(Versioned, frozen=True, kw_only=True):
    """An instance's volumes as (id, device name), and how its host reaches volumes.

    `attachments` are those that it has now; `connector_back`: how the host that it comes from
    reaches volumes.
    """

    volumes: tuple[tuple[str, str], ...] = ()
    attachments: tuple[str, ...] = ()
    connector: dict[str, Any] = {}
    connector_back: dict[str, Any] = {}


class _Leaving(Versioned, frozen=True, kw_only=True):
    volume_id: str
    deletes: bool


def storage_of(conn: Connection, instance: Instance, *, host: str) -> Storage:
    """What has to be connected to `host`; nothing for an instance without volumes."""
    disks = [disk for disk in instance.block_devices if disk.volume_id]
    if not disks:
        return Storage()
    back = compute_nodes.connector_of(conn, instance.host) if instance.host else {}
    return Storage(
        volumes=tuple((str(disk.volume_id), disk.device_name or "") for disk in disks),
        attachments=tuple(disk.attachment_id for disk in disks if disk.attachment_id),
        connector=compute_nodes.connector_of(conn, host),
        connector_back=back,
    )


def with_connections(
    instance: Instance, connections: Iterable[VolumeConnection]
) -> tuple[BlockDeviceMapping, ...]:
    """The instance's disks with its volumes as they are connected now."""
    by_volume = {each.volume_id: each for each in connections}
    return tuple(
        msgspec.structs.replace(
            disk,
            attachment_id=by_volume[disk.volume_id].attachment_id,
            connection=by_volume[disk.volume_id].connection,
        )
        if disk.volume_id in by_volume
        else disk
        for disk in instance.block_devices
    )


def without_connections(instance: Instance) -> tuple[BlockDeviceMapping, ...]:
    """The instance's disks with no volume connected."""
    return tuple(
        msgspec.structs.replace(disk, attachment_id=None, connection=None)
        for disk in instance.block_devices
    )


def connections_of(task: Task, step: str) -> tuple[VolumeConnection, ...]:
    """What `step` has connected; nothing where it did not run."""
    return msgspec.convert(task.results.get(step) or (), tuple[VolumeConnection, ...])


def forget_connections(task: Task, *steps: str) -> None:
    """Forget what `steps` have connected, once it is written down: it may hold secrets."""
    for step in steps:
        task.results.pop(step, None)


def connect_and_complete(
    ground: Ground,
    instance: str,
    connector: Mapping[str, Any],
    volumes: Sequence[tuple[str, str]],
    *,
    keep: Sequence[str] = (),
) -> list[VolumeConnection]:
    """Let a host reach volumes, which are in use from now on; attachments in `keep` stay.

    Again: connected anew.
    """
    connections = ground.volumes.connect(instance, connector, volumes, keep=keep)
    ground.volumes.complete(each.attachment_id for each in connections)
    return list(connections)


def await_volumes(ground: Ground, volume_ids: Iterable[str]) -> None:
    """See that the volume service has made them. Again: the same.

    Raises: VolumesNotReady (which is waited for), InvalidVolume, VolumeNotFound, Unavailable.
    """
    unfinished = []
    for volume_id in volume_ids:
        status = ground.volumes.get(volume_id).status
        if status in _BEING_MADE:
            unfinished.append(f"{volume_id} ({status})")
        elif "error" in status:
            raise InvalidVolume(reason=f"making volume {volume_id} ended in status {status}")
    if unfinished:
        raise VolumesNotReady(volumes=", ".join(unfinished))


def note_leaving(task: Task, instance: Instance) -> None:
    """Keep in the task which volumes the instance has, while a step has its row at hand."""
    leaving = [
        _Leaving(volume_id=str(disk.volume_id), deletes=disk.delete_on_termination)
        for disk in instance.block_devices
        if disk.volume_id
    ]
    if leaving:
        task.results[_LEAVING] = msgspec.to_builtins(leaving)


def leaving(task: Task) -> bool:
    """Whether there are volumes to be let go."""
    return bool(task.results.get(_LEAVING))


def reserve_leaving(ground: Ground, task: Task) -> list[VolumeConnection]:
    """Keep the volumes for the instance, connected to no host. Again: fine."""
    volumes = _leaving_volumes(task)
    return list(
        ground.volumes.reserve_anew(task.instance_uuid, [each.volume_id for each in volumes])
    )


def release_leaving(ground: Ground, task: Task) -> None:
    """Free the volumes, and delete those that end with the instance. Again: they are gone.

    One that the volume service does not let go (it has snapshots, say) is no reason to keep the
    instance: the operator finds it in the log. Raises: VolumesNotReady (which is waited for: one
    that is still being made cannot be deleted yet), Unavailable.
    """
    volumes = _leaving_volumes(task)
    ground.volumes.release(task.instance_uuid, [each.volume_id for each in volumes])
    for each in volumes:
        if each.deletes:
            try:
                ground.volumes.delete(each.volume_id)
            except InvalidVolume as kept:
                _raise_if_being_made(ground, each.volume_id)
                LOG.warning("Volume %s stays, though its instance ends: %s", each.volume_id, kept)


def _raise_if_being_made(ground: Ground, volume_id: str) -> None:
    try:
        status = ground.volumes.get(volume_id).status
    except VolumeNotFound:
        return
    if status in _BEING_MADE:
        raise VolumesNotReady(volumes=f"{volume_id} ({status})")


def _leaving_volumes(task: Task) -> list[_Leaving]:
    return msgspec.convert(task.results.get(_LEAVING) or [], list[_Leaving])
