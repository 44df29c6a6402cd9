# SPDX-License-Identifier: Apache-2.0
"""Accepting changes of an instance's interfaces, and keeping what is known of them true."""

import logging
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.context import RequestContext, service_context
from common.errors import InterfaceAttachFailed, KilonovaError, PortNotFound
from common.objects.external_event import ExternalEvent
from common.objects.instance import Instance
from common.objects.network import RequestedNetwork, VirtualInterface
from common.states import VmState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.accept.checks import check
from services.conductor.db import instances, journal, task_ends
from services.conductor.tasks.ground import NETWORKS_KEY, Ports, has_networks
from services.conductor.tasks.interfaces import AttachInterface, AttachParams, DetachInterface

LOG = logging.getLogger(__name__)

_TRIES = 3
_ATTACH = Operation("attach_interface", AttachInterface.name, None)
_DETACH = Operation("detach_interface", DetachInterface.name, None)


class AcceptInterfaces:
    """Each raises: InstanceNotFound."""

    def __init__(self, admission: Admission, ports: Ports) -> None:
        self._admission = admission
        self._ports = ports

    def refresh(self, ctx: RequestContext, instance: str) -> None:
        """Keep the instance's interfaces as the network service has them now.

        What a flow changed meanwhile is newer: then they are read again.
        Again: fine. Raises: Unavailable.
        """
        for _ in range(_TRIES):
            with self._admission.begin() as conn:
                before = self._admission.find(conn, ctx, instance)
            vifs = self._ports.interfaces(instance, before.vifs)
            groups = self._ports.group_names(g for vif in vifs for g in vif.security_groups)
            with self._admission.begin() as conn:
                found = self._admission.find(conn, ctx, instance)
                if found.vm_state == VmState.BUILDING:
                    return
                if found.vifs != before.vifs:
                    continue
                if (found.vifs, found.security_groups) != (vifs, groups):
                    instances.change(conn, instance, vifs=vifs, security_groups=groups)
                return
        LOG.warning("The interfaces of %s change faster than they can be read", instance)

    def attach(self, ctx: RequestContext, instance: str, wanted: RequestedNetwork) -> str:
        """Insert a task; its id. Raises: InstanceLocked, InstanceInvalidState, …NotReady."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            if not has_networks(found):  # from now on its deletion has to look for ports
                marks = {k: v for k, v in found.system_metadata.items() if k != NETWORKS_KEY}
                instances.change(conn, instance, system_metadata=marks)
            return dict(msgspec.to_builtins(AttachParams(wanted=wanted)))

        return self._admission.admit(ctx, instance, _ATTACH, prepare=prepare)

    def attached(self, ctx: RequestContext, instance: str, task: str) -> str | None:
        """The port that the task has attached; None while it runs.

        Raises: TaskNotFound; InterfaceAttachFailed (by the host); what the network service said.
        """
        try:
            with self._admission.begin() as conn:
                results = task_ends.results_of(conn, task, instance=instance)
        except KilonovaError as failed:
            if failed.kind != KilonovaError.kind:
                raise
            raise InterfaceAttachFailed(instance=instance) from failed
        if results is None:
            return None
        return msgspec.convert(results["plug"], VirtualInterface).port_id

    def detach(self, ctx: RequestContext, instance: str, port_id: str) -> None:
        """Insert a task. Raises: PortNotFound, InstanceLocked, InstanceInvalidState, …NotReady."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            if all(vif.port_id != port_id for vif in found.vifs):
                raise PortNotFound(port=port_id)
            return {"port_id": port_id}

        self._admission.admit(ctx, instance, _DETACH, prepare=prepare)

    def add_fixed_ip(self, ctx: RequestContext, instance: str, network_id: str) -> None:
        """Give a port one more address, at once; what is known of it follows.

        Again: yet another one. Raises: InstanceLocked, NetworkNotFound, NoMoreAddresses.
        """
        self._begin(ctx, instance, "add_fixed_ip", action="addFixedIp")
        self._ports.add_fixed_ip(instance, network_id)
        self.refresh(ctx, instance)

    def remove_fixed_ip(self, ctx: RequestContext, instance: str, address: str) -> None:
        """Take an address from a port, at once. Raises: InstanceLocked, Invalid (not its own)."""
        self._begin(ctx, instance, "remove_fixed_ip", action="removeFixedIp")
        self._ports.remove_fixed_ip(instance, address)
        self.refresh(ctx, instance)

    # --- what the network service tells ---

    def port_changed(self, event: ExternalEvent) -> None:
        """Something of a port is another: read all anew. Raises: Unavailable."""
        self.refresh(service_context(), event.server_uuid)

    def port_deleted(self, event: ExternalEvent) -> None:
        """Somebody deleted a port under its instance: take the device from the guest.

        While a task runs, the deletion may be its own doing, and the instance is left to it.
        Raises: InstanceInvalidState (it keeps the device until it is detached).
        """
        with self._admission.begin() as conn:
            found = self._admission.find(conn, service_context(), event.server_uuid)
            is_known = any(vif.port_id == event.tag for vif in found.vifs)
            if not is_known or journal.unfinished(conn, event.server_uuid):
                return
        self.detach(service_context(), event.server_uuid, str(event.tag))

    def _begin(self, ctx: RequestContext, instance: str, operation: str, *, action: str) -> None:
        with self._admission.begin() as conn:
            check(ctx, self._admission.find(conn, ctx, instance), operation)
            self._admission.record(conn, ctx, instance, action=action)
