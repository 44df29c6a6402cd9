# SPDX-License-Identifier: Apache-2.0
"""Where new servers are asked to go: a zone, a host, a node."""

from sqlalchemy.engine import Connection

from common.errors import HostNotFound, Invalid
from common.objects.new_server import NewServers
from common.objects.request_spec import Candidate
from services.conductor.db import compute_nodes, services


def forced_host(conn: Connection, request: NewServers) -> tuple[Candidate, ...]:
    """The one host that somebody insists on, past the scheduler; () leaves the choice to it.

    A forced host that is not there, or not in the zone, is left to the scheduler, too: it says why
    the servers cannot be built. Raises: Invalid (no such zone), HostNotFound (no such host or node,
    which the filters are to heed).
    """
    host, node, zone = request.requested_host, request.requested_node, request.availability_zone
    if host is None and node is None:
        if zone is not None and not services.zone_is_available(conn, zone):
            raise Invalid("The requested availability zone is not available")
        return ()
    found = compute_nodes.candidate(conn, host=host, node=node)
    if not request.forced:
        if found is None:
            raise HostNotFound(host=" ".join(filter(None, (host, node))))
        if zone is not None and not services.zone_is_available(conn, zone):
            raise Invalid("The requested availability zone is not available")
        return ()
    if found is None or zone not in (None, found[1]):
        return ()
    return (found[0],)
