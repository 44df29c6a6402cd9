# SPDX-License-Identifier: Apache-2.0
"""Accepting snapshots and backups."""

from typing import Any

from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import InstanceNotReady, Invalid
from common.objects.instance import Instance
from common.states import TaskState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.accept.checks import check
from services.conductor.quota import Quota
from services.conductor.tasks.snapshot import Snapshot

_CREATE_IMAGE = Operation(
    "create_image", Snapshot.name, TaskState.IMAGE_SNAPSHOT, action="createImage"
)
_CREATE_BACKUP = Operation(
    "create_backup", Snapshot.name, TaskState.IMAGE_BACKUP, action="createBackup"
)
_OPERATIONS = frozenset(("create_image", "create_backup", "shelve"))


class AcceptSnapshots:
    """Each raises: InstanceNotFound, InstanceInvalidState, InstanceNotReady, NotSupported."""

    def __init__(self, admission: Admission, quota: Quota) -> None:
        self._admission = admission
        self._quota = quota

    def check(
        self, ctx: RequestContext, instance: str, operation: str, metadata_items: int
    ) -> Instance:
        """The instance, if `operation` would be accepted. Raises: Invalid, QuotaExceeded, …"""
        if operation not in _OPERATIONS:
            raise Invalid(f"No snapshot is taken for {operation}.")
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
            check(ctx, found, operation)
            _check_host(found)
            if operation == _CREATE_BACKUP.name:
                _check_disk(found, operation)
            if metadata_items:
                self._quota.check_metadata(conn, found.project_id, found.user_id, metadata_items)
        return found

    def create_image(self, ctx: RequestContext, instance: str, image_id: str) -> None:
        """Insert a snapshot task."""
        self._admit(ctx, instance, _CREATE_IMAGE, image_id=image_id)

    def record_image(self, ctx: RequestContext, instance: str) -> None:
        """Write the action of an image that is there already."""
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
            check(ctx, found, _CREATE_IMAGE.name)
            self._admission.record(conn, ctx, instance, action="createImage")

    def create_backup(
        self, ctx: RequestContext, instance: str, image_id: str, backup_type: str, rotation: int
    ) -> None:
        """Insert a snapshot task that rotates older backups away."""
        self._admit(
            ctx, instance, _CREATE_BACKUP,
            image_id=image_id, backup_type=backup_type, rotation=rotation,
        )  # fmt: skip

    def _admit(
        self, ctx: RequestContext, instance: str, operation: Operation, **params: Any
    ) -> None:
        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            _check_host(found)
            _check_disk(found, operation.name)
            return params

        self._admission.admit(ctx, instance, operation, prepare=prepare)


def _check_host(found: Instance) -> None:
    if found.host is None:
        raise InstanceNotReady(instance=found.uuid)


def _check_disk(found: Instance, operation: str) -> None:
    """A root disk on the host is what a host takes a snapshot of."""
    if not found.is_volume_backed:
        return
    if operation == _CREATE_BACKUP.name:
        raise Invalid("Backup is not supported for volume-backed instances.")
    raise Invalid("An instance that boots from a volume has no disk on its host to copy.")
