# SPDX-License-Identifier: Apache-2.0
"""Images of servers that boot from a volume: snapshots of their volumes, and words about them.

Snapshots belong to the user's project and are made with the user's token, so all of it is done
here. Such an image has no data; who boots from it gets new volumes made from the snapshots
(`resources/servers/block_devices/image_disks.py` reads what is written here).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common.errors import KilonovaError
from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from common.rpc.conductor.snapshots import Snapshots
from common.states import VmState
from services.api.call import ApiCall
from services.api.discarding import Discards
from services.api.snapshot_images import SnapshotImages
from services.api.volume_gateway import VolumeGateway

LOG = logging.getLogger(__name__)

_LONGEST_NAME = 255


class VolumeImages:
    """Makes them."""

    def __init__(
        self, snapshots: Snapshots, images: SnapshotImages, volumes: VolumeGateway
    ) -> None:
        self._snapshots = snapshots
        self._images = images
        self._volumes = volumes
        self._discards = Discards(volumes)

    @contextmanager
    def made(
        self, call: ApiCall, server: Instance, name: str, *, properties: dict[str, str]
    ) -> Iterator[str]:
        """The id of a new image of `server`; it and its snapshots are gone when the block raises.

        The guest of one that runs writes nothing meanwhile, where it has an agent.
        Raises: QuiesceFailed, VolumeNotFound, InvalidVolume, VolumeQuotaExceeded, and as
        `SnapshotImages.queued`.
        """
        snapshots: list[str] = []
        try:
            with self._quiet(call, server):
                disks = [
                    self._described(call, disk, f"snapshot for {name}", snapshots)
                    for disk in server.block_devices
                ]
            with self._images.of_volumes(
                call, server, name, disks=disks, properties=properties
            ) as image_id:
                yield image_id
        except BaseException:
            self._discards.discard(call, "snapshots", snapshots)
            raise

    @contextmanager
    def _quiet(self, call: ApiCall, server: Instance) -> Iterator[None]:
        if server.vm_state != VmState.ACTIVE or not self._snapshots.quiesce(
            call.caller, server.uuid
        ):
            yield
            return
        try:
            yield
        finally:
            try:
                self._snapshots.unquiesce(call.caller, server.uuid)
            except KilonovaError as failed:  # it goes on by itself, a little later
                LOG.warning("The guest of %s could not be told to go on: %s", server.uuid, failed)

    def _described(
        self, call: ApiCall, disk: BlockDeviceMapping, name: str, snapshots: list[str]
    ) -> dict[str, Any]:
        """A disk as the image tells of it; a volume's snapshot is added to `snapshots`."""
        if disk.volume_id is None:
            return _words(disk) | {"volume_size": disk.size_mib or disk.size_gib or None}
        taken = self._volumes.take_snapshot(call, disk.volume_id, name=name[:_LONGEST_NAME])
        snapshots.append(str(taken["id"]))
        return _words(disk) | {
            "source_type": "snapshot",
            "snapshot_id": taken["id"],
            "volume_size": taken.get("size") or disk.size_gib,
        }


def _words(disk: BlockDeviceMapping) -> dict[str, Any]:
    """What every disk has, in the words of a request's second form."""
    return {
        "source_type": disk.source,
        "destination_type": disk.destination,
        "boot_index": disk.boot_index,
        "device_name": disk.device_name,
        "device_type": disk.device_type,
        "disk_bus": disk.disk_bus,
        "guest_format": disk.guest_format,
        "delete_on_termination": disk.delete_on_termination,
        "tag": disk.tag,
        "volume_type": disk.volume_type,
        "volume_id": None,
        "snapshot_id": None,
        "image_id": disk.image_id if disk.source == "image" else None,
        "no_device": None,
    }
