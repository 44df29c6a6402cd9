# SPDX-License-Identifier: Apache-2.0
"""Accepting shelve, offload and unshelve, and offloading what was shelved long enough ago."""

import logging
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.context import RequestContext, service_context
from common.errors import Conflict, HostNotFound, Invalid, KilonovaError
from common.objects.instance import Instance
from common.objects.service import Service
from common.objects.unshelving import Unshelving
from common.states import TaskState, VmState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.db import instances, services
from services.conductor.tasks.placing import spec_of
from services.conductor.tasks.shelve import (
    SHELVED_AT_KEY,
    SHELVED_IMAGE_KEY,
    Shelve,
    ShelveOffload,
)
from services.conductor.tasks.unshelve import Unshelve, UnshelveInPlace, UnshelveParams

LOG = logging.getLogger(__name__)

NEVER = -1
_SHELVE = Operation("shelve", Shelve.name, TaskState.SHELVING)
_SHELVE_OFFLOAD = Operation(
    "shelve_offload", ShelveOffload.name, TaskState.SHELVING_OFFLOADING, action="shelveOffload"
)
_UNSHELVE = Operation("unshelve", Unshelve.name, TaskState.UNSHELVING, on_host=False)
_UNSHELVE_IN_PLACE = Operation(
    "unshelve", UnshelveInPlace.name, TaskState.UNSHELVING, action="unshelve"
)
_MOST_OFFLOADED = 100  # in one round; the rest waits for the next


class AcceptShelving:
    """`offload_after_s`: how long a shelved instance stays on its host; 0 not at all, -1 for ever.

    Each raises: InstanceNotFound, InstanceLocked, InstanceInvalidState.
    """

    def __init__(self, admission: Admission, *, offload_after_s: int, down_after_s: float) -> None:
        self._admission = admission
        self._offload_after_s = offload_after_s
        self._down_after_s = down_after_s

    def shelve(self, ctx: RequestContext, instance: str, image_id: str | None) -> None:
        """Insert a shelve task. Raises: InstanceNotReady, Invalid (no image to fill)."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            if image_id is None and not found.is_volume_backed:
                raise Invalid(f"Instance {instance} has a local disk: shelving it takes an image.")
            # Without a local disk there is nothing on the host that would be worth to stay for.
            offload = found.is_volume_backed or self._offload_after_s == 0
            return {"image_id": image_id, "offload": offload}

        self._admission.admit(ctx, instance, _SHELVE, prepare=prepare)

    def shelve_offload(self, ctx: RequestContext, instance: str) -> None:
        """Insert an offload task."""
        self._admission.admit(
            ctx, instance, _SHELVE_OFFLOAD, prepare=lambda conn, found: {"offload": True}
        )

    def unshelve(self, ctx: RequestContext, instance: str, to: Unshelving | None) -> None:
        """Insert an unshelve task. Raises: Invalid (no such zone or host), Conflict."""
        with self._admission.begin() as conn:
            is_offloaded = (
                self._admission.find(conn, ctx, instance).vm_state == VmState.SHELVED_OFFLOADED
            )

        def in_place(conn: Connection, found: Instance) -> dict[str, Any]:
            if to is not None:
                raise Conflict(
                    "Specifying an availability zone or a host when unshelving server "
                    f'"{instance}" with status "{found.vm_state}" is not supported. The server '
                    "status must be SHELVED_OFFLOADED."
                )
            return {"image_id": found.system_metadata.get(SHELVED_IMAGE_KEY)}

        def elsewhere(conn: Connection, found: Instance) -> dict[str, Any]:
            return msgspec.to_builtins(self._params(conn, found, to))  # type: ignore[no-any-return]

        # Offloading takes the row's lock as well: what was seen above holds, or is refused there.
        if is_offloaded:
            self._admission.admit(ctx, instance, _UNSHELVE, prepare=elsewhere)
        else:
            self._admission.admit(ctx, instance, _UNSHELVE_IN_PLACE, prepare=in_place)

    def offload_due(self) -> None:
        """Offload what was shelved long enough ago. Again: what is left of it."""
        if self._offload_after_s == NEVER:
            return
        with self._admission.begin() as conn:
            due = instances.marked_before(
                conn,
                VmState.SHELVED,
                SHELVED_AT_KEY,
                older_than_s=self._offload_after_s,
                most=_MOST_OFFLOADED,
            )
        for instance in due:
            LOG.info("Offloading %s, shelved over %d s ago", instance, self._offload_after_s)
            try:
                self.shelve_offload(service_context(), instance)
            except KilonovaError as refused:  # it was unshelved or deleted just now
                LOG.debug("Instance %s is not offloaded: %s", instance, refused)

    def _params(self, conn: Connection, found: Instance, to: Unshelving | None) -> UnshelveParams:
        zone = found.pinned_availability_zone
        host = None
        if to is not None:
            zone = to.zone if to.changes_zone else zone
            host = to.host
            self._check_place(conn, found, zone, to)
            if to.changes_zone:
                instances.change(conn, found.uuid, pinned_availability_zone=zone)
        return UnshelveParams(
            spec=spec_of(found, availability_zone=zone, requested_host=host),
            image_id=found.system_metadata.get(SHELVED_IMAGE_KEY),
        )

    def _check_place(
        self, conn: Connection, found: Instance, zone: str | None, to: Unshelving
    ) -> None:
        """Raises: Invalid (no such zone or host), Conflict (a host outside the zone)."""
        if to.changes_zone and zone is not None:
            known = services.list_services(
                conn, binary=services.COMPUTE, down_after_s=self._down_after_s
            )
            if all(service.availability_zone != zone for service in known):
                raise Invalid("The requested availability zone is not available")
        if to.host is None:
            return
        try:
            service: Service = services.get(
                conn, host=to.host, binary=services.COMPUTE, down_after_s=self._down_after_s
            )
        except HostNotFound as unknown:
            raise Invalid(str(unknown)) from unknown
        if zone is not None and service.availability_zone != zone:
            raise Conflict(f'Host "{to.host}" is not in the availability zone "{zone}".')
