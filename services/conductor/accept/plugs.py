# SPDX-License-Identifier: Apache-2.0
"""Taking in that a port is plugged, for the task that holds its guest until then."""

from collections.abc import Callable

from common.objects.external_event import ExternalEvent
from services.conductor.tasks.plugging import AWAIT_PLUGGED

# instance, step, name and value: `Engine.signal`
Signal = Callable[[str, str, str, str], None]


class AcceptPlugs:
    """Tells tasks by `signal`."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal

    def port_plugged(self, event: ExternalEvent) -> None:
        """A port is plugged, or could not be. Again: the last word counts. Raises: Unavailable."""
        if event.tag:
            self._signal(event.server_uuid, AWAIT_PLUGGED, event.tag, event.status)
