# SPDX-License-Identifier: Apache-2.0
"""Disks that an image brings along: one made from a server that boots from a volume has them.

The property `block_device_mapping` is a JSON list, of the second form where `bdm_v2` says so. What
`mappings` say of swap and ephemeral disks is left out: the flavor gives those by itself.
Whoever may write an image's properties wrote them, so they are held to the schemas of requests.
"""

from typing import Any

import msgspec

from common.errors import ImageUnacceptable, Invalid
from common.objects.image import ImageMeta
from services.api.declare.request import Body
from services.api.declare.types import is_true
from services.api.declare.version import LAST
from services.api.resources.servers import bodies
from services.api.resources.servers.block_devices import written
from services.api.resources.servers.block_devices.disk import Disk, short, with_root

_PROPERTY = "block_device_mapping"
_MOST = 256
_DEFAULT_ROOT = "vda"
# The fields of entries, and those that name a source in the second form.
_FIELDS = (
    "source_type", "destination_type", "guest_format", "device_type", "disk_bus", "boot_index",
    "device_name", "delete_on_termination", "volume_size", "volume_type", "tag", "no_device",
    "virtual_name", "volume_id", "snapshot_id",
)  # fmt: skip
_SOURCES = ("snapshot_id", "volume_id", "image_id")


def disks_of(image: ImageMeta | None) -> list[Disk]:
    """The disks that the image has beside its own data. Raises: ImageUnacceptable."""
    text = image.properties.get(_PROPERTY) if image else None
    if image is None or not text:
        return []
    is_v2 = is_true(image.properties.get("bdm_v2", "").capitalize())
    try:
        disks = _read(text, is_v2=is_v2)
    except (Invalid, msgspec.DecodeError, RecursionError) as wrong:
        raise ImageUnacceptable(
            image=image.id, reason=f"its {_PROPERTY} cannot be used: {wrong}"
        ) from wrong
    return disks if is_v2 else with_root(disks, root_name(image))


def root_name(image: ImageMeta | None) -> str:
    """The name of the disk that the first form boots from, without its directory."""
    named = image.properties.get("root_device_name") if image else None
    return short(named) or _DEFAULT_ROOT


def _read(text: str, *, is_v2: bool) -> list[Disk]:
    entries = msgspec.json.decode(text, type=list[dict[str, Any]])
    if len(entries) > _MOST:
        raise Invalid(f"It has more than {_MOST} entries.")
    if is_v2:
        documents = [_second_form(entry) for entry in entries]
        _checked(bodies.BLOCK_DEVICES_V2, documents)
        return [written.from_v2(document, has_image=False) for document in documents]
    documents = [_known(entry) for entry in entries]
    _checked(bodies.BLOCK_DEVICES_V1, documents)
    disks = [written.from_v1(document) for document in documents]
    return [disk for disk in disks if disk is not None]


def _checked(body: Body, documents: list[dict[str, Any]]) -> None:
    body.check(documents, LAST)


def _known(entry: dict[str, Any]) -> dict[str, Any]:
    """What is said: nulls say nothing, and a size of 0 is none."""
    known = {name: entry[name] for name in _FIELDS if entry.get(name) is not None}
    if known.get("volume_size") == 0:
        del known["volume_size"]
    return known


def _second_form(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as a request would have it: the id of its source is `uuid` there."""
    document = {
        name: value
        for name, value in _known(entry).items()
        if name not in _SOURCES and name != "virtual_name"
    }
    source = entry.get("source_type")
    named = entry.get(f"{source}_id") if f"{source}_id" in _SOURCES else None
    return document | {"uuid": named} if named is not None else document
