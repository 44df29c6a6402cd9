# SPDX-License-Identifier: Apache-2.0
"""Power: what the API has done to a guest that stays where and what it is."""

from common.context import RequestContext
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Power(Interface, topic=TOPIC, namespace="power", version="1.0"):
    """Each returns when the operation is accepted: state, task and action are committed.

    Each raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady.

    1.0  first release
    """

    @call()
    def start(self, ctx: RequestContext, instance: str) -> None:
        """Accept to power the instance on."""

    @call()
    def stop(self, ctx: RequestContext, instance: str) -> None:
        """Accept to power the instance off, cleanly where its guest follows."""

    @call()
    def reboot(self, ctx: RequestContext, instance: str, *, hard: bool) -> None:
        """Accept a soft or hard reboot."""
