# SPDX-License-Identifier: Apache-2.0
"""External events: what other services tell of instances' ports and volumes."""

from common.context import RequestContext
from common.objects.external_event import ExternalEvent
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class ExternalEvents(Interface, topic=TOPIC, namespace="external_events", version="1.0"):
    """What other services tell of instances' ports and volumes.

    1.0  first release
    """

    @call()
    def deliver(self, ctx: RequestContext, *, events: list[ExternalEvent]) -> list[int]:
        """Take events in; for each, in order, a code in the manner of HTTP.

        200 taken in, and acted on soon; 400 its tag is missing; 404 there is no such instance; 422
        the instance is on no host.
        """
