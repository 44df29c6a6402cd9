# SPDX-License-Identifier: Apache-2.0
"""Volume: what kilonova needs to know of a volume of the volume service."""

from typing import Any

from common.objects.versioned import Versioned


class Volume(Versioned, frozen=True, kw_only=True):
    """A volume as the volume service describes it. `size_gib` in GiB.

    `image_properties` are those of the image that it was made from, as text; `attached_to` the
    instances that it is attached to. `is_migrating`: the volume service moves its data now.
    """

    id: str
    status: str
    size_gib: int
    bootable: bool = False
    multiattach: bool = False
    encrypted: bool = False
    availability_zone: str | None = None
    volume_type: str | None = None
    project_id: str | None = None
    is_migrating: bool = False
    attached_to: tuple[str, ...] = ()
    image_properties: dict[str, str] = {}


class RequestedVolume(Versioned, frozen=True, kw_only=True):
    """A volume to be attached. `device_name` None: the next that is free."""

    volume_id: str
    size_gib: int = 0
    device_name: str | None = None
    tag: str | None = None
    delete_on_termination: bool = False
    multiattach: bool = False


class VolumeConnection(Versioned, frozen=True, kw_only=True):
    """How a host reaches a volume: the attachment, and what the volume service says of it."""

    volume_id: str
    attachment_id: str
    connection: dict[str, Any] | None = None
