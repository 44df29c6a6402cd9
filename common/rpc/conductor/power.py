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

    @call()
    def pause(self, ctx: RequestContext, instance: str) -> None:
        """Accept to stop the guest's CPUs; its memory stays where it is."""

    @call()
    def unpause(self, ctx: RequestContext, instance: str) -> None:
        """Accept to let the CPUs of a paused guest go on."""

    @call()
    def suspend(self, ctx: RequestContext, instance: str) -> None:
        """Accept to save the guest's memory to disk and stop it."""

    @call()
    def resume(self, ctx: RequestContext, instance: str) -> None:
        """Accept to let a suspended guest go on from its saved memory."""

    @call()
    def trigger_crash_dump(self, ctx: RequestContext, instance: str) -> None:
        """Accept to interrupt the guest in the way that makes its kernel dump core."""
