# SPDX-License-Identifier: Apache-2.0
"""Objects for database tests: valid by default, a test names what matters to it."""

import uuid
from datetime import UTC, datetime

from common.context import RequestContext
from common.objects.compute_node import HostReport
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.network import FixedIp, VirtualInterface
from common.objects.resources import Resources
from services.conductor.db import compute_nodes, instances, services

PROJECT = "11111111111111111111111111111111"
USER = "22222222222222222222222222222222"
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
DOWN_AFTER_S = 60
TINY = Flavor(flavorid="1", name="m1.tiny", vcpus=1, memory_mib=512, root_gib=1)


def caller(**values):
    """A member of PROJECT."""
    return RequestContext(
        **{"request_id": "req-1", "project_id": PROJECT, "user_id": USER, **values}
    )


def make_instance(**values):
    """An ACTIVE instance of PROJECT, on no host."""
    return Instance(
        **{
            "uuid": str(uuid.uuid4()),
            "project_id": PROJECT,
            "user_id": USER,
            "name": "server",
            "hostname": "server",
            "vm_state": "active",
            "flavor": TINY,
            "image": ImageMeta(id="image-1"),
            "created_at": NOON,
            **values,
        }
    )


def make_vif(*addresses, **values):
    """A port with fixed addresses."""
    return VirtualInterface(
        **{
            "port_id": str(uuid.uuid4()),
            "network_id": "net-1",
            "mac": "fa:16:3e:00:00:01",
            "fixed_ips": tuple(
                FixedIp(address=address, version=6 if ":" in address else 4)
                for address in addresses
            ),
            **values,
        }
    )


def make_report(host="host1", **values):
    """What a host with 8 vCPUs, 16 GiB of memory and 100 GiB of disk reports."""
    return HostReport(
        **{
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, host)),
            "host": host,
            "node": f"{host}.example.org",
            "rpc_server": host,
            "hypervisor_type": "fake",
            "hypervisor_version": 1000000,
            "total": Resources(vcpus=8, memory_mib=16384, disk_gib=100),
            **values,
        }
    )


def add(database, *new):
    """Insert instances; the one, or all of them."""
    with database.begin() as conn:
        instances.insert_new(conn, new)
    return new[0] if len(new) == 1 else new


def add_hosts(database, *reports):
    """Register hosts that were heard from just now."""
    with database.begin() as conn:
        known = services.register(
            conn,
            [(services.COMPUTE, r.host, r.rpc_server, "0.1.0") for r in reports],
            new_uuid=lambda: str(uuid.uuid4()),
        )
        compute_nodes.put(conn, reports, {host: number for (_, host), number in known.items()})
