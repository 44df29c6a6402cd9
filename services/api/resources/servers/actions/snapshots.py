# SPDX-License-Identifier: Apache-2.0
"""Actions that make images of servers."""

from typing import Any

from common.objects.instance import Instance
from common.policy import PolicyForbids
from common.rpc.conductor.snapshots import Snapshots
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.declare.types import UUID, Field, Record
from services.api.declare.view import Raw
from services.api.resources.servers import bodies
from services.api.responder import responder
from services.api.snapshot_images import BACKUP, SNAPSHOT, SnapshotImages
from services.api.volume_images import VolumeImages

_CREATE_IMAGE = "os_compute_api:servers:create_image"
_VOLUME_BACKED = _CREATE_IMAGE + ":allow_volume_backed"
_IMAGE = Raw(Record([Field("image_id", UUID, since="2.45")]))


class SnapshotActions:
    """createImage, createBackup."""

    def __init__(
        self, snapshots: Snapshots, images: SnapshotImages, of_volumes: VolumeImages
    ) -> None:
        self._snapshots = snapshots
        self._images = images
        self._of_volumes = of_volumes

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {"createImage": self.create_image, "createBackup": self.create_backup}

    @responder(policy=_CREATE_IMAGE, body=bodies.CREATE_IMAGE, returns=_IMAGE, status=202)
    def create_image(self, call: ApiCall, server_id: str) -> dict[str, Any] | None:
        """Make an image of what a server's root disk, or its volumes, have now."""
        body = call.body
        properties = body.get("metadata", {})
        server = self._snapshots.check(
            call.caller,
            server_id,
            operation="create_image",
            metadata_items=_counted(call, properties),
        )
        if server.is_volume_backed:
            return _answer(call, self._image_of_volumes(call, server, body["name"], properties))
        with self._images.queued(
            call, server, body["name"], kind=SNAPSHOT, properties=properties
        ) as image_id:
            self._snapshots.create_image(call.caller, server_id, image_id=image_id)
        return _answer(call, image_id)

    def _image_of_volumes(
        self, call: ApiCall, server: Instance, name: str, properties: dict[str, str]
    ) -> str:
        if not call.allows(_VOLUME_BACKED):
            raise PolicyForbids(rule=_VOLUME_BACKED)
        with self._of_volumes.made(call, server, name, properties=properties) as image_id:
            self._snapshots.record_image(call.caller, server.uuid)
        return image_id

    @responder(
        policy="os_compute_api:os-create-backup",
        body=bodies.CREATE_BACKUP,
        returns=_IMAGE,
        status=202,
    )
    def create_backup(self, call: ApiCall, server_id: str) -> dict[str, Any] | None:
        """Make an image of a server as one of its backups, and drop the oldest of them."""
        body = call.body
        rotation = int(body["rotation"])
        properties = body.get("metadata", {})
        server = self._snapshots.check(
            call.caller,
            server_id,
            operation="create_backup",
            metadata_items=_counted(call, properties),
        )
        marks = {**properties, "backup_type": body["backup_type"]}
        with self._images.queued(
            call, server, body["name"], kind=BACKUP, properties=marks
        ) as image_id:
            self._snapshots.create_backup(
                call.caller,
                server_id,
                image_id=image_id,
                backup_type=body["backup_type"],
                rotation=rotation,
            )
        # Of a backup that is rotated away at once there is nothing to tell.
        return _answer(call, image_id) if rotation else None


def _counted(call: ApiCall, properties: dict[str, str]) -> int:
    """How many items the quota of server metadata limits: it did for images, once."""
    return 0 if call.at_least(39) else len(properties)


def _answer(call: ApiCall, image_id: str) -> dict[str, Any] | None:
    if call.at_least(45):
        return {"image_id": image_id}
    call.location = f"{call.links.root}/images/{image_id}"
    return None
