# SPDX-License-Identifier: Apache-2.0
"""Accepting changes of an instance's interfaces, and keeping what is known of them true."""

import logging

from common.context import RequestContext
from common.states import VmState
from services.conductor.accept.admission import Admission
from services.conductor.db import instances
from services.conductor.tasks.ground import Ports

LOG = logging.getLogger(__name__)

_TRIES = 3


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
