# SPDX-License-Identifier: Apache-2.0
"""The topology that a project gets without saying more: a network, routed to the outside."""

import ipaddress
import threading
from typing import Any

import falcon
from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from services.companion.identity.callers import Caller, caller_of
from services.companion.network.networks import Networks
from services.companion.network.plane.keeper import Plane
from services.companion.network.resource import Row
from services.companion.network.routers import INTERFACE, Routers
from services.companion.network.subnets import Subnets
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import fields, query
from services.companion.web.body import answer
from services.companion.web.faults import Fault

# Each project gets the first piece of it that nothing else has.
_POOL = ipaddress.ip_network("10.192.0.0/10")
_PREFIX_LENGTH = 26
_NAMES = {
    "network": "auto_allocated_network",
    "subnet": "auto_allocated_subnet_v4",
    "router": "auto_allocated_router",
}
_t = tables.auto_allocated.c
_s = tables.subnets.c


class AutoAllocatedTopologies:
    """`/v2.0/auto-allocated-topology/{project_id}`."""

    def __init__(
        self, store: Store, plane: Plane, networks: Networks, subnets: Subnets, routers: Routers
    ) -> None:
        self._store, self._plane = store, plane
        self._networks, self._subnets, self._routers = networks, subnets, routers
        self._one_at_a_time = threading.Lock()

    def on_get(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """The project's network, made when there is none; a dry run only says that it would be.

        Again: the same network, also for requests that come at once.
        """
        caller = caller_of(req)
        project = _project(caller, project_id)
        if "dry-run" in query.values(req).get("fields", []):
            with self._store.read() as conn:
                _outside(conn)
            answer(resp, _shown("dry-run=pass", project))
            return
        with self._store.read() as conn:
            row = _row(conn, project)
        if row is None:
            caller.must_write()
            with self._one_at_a_time:
                row = self._make(caller, project)
            self._plane.wake()
        answer(resp, _shown(row["network_id"], project))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Neither network nor router, while the network has no ports but the router's."""
        caller = caller_of(req)
        project = _project(caller, project_id)
        caller.must_write()
        p = tables.ports.c
        with self._store.write() as conn:
            row = _row(conn, project)
            if row is None:
                raise Fault(404, "The resource could not be found.", kind="HTTPNotFound")
            router = self._routers.find(conn, caller, row["router_id"])
            network = self._networks.find(conn, caller, row["network_id"])
            conn.execute(
                delete(tables.ports).where(
                    p.device_id == router["id"],
                    p.device_owner == INTERFACE,
                    p.network_id == network["id"],
                )
            )
            self._routers.remove(conn, caller, router)
            self._networks.remove(conn, caller, network)
        self._plane.wake()
        resp.status = 204

    def _make(self, caller: Caller, project: str) -> Row:
        with self._store.read() as conn:
            made = _row(conn, project)
            if made is not None:
                return made
            gateway = {"network_id": _outside(conn)}
            taken = [ipaddress.ip_network(each) for each in conn.scalars(select(_s.cidr))]
        owner = {"project_id": project}
        network = self._networks.new_row(caller, {"name": _NAMES["network"], **owner})
        cidr = _free([*self._plane.foreign_networks(), *taken])
        wanted = {"network_id": network["id"], "cidr": cidr, "ip_version": 4}
        subnet = self._subnets.new_row(caller, {"name": _NAMES["subnet"], **wanted})
        outside = {"external_gateway_info": gateway}
        router = self._routers.new_row(caller, {"name": _NAMES["router"], **outside, **owner})
        with self._store.write() as conn:
            self._networks.add(conn, caller, network)
            self._subnets.add(conn, caller, subnet)
            self._routers.add(conn, caller, router)
            self._routers.join(conn, caller, router, subnet["id"])
            row = {**owner, "network_id": network["id"], "router_id": router["id"]}
            conn.execute(insert(tables.auto_allocated).values(row))
        return row


def _project(caller: Caller, asked: str) -> str:
    project = caller.own_project if asked.lower() in ("", "none", "null") else asked
    if project != caller.project_id and not caller.is_admin:
        raise Fault(404, f"Project {fields.shown(project)} could not be found.", kind="NotFound")
    return project


def _row(conn: Connection, project: str) -> Row | None:
    found = conn.execute(select(tables.auto_allocated).where(_t.project_id == project))
    row = found.mappings().one_or_none()
    return dict(row) if row else None


def _outside(conn: Connection) -> str:
    """The external network to route to: the default one, or the only one. Raises Fault 409."""
    n = tables.networks.c
    found = conn.execute(select(n.id, n.is_default).where(n["router:external"])).all()
    default = [row.id for row in found if row.is_default or len(found) == 1]
    if not default:
        words = "Deployment error: No default router:external network."
        raise Fault(409, words, kind="AutoAllocationFailure")
    return str(default[0])


def _free(taken: list[Any]) -> str:
    for piece in _POOL.subnets(new_prefix=_PREFIX_LENGTH):
        if not any(other.version == 4 and other.overlaps(piece) for other in taken):
            return str(piece)
    words = "Deployment error: No addresses are left for another subnet."
    raise Fault(409, words, kind="AutoAllocationFailure")


def _shown(network_id: str, project: str) -> Row:
    shown = {"id": network_id, "project_id": project, "tenant_id": project}
    return {"auto_allocated_topology": shown}
