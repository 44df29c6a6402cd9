# SPDX-License-Identifier: Apache-2.0
"""What this host has connected, volume by volume, on its disk.

A record is written before its volume is connected and removed after it is disconnected: a daemon
that is killed in between finds it. It holds secrets of the volume service, so only its owner
reads it.
"""

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from common.errors import HypervisorError
from common.space import full_disk_is_said
from services.compute.volume_sources import VolumeSource

_ID = re.compile(r"[0-9A-Za-z-]+")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of an instance: `connection` as the volume service gave it, `device` as os-brick
    found it, `source` as the guest uses it; the last two are None until it is connected."""

    volume_id: str
    instance_uuid: str
    connection: dict[str, Any]
    device: dict[str, Any] | None = None
    source: VolumeSource | None = None


class Records:
    """The records of a host, a file each in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, volume_id: str, instance_uuid: str) -> Record | None:
        """The record; None where the instance does not have the volume here."""
        try:
            return _read(self._path(volume_id, instance_uuid))
        except FileNotFoundError:
            return None

    def put(self, record: Record) -> None:
        """Write it. Again: the last one holds. Raises: DiskFull."""
        path = self._path(record.volume_id, record.instance_uuid)
        fresh = path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with full_disk_is_said(f"the record of volume {record.volume_id}", path):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)  # of a daemon that was killed
            try:
                with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
                    file.write(msgspec.json.encode(record))
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)

    def remove(self, record: Record) -> None:
        """Remove it. Again: it is gone."""
        self._path(record.volume_id, record.instance_uuid).unlink(missing_ok=True)

    def of_instance(self, instance_uuid: str) -> list[Record]:
        """What an instance has connected, or half connected."""
        return self._matching(f"*.{_checked(instance_uuid)}.json")

    def of_volume(self, volume_id: str) -> list[Record]:
        """Who has a volume connected, or half connected."""
        return self._matching(f"{_checked(volume_id)}.*.json")

    def all(self) -> list[Record]:
        """Every record."""
        return self._matching("*.json")

    def _matching(self, pattern: str) -> list[Record]:
        found = []
        for path in sorted(self._folder.glob(pattern)):
            try:
                found.append(_read(path))
            except FileNotFoundError:  # just removed
                continue
        return found

    def _path(self, volume_id: str, instance_uuid: str) -> Path:
        return self._folder / f"{_checked(volume_id)}.{_checked(instance_uuid)}.json"


def _read(path: Path) -> Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except msgspec.DecodeError as damaged:
        raise HypervisorError(reason=f"{path} cannot be read: {damaged}") from damaged


def _checked(an_id: str) -> str:
    """An id becomes part of a file's name."""
    if not _ID.fullmatch(an_id):
        raise HypervisorError(reason=f"{an_id!r} is no id of a volume or an instance")
    return an_id
