# SPDX-License-Identifier: Apache-2.0
"""The `host_power` interface: hosts are powered, and put into maintenance, by their drivers."""

import logging

from common.context import RequestContext
from common.errors import HostDown, Invalid
from common.objects.host_power import HostPowerAction
from common.objects.service import Service
from common.rpc.compute import Compute
from common.rpc.conductor.host_power import HostPower
from common.rpc.conductor.hosts import Hosts
from services.conductor.computes import Computes
from services.conductor.db import services
from services.conductor.db.engine import Database
from services.conductor.db.services import COMPUTE

LOG = logging.getLogger(__name__)

MAINTENANCE = "Host is in maintenance"


class HostPowerEndpoint(HostPower):
    """`hosts` enables and disables services."""

    def __init__(
        self, database: Database, computes: Computes, hosts: Hosts, *, down_after_s: float
    ) -> None:
        self._database = database
        self._computes = computes
        self._hosts = hosts
        self._down_after_s = down_after_s

    def power(self, ctx: RequestContext, host: str, *, action: HostPowerAction) -> None:
        """Have the host's daemon do it, which outlives a host that it powers off."""
        _, compute = self._find(host, even_down=action is HostPowerAction.STARTUP)
        compute.power_host(ctx, host, action=action)
        LOG.info("Host %s: power action %s", host, action)

    def set_maintenance(self, ctx: RequestContext, host: str, *, on: bool) -> None:
        """Have the driver do its part, then keep new instances away, or no longer."""
        service, compute = self._find(host)
        compute.set_maintenance(ctx, host, on=on)
        if on and not service.disabled:
            self._hosts.update_service(
                ctx, host=host, binary=COMPUTE, disabled=True, disabled_reason=MAINTENANCE
            )
        elif not on and service.disabled_reason == MAINTENANCE:
            self._hosts.update_service(ctx, host=host, binary=COMPUTE, disabled=False)
        LOG.info("Host %s: maintenance %s", host, "on" if on else "off")

    def _find(self, host: str, *, even_down: bool = False) -> tuple[Service, Compute]:
        with self._database.read() as conn:
            service = services.get(conn, host=host, binary=COMPUTE, down_after_s=self._down_after_s)
            if even_down:
                return service, self._computes.of(service)
            try:
                return service, self._computes.on(conn, host)
            except HostDown as silent:
                raise Invalid(f"Compute service of {host} is unavailable at this time.") from silent
