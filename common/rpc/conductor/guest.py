# SPDX-License-Identifier: Apache-2.0
"""Guest: what is done to the software inside an instance."""

from common.context import RequestContext
from common.objects.diagnostics import Diagnostics
from common.objects.guest_place import GuestPlace
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Guest(Interface, topic=TOPIC, namespace="guest", version="1.0"):
    """Each raises: InstanceNotFound, InstanceLocked.

    1.0  first release
    """

    @call()
    def change_password(self, ctx: RequestContext, instance: str, *, password: str) -> None:
        """Accept a new password of the guest's administrator.

        Raises: InstanceInvalidState, InstanceNotReady.
        """

    @call()
    def inject_network_info(self, ctx: RequestContext, instance: str) -> None:
        """Nothing but the checks: guests read their networks from metadata and config drive."""

    @call()
    def posted_password(self, ctx: RequestContext, instance: str) -> str | None:
        """What the guest posted to the metadata service, as it encrypted it; None: nothing."""

    @call()
    def forget_password(self, ctx: RequestContext, instance: str) -> None:
        """Forget what the guest posted, so that it can post anew. Again: there is nothing."""

    @call(timeout_s=35)
    def place(self, ctx: RequestContext, instance: str) -> GuestPlace:
        """Which of its host's CPUs and NUMA nodes the guest has.

        Raises: InstanceNotReady (it is on no host), HostDown, DomainNotFound.
        """

    @call(timeout_s=35)
    def diagnostics(self, ctx: RequestContext, instance: str) -> Diagnostics:
        """What the hypervisor counts of the guest.

        Raises: InstanceNotReady (it is on no host), HostDown, DomainNotFound, NotSupported.
        """
