# SPDX-License-Identifier: Apache-2.0
"""Images for snapshots: made with the user's own token.

Those of disks on a host are made empty and filled by the host later; those of volumes have no data.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

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
    """New images in the name of a caller."""

    def __init__(self, images: UserImageClient) -> None:
        self._images = images

    @contextmanager
    def queued(
        self, call: ApiCall, server: Instance, name: str, *, kind: str, properties: dict[str, str]
    ) -> Iterator[str]:
        """The id of a new image for a snapshot of `server`; gone again when the block raises.

        Raises: Invalid, Forbidden (the user's quota of images), Conflict, Unavailable.
        """
        with self._made(call, _snapshot(call, server, name, kind, properties)) as image_id:
            yield image_id

    @contextmanager
    def of_volumes(
        self,
        call: ApiCall,
        server: Instance,
        name: str,
        *,
        disks: list[dict[str, Any]],
        properties: dict[str, str],
    ) -> Iterator[str]:
        """As `queued`, of an image without data that tells of `disks` in its properties.

        The image is active at once: what data it has, none, is sent.
        """
        with self._made(call, _of_volumes(server, name, disks, properties)) as image_id:
            path = f"/images/{quote(image_id, safe='')}/file"
            kind = {"Content-Type": "application/octet-stream"}
            with _refusals_translated():
                self._images.request(call.token, "PUT", path, data=b"", headers=kind)
            yield image_id

    @contextmanager
    def _made(self, call: ApiCall, document: dict[str, Any]) -> Iterator[str]:
        with _refusals_translated():
            image_id = self._images.create(call.token, document)
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


@contextmanager
def _refusals_translated() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise _KINDS.get(refused.status, Forbidden)(str(refused)) from refused


def _snapshot(
    call: ApiCall, server: Instance, name: str, kind: str, properties: dict[str, str]
) -> dict[str, Any]:
    base = server.image
    return {
        **_inherited(server),
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


def _of_volumes(
    server: Instance, name: str, disks: list[dict[str, Any]], properties: dict[str, str]
) -> dict[str, Any]:
    return {
        **_inherited(server),
        **properties,
        "root_device_name": server.root_device_name,
        "block_device_mapping": json.dumps(disks),
        "bdm_v2": "True",
        "name": name,
        "visibility": "private",
        "disk_format": "raw",
        "container_format": "bare",
        "min_ram": server.image.min_ram if server.image else 0,
    }


def _inherited(server: Instance) -> dict[str, str]:
    return {
        key: value
        for key, value in (server.image.properties if server.image else {}).items()
        if key not in _NOT_INHERITED and not key.startswith(_NOT_INHERITED_PREFIXES)
    }
