# SPDX-License-Identifier: Apache-2.0
"""`/os-baremetal-nodes`, up to 2.35: a proxy of a bare metal service, which no cloud here has."""

from typing import NoReturn

from common.errors import Invalid, NotSupported
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY, Body
from services.api.declare.types import ANYTHING
from services.api.responder import responder

_RULE = "os_compute_api:os-baremetal-nodes:"
_ANY_BODY = Body.bare("baremetal-node", ANYTHING)
_UNTIL = "2.35"


def _elsewhere() -> NoReturn:
    raise Invalid("Nodes are changed at the bare metal service, not here.")


class BaremetalNodes:
    """`/os-baremetal-nodes`."""

    @responder(policy=_RULE + "list", query=LENIENT_QUERY, until=_UNTIL)
    def on_get(self, call: ApiCall) -> None:
        """List nodes. Raises: NotSupported."""
        raise NotSupported()

    @responder(body=_ANY_BODY, until=_UNTIL)
    def on_post(self, call: ApiCall) -> None:
        """Refuse to add a node. Raises: Invalid."""
        _elsewhere()


class BaremetalNodeById:
    """`/os-baremetal-nodes/{node_id}` and its actions."""

    @responder(policy=_RULE + "show", query=LENIENT_QUERY, until=_UNTIL)
    def on_get(self, call: ApiCall, node_id: str) -> None:
        """Show a node. Raises: NotSupported."""
        raise NotSupported()

    @responder(until=_UNTIL)
    def on_delete(self, call: ApiCall, node_id: str) -> None:
        """Refuse to remove a node. Raises: Invalid."""
        _elsewhere()

    @responder(body=_ANY_BODY, until=_UNTIL)
    def change_interfaces(self, call: ApiCall, node_id: str) -> None:
        """Refuse to add or remove an interface. Raises: Invalid."""
        _elsewhere()
