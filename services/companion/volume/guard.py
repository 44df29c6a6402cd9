# SPDX-License-Identifier: Apache-2.0
"""Keeps volumes under the servers that use them.

A user who took a volume away here, rather than by the Compute API, would leave a guest with a disk
that another guest may get. Services and administrators know what they do; for anybody else we ask
the compute service whether the server has the volume.
"""

import logging
import threading
from collections.abc import Callable

import requests

from services.companion.volume.call import VolumeCall
from services.companion.volume.records import RESERVED, Row
from services.companion.web.faults import Fault

LOG = logging.getLogger(__name__)

# server, volume: whether the server has it. Raises: requests.RequestException.
Holds = Callable[[str, str], bool]
# The compute service checks its token here: if all our threads waited for it, none could answer.
_AT_ONCE = 2


class Guard:
    """`holds` None: there is no compute service to ask."""

    def __init__(self, holds: Holds | None) -> None:
        self._holds = holds
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def must_let_go(self, call: VolumeCall, attachment: Row) -> None:
        """Raise Fault 409 when a server has the volume by this attachment; 503 to try again."""
        server = attachment["instance_uuid"]
        if self._holds is None or call.is_admin or call.is_vouched_for:
            return
        if not server or attachment["status"] == RESERVED:
            return
        if not self._places.acquire(blocking=False):
            raise Fault(503, "Too many ask for this at the same time; try again.")
        try:
            held = self._holds(server, attachment["volume_id"])
        except requests.RequestException as away:
            LOG.warning("Cannot ask the compute service about server %s: %s", server, away)
            held = True
        finally:
            self._places.release()
        if held:
            raise Fault(409, f"Detach volume from instance {server} using the Compute API")
