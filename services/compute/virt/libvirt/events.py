# SPDX-License-Identifier: Apache-2.0
"""Events of guests: which instance's power state may have changed, and why one stands still."""

import logging
from typing import Any

import libvirt

from services.compute.virt.driver import PowerSink
from services.compute.virt.libvirt.domain_xml.domain import domain_name

LOG = logging.getLogger(__name__)


class PowerEvents:
    """Subscribes to each new connection and passes on uuids of our guests."""

    def __init__(self) -> None:
        self.sink: PowerSink = lambda _: None

    def subscribe(self, connection: Any) -> None:
        """Follow this connection's events; ask anew for what happened without one."""
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._happened, None
        )
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, _io_failed, None
        )
        # A container that reboots itself is another one, and has no other event.
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._rebooted, None
        )
        for domain in connection.listAllDomains():
            self._pass_on(domain)

    def _happened(self, _: Any, domain: Any, event: int, detail: int, __: Any) -> None:
        LOG.debug("Guest %s: lifecycle event %d/%d", domain.name(), event, detail)
        self._pass_on(domain)

    def _rebooted(self, _: Any, domain: Any, __: Any) -> None:
        self._pass_on(domain)

    def _pass_on(self, domain: Any) -> None:
        if is_ours(domain):
            self.sink(domain.UUIDString())


def _io_failed(
    _: Any, domain: Any, path: str, device: str, action: int, reason: str, __: Any
) -> None:
    """Its power state comes by an event of its own."""
    if is_ours(domain) and action == libvirt.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE:
        why = "the host's disk is full" if reason == "enospc" else "its disk fails"
        LOG.error(
            "Guest %s stands still, %s: %s (%s)", domain.UUIDString(), why, path or device, reason
        )


def is_ours(domain: Any) -> bool:
    """Whether kilonova made the domain; a host may have others."""
    return bool(domain.name() == domain_name(domain.UUIDString()))
