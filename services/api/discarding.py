# SPDX-License-Identifier: Apache-2.0
"""Volumes and snapshots that a request made and that are not wanted after all."""

import logging
import time
from collections.abc import Iterable

from common.errors import Invalid, KilonovaError, NotFound
from services.api.call import ApiCall
from services.api.volume_gateway import VolumeGateway, path_of

LOG = logging.getLogger(__name__)

# What is still being made cannot be deleted: it is waited for.
_PATIENCE_S, _PAUSE_S = 60.0, 0.1
_BEING_MADE = frozenset(("creating", "downloading"))


class Discards:
    """Deletes what a request leaves behind, with the caller's token."""

    def __init__(self, volumes: VolumeGateway) -> None:
        self._volumes = volumes

    def discard(self, call: ApiCall, collection: str, ids: Iterable[str]) -> None:
        """Delete members of `volumes` or `snapshots`.

        Again: what is gone is fine. Raises: nothing; the operator is told of what stays.
        """
        deadline = time.monotonic() + _PATIENCE_S
        for item_id in ids:
            try:
                self._delete(call, collection, item_id, deadline)
            except NotFound:
                continue
            except KilonovaError as failed:
                LOG.warning(
                    "%s/%s, made for a request that failed, is left behind: %s",
                    collection,
                    item_id,
                    failed,
                )

    def _delete(self, call: ApiCall, collection: str, item_id: str, deadline: float) -> None:
        path = path_of(collection, item_id)
        try:
            self._volumes.ask(call, "DELETE", path)
        except Invalid:
            while self._is_being_made(call, collection, item_id) and time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
            self._volumes.ask(call, "DELETE", path)

    def _is_being_made(self, call: ApiCall, collection: str, item_id: str) -> bool:
        found = self._volumes.one(call, collection, item_id, NotFound())
        return found.get("status") in _BEING_MADE
