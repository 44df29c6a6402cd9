# SPDX-License-Identifier: Apache-2.0
"""Networks: one bridge each."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, or_, select, true
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.identity.callers import Caller
from services.companion.network.plane.keeper import Plane
from services.companion.network.resource import (
    DESCRIPTION,
    NAME,
    PROJECT,
    Resource,
    Row,
    insert_row,
    update_row,
)
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, flag, integer, list_of, nullable, text

_LEAST_MTU, _MOST_MTU = 68, 65535


def may_use(caller: Caller) -> ColumnElement[bool]:
    """Networks that the caller may see: own, shared and external ones."""
    n = tables.networks.c
    if caller.reads_everything:
        return true()
    return or_(n.project_id == (caller.project_id or ""), n.shared, n["router:external"])


class Networks(Resource):
    """`/v2.0/networks`."""

    singular, plural, title = "network", "networks", "Network"
    table = tables.networks
    fields = (
        NAME, DESCRIPTION, *PROJECT,
        Field("admin_state_up", flag, default=True),
        Field("shared", flag, default=False, admin=True),
        Field("router:external", flag, default=False, admin=True),
        Field("is_default", flag, default=False, admin=True),
        Field("port_security_enabled", flag, default=True),
        Field("mtu", integer(_LEAST_MTU, _MOST_MTU)),
        Field("dns_domain", text(255), default=""),
        Field("availability_zone_hints", list_of(text()), update=False),
        Field("provider:network_type", nullable(text()), default=None, update=False, admin=True),
        Field("provider:physical_network", nullable(text()), default=None, update=False,
              admin=True),
        Field("provider:segmentation_id", nullable(integer(0, 2**24)), default=None, update=False,
              admin=True),
    )  # fmt: skip

    def __init__(self, store: Store, clock: Clock, plane: Plane, mtu: int) -> None:
        super().__init__(store, clock, plane)
        self._mtu = mtu

    def visible(self, caller: Caller) -> ColumnElement[bool]:
        """Own, shared and external networks."""
        return may_use(caller)

    def show_all(self, conn: Connection, rows: Sequence[Row], caller: Caller) -> list[Row]:
        """Networks with the ids of their subnets."""
        s = tables.subnets.c
        subnets: dict[str, list[str]] = defaultdict(list)
        wanted = select(s.network_id, s.id).where(s.network_id.in_([row["id"] for row in rows]))
        for network_id, subnet_id in conn.execute(wanted.order_by(s.created_at, s.id)):
            subnets[network_id].append(subnet_id)
        provider = {
            "provider:network_type": "local",
            "provider:physical_network": None,
            "provider:segmentation_id": None,
        }
        return [
            {
                **self.standard(row),
                **(provider if caller.reads_everything else {}),
                "status": "ACTIVE",
                "subnets": subnets[row["id"]],
                "availability_zones": [],
                "availability_zone_hints": [],
                "ipv4_address_scope": None,
                "ipv6_address_scope": None,
                "vlan_transparent": None,
                "qos_policy_id": None,
            }
            for row in rows
        ]

    def create(self, conn: Connection, caller: Caller, row: Row) -> None:
        """A new network."""
        if row["provider:network_type"] not in (None, "local"):
            raise Fault(400, "Only provider:network_type local is there.", kind="InvalidInput")
        insert_row(conn, self.table, {"mtu": self._mtu, **row})

    def change(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """A changed network; one that others use stays shared."""
        if row["shared"] and values.get("shared") is False:
            p = tables.ports.c
            others = select(p.id).where(
                p.network_id == row["id"], p.project_id != row["project_id"]
            )
            if conn.scalar(others.limit(1)):
                raise Fault(
                    409,
                    f"Unable to reconfigure sharing settings for network {row['id']}. "
                    "Multiple projects are using it.",
                    kind="InvalidSharedSetting",
                )
        update_row(conn, self.table, row["id"], values)

    def remove(self, conn: Connection, caller: Caller, row: Row) -> None:
        """No network, nor its subnets; while it has no ports."""
        if conn.scalar(
            select(tables.ports.c.id).where(tables.ports.c.network_id == row["id"]).limit(1)
        ):
            raise Fault(
                409,
                f"Unable to complete operation on network {row['id']}. There are one or more "
                "ports still in use on the network.",
                kind="NetworkInUse",
            )
        conn.execute(delete(self.table).where(self.table.c.id == row["id"]))
