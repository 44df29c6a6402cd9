# SPDX-License-Identifier: Apache-2.0
"""Accepting rescue, unrescue and rebuild."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import Invalid, KeypairNotFound
from common.guest_hardware.demands import check_demands
from common.objects.block_device import BlockDeviceMapping
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.rebuild import NewContent
from common.states import TaskState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.accept.image_fit import check_fit
from services.conductor.db import compute_nodes, instances, keypairs
from services.conductor.quota import Quota
from services.conductor.tasks.ground import Volumes
from services.conductor.tasks.rebuild import Rebuild, Reimage
from services.conductor.tasks.rescue import Rescue, Unrescue

_RESCUE = Operation("rescue", Rescue.name, TaskState.RESCUING)
_UNRESCUE = Operation("unrescue", Unrescue.name, TaskState.UNRESCUING)
_REBUILD = Operation("rebuild", Rebuild.name, TaskState.REBUILDING)
# What a rebuild may change beside the image, by Instance's names.
_CHANGEABLE = frozenset((
    "name", "description", "hostname", "metadata", "access_ip_v4", "access_ip_v6", "disk_config",
    "key_name", "user_data", "trusted_certs",
))  # fmt: skip


class AcceptRepair:
    """Each raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady."""

    def __init__(self, admission: Admission, quota: Quota, volumes: Volumes) -> None:
        self._admission = admission
        self._quota = quota
        self._volumes = volumes

    def rescue(
        self,
        ctx: RequestContext,
        instance: str,
        password: str,
        image: ImageMeta | None,
        *,
        volume_backed: bool,
    ) -> None:
        """Insert a rescue task. Raises: Invalid."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            if found.is_volume_backed and not (volume_backed and _is_stable(image)):
                raise Invalid(
                    f"Instance {instance} cannot be rescued: Cannot rescue a volume-backed instance"
                )
            chosen = image or found.image
            if chosen is None:
                raise Invalid(f"Instance {instance} cannot be rescued: it has no image to boot")
            return {"image": msgspec.to_builtins(chosen)}

        self._admission.admit(ctx, instance, _RESCUE, prepare=prepare, secret=password)

    def unrescue(self, ctx: RequestContext, instance: str) -> None:
        """Insert an unrescue task."""
        self._admission.admit(ctx, instance, _UNRESCUE)

    def rebuild(self, ctx: RequestContext, instance: str, content: NewContent) -> None:
        """Write the new image and what changes with it, and insert a rebuild task.

        Raises: Invalid, ImageUnacceptable, QuotaExceeded, VolumeNotFound, Unavailable.
        """
        on_volume = None if content.allows_other_image else self._image_on_volume(ctx, instance)

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            image = content.image
            known = (found.image.id if found.image else "") or on_volume
            is_other = known != image.id
            if found.is_volume_backed and is_other and not content.allows_other_image:
                raise Invalid(
                    "Unable to rebuild with a different image for a volume-backed server."
                )
            check_fit(
                image,
                found.flavor,
                disk_config=content.changes.get("disk_config"),
                boots_from_volume=found.is_volume_backed,
            )
            if is_other:
                check_demands(found.flavor, image)
            changes = self._changes(conn, found, content)
            instances.change(
                conn,
                instance,
                image=image,
                image_id=image.id,
                kernel_id=image.properties.get("kernel_id", ""),
                ramdisk_id=image.properties.get("ramdisk_id", ""),
                progress=0,
                # The drive is how injected files reach a guest; one that is there stays.
                config_drive=found.config_drive
                or bool(content.injected_files)
                or image.needs_config_drive,
                **changes,
            )
            return {
                "vm_state": found.vm_state,
                "preserve_ephemeral": content.preserve_ephemeral,
                "injected_files": msgspec.to_builtins(content.injected_files),
                "reimage": _reimage(conn, found, image) if content.allows_other_image else None,
            }

        secret = content.admin_password
        self._admission.admit(ctx, instance, _REBUILD, prepare=prepare, secret=secret)

    def _image_on_volume(self, ctx: RequestContext, instance: str) -> str | None:
        """From which image the volume was made that an instance boots from, as the volume service
        says; None where the instance's own row tells its image.
        """
        found = self._admission.look(ctx, instance, _REBUILD)
        root = _root_volume(found)
        if root is None or (found.image and found.image.id):
            return None
        return self._volumes.get(str(root.volume_id)).image_properties.get("image_id")

    def _changes(self, conn: Connection, found: Instance, content: NewContent) -> dict[str, Any]:
        """Columns to change, checked. Raises: Invalid, QuotaExceeded."""
        changes = dict(content.changes)
        unknown = sorted(changes.keys() - _CHANGEABLE)
        if unknown:
            raise Invalid(f"Fields that a rebuild does not change: {', '.join(unknown)}")
        if "metadata" in changes:
            items = len(changes["metadata"])
            self._quota.check_metadata(conn, found.project_id, found.user_id, items)
        self._quota.check_injected_files(
            conn, found.project_id, found.user_id, content.injected_files
        )
        if changes.get("key_name") is not None:
            try:
                changes["keypair"] = keypairs.get(conn, found.user_id, changes["key_name"])
            except KeypairNotFound as missing:
                raise Invalid("Invalid key_name provided.") from missing
        elif "key_name" in changes:
            changes["keypair"] = None
        return changes


def _reimage(conn: Connection, found: Instance, image: ImageMeta) -> dict[str, Any] | None:
    """What is to be written into the volume that `found` boots from; None without one."""
    root = _root_volume(found)
    if root is None:
        return None
    wanted = Reimage(
        volume_id=str(root.volume_id),
        device_name=root.device_name or "",
        image_id=image.id,
        connector=compute_nodes.connector_of(conn, found.host or ""),
    )
    return dict(msgspec.to_builtins(wanted))


def _root_volume(found: Instance) -> BlockDeviceMapping | None:
    """The volume that an instance boots from."""
    disks = found.block_devices
    return next((disk for disk in disks if disk.boot_index == 0 and disk.volume_id), None)


def _is_stable(image: ImageMeta | None) -> bool:
    """Whether an image can be a rescue disk beside a root volume that stays the first disk."""
    properties = image.properties if image else {}
    return "hw_rescue_device" in properties or "hw_rescue_bus" in properties
