# SPDX-License-Identifier: Apache-2.0
"""Volumes of this host's instances: connected when a guest shall have them, disconnected after.

A volume that several instances of this host have is disconnected when the last of them lets go.
What happens to one volume, or to one share, happens one after the other.
"""

import contextlib
import logging
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from common.errors import DiskFull, VolumeUnreachable
from common.objects.block_device import BlockDeviceMapping
from services.compute.brick import Connector, brick_speaks
from services.compute.images import GIB
from services.compute.volume_records import Record, Records
from services.compute.volume_sources import (
    RBD,
    SHARE_TYPES,
    RbdAccess,
    VolumeSource,
    connection_of,
    rbd_source,
    refuse,
    source_of,
)

LOG = logging.getLogger(__name__)


class Ways(Protocol):
    """The ways from this host to volumes: services/compute/brick.py."""

    def host_properties(self) -> dict[str, Any]:
        """How the volume service is told about this host."""

    def connector(self, kind: str) -> Connector:
        """What connects volumes of a type."""

    def guarded(self, kind: str) -> contextlib.AbstractContextManager[None]:
        """Keep others away while a device comes or goes."""

    def answers(self, folder: Path) -> bool:
        """Whether the share that is mounted there answers."""

    def unmount(self, export: str) -> None:
        """Unmount an NFS share. Again: it is not mounted."""


class Volumes:
    """Connects and disconnects; knows what is connected by records in `folder`."""

    def __init__(self, folder: Path, ways: Ways, *, rbd: RbdAccess | None = None) -> None:
        self._records = Records(folder)
        self._ways = ways
        self._rbd = rbd or RbdAccess()
        self._lock = threading.Lock()
        self._in_work: dict[str, threading.Lock] = {}

    def host_properties(self) -> dict[str, Any]:
        """How the volume service is told about this host."""
        return self._ways.host_properties()

    def connect(self, instance_uuid: str, disk: BlockDeviceMapping) -> VolumeSource:
        """Have the volume on this host, for this instance; where it is.

        Again: it is the same, or where it is now, after the host was started anew.
        Raises: VolumeUnreachable, DiskFull; nothing of it is left then.
        """
        kind, data = connection_of(disk)
        with self._alone(disk.volume_id, kind, data):
            had = self._records.get(str(disk.volume_id), instance_uuid)
            record = Record(
                volume_id=str(disk.volume_id),
                instance_uuid=instance_uuid,
                connection=disk.connection or {},
                device=had.device if had else None,
                source=had.source if had else None,
            )
            self._records.put(record)
            try:
                device, source = self._bring(disk.volume_id, kind, data)
                if had and had.connection == disk.connection and had.source:
                    source = _moved(disk.volume_id, source, had.source)
                record = msgspec.structs.replace(record, device=device, source=source)
                self._records.put(record)
            except (VolumeUnreachable, DiskFull):
                if had is None:
                    self._let_go(record, force=True)
                else:
                    self._records.put(had)
                raise
            return source

    def disconnect(self, instance_uuid: str, volume_id: str, *, force: bool = False) -> None:
        """The instance has it no longer; the host neither, unless another instance has it.

        Again: nothing. `force`: whatever the storage says, as for a volume that never came.
        Raises: VolumeUnreachable, without `force`; then it counts as connected.
        """
        record = self._records.get(volume_id, instance_uuid)
        if record is None:
            return
        kind, data = _kind_and_data(record)
        with self._alone(volume_id, kind, data):
            self._let_go(record, force=force or record.source is None)

    def disconnect_all(self, instance_uuid: str) -> None:
        """The instance has no volume here any more, whatever the storage says. Again: nothing."""
        for record in self._records.of_instance(instance_uuid):
            self.disconnect(instance_uuid, record.volume_id, force=True)

    def source(self, instance_uuid: str, volume_id: str) -> VolumeSource | None:
        """Where a volume is that the instance has connected; None for one that it has not."""
        record = self._records.get(volume_id, instance_uuid)
        return record.source if record else None

    def sources(self, instance_uuid: str) -> dict[str, VolumeSource]:
        """All that the instance has connected, by volume."""
        records = self._records.of_instance(instance_uuid)
        return {record.volume_id: record.source for record in records if record.source}

    def moved(self, instance_uuid: str, volume_id: str, path: str, disk_format: str) -> None:
        """The guest uses another file of the volume now: a snapshot was made, or merged.

        That holds until the volume service describes the volume anew.
        """
        record = self._records.get(volume_id, instance_uuid)
        if record is None or record.source is None:
            refuse(volume_id, "it is not connected")
        source = msgspec.structs.replace(record.source, path=path, format=disk_format)
        self._records.put(msgspec.structs.replace(record, source=source))

    def extend(self, instance_uuid: str, disk: BlockDeviceMapping) -> int:
        """Notice that the volume has `disk.size_gib` GiB now; its size in bytes.

        Again: the same. Raises: VolumeUnreachable.
        """
        record = self._records.get(str(disk.volume_id), instance_uuid)
        if record is None or record.source is None:
            refuse(disk.volume_id, "it is not connected")
        wanted = disk.size_gib * GIB
        if record.source.kind != "block":
            return wanted
        kind, data = _kind_and_data(record)
        with self._alone(disk.volume_id, kind, data), brick_speaks(disk.volume_id):
            found = self._ways.connector(kind).extend_volume(dict(data))
        return found or wanted

    def _bring(
        self, volume_id: str | None, kind: str, data: dict[str, Any]
    ) -> tuple[dict[str, Any] | None, VolumeSource]:
        if kind == RBD:
            return None, rbd_source(volume_id, data, self._rbd)
        with brick_speaks(volume_id), self._ways.guarded(kind):
            device = self._ways.connector(kind).connect_volume(dict(data))
            path = device["path"]
        path = path.decode() if isinstance(path, bytes) else str(path)
        if kind in SHARE_TYPES:
            self._check_answers(volume_id, Path(path).parent)
        is_block = _look(volume_id, path)
        found = {name: value for name, value in device.items() if isinstance(value, str | int)}
        return found, source_of(volume_id, kind, data, path, is_block=is_block)

    def _check_answers(self, volume_id: str | None, folder: Path) -> None:
        """Raises: VolumeUnreachable, where the server is gone: looking would wait for it."""
        with brick_speaks(volume_id):
            is_there = self._ways.answers(folder)
        if not is_there:
            reason = f"the server of {folder} does not answer"
            raise VolumeUnreachable(volume=volume_id, reason=reason)

    def _let_go(self, record: Record, *, force: bool) -> None:
        others = [
            other
            for other in self._records.of_volume(record.volume_id)
            if other.instance_uuid != record.instance_uuid
        ]
        kind, data = _kind_and_data(record)
        if not others and kind != RBD:
            try:
                with brick_speaks(record.volume_id), self._ways.guarded(kind):
                    self._ways.connector(kind).disconnect_volume(
                        dict(data), record.device, force=force, ignore_errors=force
                    )
            except VolumeUnreachable as failed:
                if not force:
                    raise
                LOG.error("%s; a device of it may be left", failed)
        self._records.remove(record)
        if kind in SHARE_TYPES:
            self._leave_share(str(data.get("export")))

    def _leave_share(self, export: str) -> None:
        """Unmount a share that no volume is used of."""
        for record in self._records.all():
            _, data = _kind_and_data(record)
            if data.get("export") == export:
                return
        try:
            with brick_speaks(None):
                self._ways.unmount(export)
        except VolumeUnreachable as failed:
            LOG.warning("The share %s stays mounted: %s", export, failed)

    @contextlib.contextmanager
    def _alone(self, volume_id: str | None, kind: str, data: dict[str, Any]) -> Iterator[None]:
        key = str(data.get("export")) if kind in SHARE_TYPES else str(volume_id)
        with self._lock:
            lock = self._in_work.setdefault(key, threading.Lock())
        with lock:
            yield


def _kind_and_data(record: Record) -> tuple[str, dict[str, Any]]:
    return str(record.connection["driver_volume_type"]).lower(), record.connection["data"]


def _look(volume_id: str | None, path: str) -> bool:
    """Whether a block device is there, or a file. Raises: VolumeUnreachable, for neither."""
    try:
        mode = os.stat(path).st_mode
    except OSError as missing:
        reason = f"there is nothing at {path} ({missing.strerror})"
        raise VolumeUnreachable(volume=volume_id, reason=reason) from missing
    if not os.path.isabs(path) or not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        refuse(volume_id, f"{path} is neither a file nor a block device")
    return stat.S_ISBLK(mode)


def _moved(volume_id: str | None, now: VolumeSource, before: VolumeSource) -> VolumeSource:
    """`now`, with the file that snapshots have moved the guest to.

    The volume service describes the volume as it did before they were made. Without that file the
    one below it is an old state, which must not be written to. Raises: VolumeUnreachable.
    """
    if now.kind != "file" or before.kind != "file" or now.path == before.path:
        return now
    _look(volume_id, before.path)
    return msgspec.structs.replace(now, path=before.path, format=before.format)
