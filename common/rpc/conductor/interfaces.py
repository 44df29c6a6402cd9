# SPDX-License-Identifier: Apache-2.0
"""Interfaces: how instances are wired to networks."""

from common.context import RequestContext
from common.objects.network import RequestedNetwork
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Interfaces(Interface, topic=TOPIC, namespace="interfaces", version="1.0"):
    """How instances are wired to networks. Each raises: InstanceNotFound.

    1.0  first release
    """

    @call(timeout_s=40)
    def refresh(self, ctx: RequestContext, instance: str) -> None:
        """Read the instance's ports, addresses and security groups anew and keep them.

        Again: fine. Raises: Unavailable (the network service).
        """

    @call()
    def attach(self, ctx: RequestContext, instance: str, *, wanted: RequestedNetwork) -> str:
        """Accept to attach one more interface; the task that does it.

        Raises: InstanceLocked, InstanceInvalidState, InstanceNotReady.
        """

    @call()
    def attached(self, ctx: RequestContext, instance: str, *, task: str) -> str | None:
        """The port that an `attach` has attached; None while it is under way.

        Raises: TaskNotFound, and what it failed with.
        """

    @call()
    def detach(self, ctx: RequestContext, instance: str, *, port_id: str) -> None:
        """Accept to detach an interface.

        Raises: PortNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady.
        """

    @call(timeout_s=40)
    def add_fixed_ip(self, ctx: RequestContext, instance: str, *, network_id: str) -> None:
        """Give a port on the network one more address.

        Raises: NetworkNotFound (no port on it), NoMoreAddresses, InstanceLocked, Unavailable.
        """

    @call(timeout_s=40)
    def remove_fixed_ip(self, ctx: RequestContext, instance: str, *, address: str) -> None:
        """Take an address from a port.

        Raises: Invalid (not its own), InstanceLocked, Unavailable.
        """
