# SPDX-License-Identifier: Apache-2.0
"""Interfaces: how instances are wired to networks."""

from common.context import RequestContext
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
