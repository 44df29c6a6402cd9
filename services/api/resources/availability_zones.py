# SPDX-License-Identifier: Apache-2.0
"""`/os-availability-zone`: zones, and (for administrators) the services in them."""

from typing import Any

from common.clock import iso_microseconds
from common.objects.aggregate import ZoneView
from common.rpc.conductor.hosts import Hosts
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY
from services.api.declare.types import NULL, TEXT, Plain
from services.api.declare.view import Listing, Shown, View
from services.api.responder import responder

_RULE = "os_compute_api:os-availability-zone:"
_INTERNAL = "internal"


def _state(zone: ZoneView, call: ApiCall) -> dict[str, bool]:
    return {"available": zone.available}


def _hosts(zone: ZoneView, call: ApiCall) -> Any:
    if not zone.available:
        return None
    return {
        host: {
            binary: {
                "available": service.available,
                "active": service.active,
                "updated_at": iso_microseconds(service.updated_at) if service.updated_at else None,
            }
            for binary, service in services.items()
        }
        for host, services in zone.hosts.items()
    }


_NAME = Shown("zoneName", TEXT, "name")
_STATE = Shown("zoneState", Plain({"type": "object"}), _state)
BRIEF = View("zone", [_NAME, _STATE, Shown("hosts", NULL, lambda zone, call: None)])
DETAIL = View("zone-detail", [_NAME, _STATE, Shown("hosts", Plain({}), _hosts)])


class AvailabilityZones:
    """`/os-availability-zone` and its details."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    @responder(
        policy=_RULE + "list", query=ANY_QUERY, returns=Listing("availabilityZoneInfo", BRIEF)
    )
    def on_get(self, call: ApiCall) -> list[ZoneView]:
        """List zones that servers can be in."""
        return [zone for zone in self._hosts.zones(call.caller) if zone.name != _INTERNAL]

    @responder(
        policy=_RULE + "detail", query=ANY_QUERY, returns=Listing("availabilityZoneInfo", DETAIL)
    )
    def on_get_detail(self, call: ApiCall) -> list[ZoneView]:
        """List zones with the services of their hosts."""
        return self._hosts.zones(call.caller)
