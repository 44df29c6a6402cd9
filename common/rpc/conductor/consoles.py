# SPDX-License-Identifier: Apache-2.0
"""Consoles: tokens that open them."""

from common.context import RequestContext
from common.objects.console import Console, ConsoleType
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Consoles(Interface, topic=TOPIC, namespace="consoles", version="1.0"):
    """Tokens, each of one console of one instance for a while.

    1.0  first release
    """

    @call(timeout_s=20)
    def create(self, ctx: RequestContext, instance: str, *, console_type: ConsoleType) -> str:
        """A new token. Again: another one; both hold.

        Raises: InstanceNotFound, InstanceInvalidState, InstanceNotReady, HostDown, DomainNotFound,
        ConsoleTypeUnavailable, NotSupported.
        """

    @call(timeout_s=20)
    def find(self, ctx: RequestContext, token: str) -> Console:
        """What a token opens: its host is asked whether the console is still there.

        Raises: ConsoleTokenNotFound (unknown, expired, or made for a guest that is no longer what
        or where it was), HostDown.
        """
