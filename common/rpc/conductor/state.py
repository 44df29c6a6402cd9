# SPDX-License-Identifier: Apache-2.0
"""State: an instance's lock and recorded state, changed without any host."""

from common.context import RequestContext
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class State(Interface, topic=TOPIC, namespace="state", version="1.0"):
    """Each is done when it returns, and stands among the instance's actions.

    Each raises: InstanceNotFound.

    1.0  first release
    """

    @call()
    def lock(self, ctx: RequestContext, instance: str, *, reason: str | None = None) -> None:
        """Lock it as its project's (`owner`) or another's (`admin`).

        Again: a lock that is there stays as it is, unless one from outside the project replaces it.
        """

    @call()
    def unlock(self, ctx: RequestContext, instance: str) -> None:
        """Take the lock away. Again: there is none."""

    @call()
    def reset_state(self, ctx: RequestContext, instance: str, *, vm_state: str) -> None:
        """Record `vm_state`, active or error, and that nothing is under way.

        What is under way is asked to end. Raises: Invalid (another state).
        """
