# SPDX-License-Identifier: Apache-2.0
"""Images for snapshots: made empty with the user's own token, filled by a host later."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common.clients.image import UserImageClient
from common.clients.session import Refused
from common.errors import Conflict, Forbidden, Invalid, KilonovaError
from common.objects.instance import Instance
from services.api.call import ApiCall

LOG = logging.getLogger(__name__)

SNAPSHOT, BACKUP = "snapshot", "backup"
# What says something of the base image's own bytes or history does not hold for a snapshot.
_NOT_INHERITED = frozenset((
    "cache_in_nova", "bittorrent", "img_signature", "img_signature_hash_method",
    "img_signature_key_type", "img_signature_certificate_uuid", "image_type", "instance_uuid",
    "user_id", "base_image_ref", "backup_type", "image_location", "image_state", "owner_id",
))  # fmt: skip
_NOT_INHERITED_PREFIXES = ("owner_specified.", "os_glance_")
_KINDS: dict[int, type[KilonovaError]] = {400: Invalid, 409: Conflict}


class SnapshotImages:
    """Queued images in the name of a caller."""

    def __init__(self, images: UserImageClient) -> None:
        self._images = images

    @contextmanager
    def queued(
        self, call: ApiCall, server: Instance, name: str, *, kind: str, properties: dict[str, str]
    ) -> Iterator[str]:
        """The id of a new image for a snapshot of `server`; gone again when the block raises.

        Raises: Invalid, Forbidden (the user's quota of images), Conflict, Unavailable.
        """
        try:
            image_id = self._images.create(
                call.token, _document(call, server, name, kind, properties)
            )
        except Refused as refused:
            raise _KINDS.get(refused.status, Forbidden)(str(refused)) from refused
        try:
            yield image_id
        except BaseException:
            self._discard(call, image_id)
            raise

    def _discard(self, call: ApiCall, image_id: str) -> None:
        try:
            self._images.delete(call.token, image_id)
        except KilonovaError as failed:
            LOG.warning("Image %s of a refused snapshot is left behind: %s", image_id, failed)


def _document(
    call: ApiCall, server: Instance, name: str, kind: str, properties: dict[str, str]
) -> dict[str, Any]:
    base = server.image
    inherited = {
        key: value
        for key, value in (base.properties if base else {}).items()
        if key not in _NOT_INHERITED and not key.startswith(_NOT_INHERITED_PREFIXES)
    }
    return {
        **inherited,
        "instance_uuid": server.uuid,
        "user_id": call.caller.user_id or "",
        "image_type": kind,
        "base_image_ref": base.id if base else "",
        **properties,
        "name": name,
        "visibility": "private",
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_ram": base.min_ram if base else 0,
        "min_disk": server.flavor.root_gib or (base.min_disk if base else 0),
    }
