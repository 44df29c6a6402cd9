# SPDX-License-Identifier: Apache-2.0
"""Which events of ports concern the compute service: those of ports that instances have."""

from typing import Any

from services.companion.compute_events import ComputeEvents

PLUGGED, UNPLUGGED = "network-vif-plugged", "network-vif-unplugged"
CHANGED, DELETED = "network-changed", "network-vif-deleted"
_COMPUTE_PREFIX = "compute:"


class PortEvents:
    """Tells of ports."""

    def __init__(self, events: ComputeEvents) -> None:
        self._events = events

    def tell(self, name: str, port: dict[str, Any]) -> None:
        """Tell of `name` at a port, if an instance is behind it. Returns at once."""
        owner, server = port.get("device_owner") or "", port.get("device_id") or ""
        if owner.startswith(_COMPUTE_PREFIX) and server:
            self._events.tell(name, server, port["id"])
