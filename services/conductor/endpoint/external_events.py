# SPDX-License-Identifier: Apache-2.0
"""The `external_events` interface."""

from common.context import RequestContext
from common.objects.external_event import ExternalEvent
from common.rpc.conductor.external_events import ExternalEvents
from services.conductor.accept.external_events import AcceptExternalEvents


class ExternalEventsEndpoint(ExternalEvents):
    """Hands events to their acceptance."""

    def __init__(self, accept: AcceptExternalEvents) -> None:
        self._accept = accept

    def deliver(self, ctx: RequestContext, *, events: list[ExternalEvent]) -> list[int]:
        return self._accept.deliver(events)
