# SPDX-License-Identifier: Apache-2.0
"""Every URL of the Network API."""

from typing import Any

import falcon

from common.clock import Clock
from services.companion.compute_events import ComputeEvents
from services.companion.network.auto_allocated import AutoAllocatedTopologies
from services.companion.network.bindings import PortBindings
from services.companion.network.documents import Extensions, NetworkVersions
from services.companion.network.floatingips import FloatingIps
from services.companion.network.networks import Networks
from services.companion.network.plane.keeper import Plane
from services.companion.network.port_events import PortEvents
from services.companion.network.ports import Ports
from services.companion.network.quotas import Quotas
from services.companion.network.resource import BASE
from services.companion.network.routers import Routers
from services.companion.network.security_groups import SecurityGroupRules, SecurityGroups
from services.companion.network.subnets import Subnets
from services.companion.settings import Settings
from services.companion.store.engine import Store


def install(
    app: falcon.App[Any, Any],
    store: Store,
    clock: Clock,
    settings: Settings,
    plane: Plane,
    events: ComputeEvents,
) -> None:
    """Serve the Network API below /network."""
    versions, extensions, quotas = NetworkVersions(), Extensions(), Quotas(store)
    app.add_route("/network", versions)
    app.add_route(BASE, versions, suffix="one")
    app.add_route(f"{BASE}/extensions", extensions)
    app.add_route(f"{BASE}/extensions/{{alias}}", extensions, suffix="one")
    app.add_route(f"{BASE}/quotas", quotas)
    app.add_route(f"{BASE}/quotas/{{project_id}}", quotas, suffix="one")
    app.add_route(f"{BASE}/quotas/{{project_id}}/default", quotas, suffix="default")
    app.add_route(f"{BASE}/quotas/{{project_id}}/details.json", quotas, suffix="details")
    app.add_route(f"{BASE}/quotas/{{project_id}}/details", quotas, suffix="details")
    routers, port_events = Routers(store, clock, plane), PortEvents(events)
    networks = Networks(store, clock, plane, settings.network_mtu)
    subnets = Subnets(store, clock, plane)
    resources = {
        "networks": networks,
        "subnets": subnets,
        "ports": Ports(store, clock, plane, port_events, plugs=settings.plugs_ports),
        "routers": routers,
        "floatingips": FloatingIps(store, clock, plane, port_events),
        "security-groups": SecurityGroups(store, clock, plane),
        "security-group-rules": SecurityGroupRules(store, clock, plane),
    }
    for path, resource in resources.items():
        app.add_route(f"{BASE}/{path}", resource)
        app.add_route(f"{BASE}/{path}/{{item_id}}", resource, suffix="one")
    for verb, suffix in (("add", "join"), ("remove", "leave")):
        app.add_route(f"{BASE}/routers/{{item_id}}/{verb}_router_interface", routers, suffix=suffix)
    topologies = AutoAllocatedTopologies(store, plane, networks, subnets, routers)
    app.add_route(f"{BASE}/auto-allocated-topology/{{project_id}}", topologies)
    bindings = PortBindings(store, plane)
    one = f"{BASE}/ports/{{item_id}}/bindings"
    app.add_route(one, bindings)
    app.add_route(f"{one}/{{host}}", bindings, suffix="one")
    app.add_route(f"{one}/{{host}}/activate", bindings, suffix="activate")
