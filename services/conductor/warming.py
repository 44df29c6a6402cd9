# SPDX-License-Identifier: Apache-2.0
"""Warming image caches: the hosts of an aggregate fetch images before servers boot from them."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence

from common.context import RequestContext
from common.errors import Unavailable
from common.observability import log
from common.rpc.compute import Compute
from services.conductor.computes import Computes
from services.conductor.db import aggregates
from services.conductor.db.engine import Database

LOG = logging.getLogger(__name__)


class Warming:
    """`later` runs work in the background: who asks does not wait for a message to each host."""

    def __init__(
        self,
        database: Database,
        computes: Computes,
        *,
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self._database = database
        self._computes = computes
        self._later = later

    def start(self, ctx: RequestContext, aggregate_id: int, image_ids: Sequence[str]) -> None:
        """Ask those hosts of an aggregate that are up. Again: what they have, they keep.

        Raises: AggregateNotFound.
        """
        with self._database.read() as conn:
            hosts = aggregates.get(conn, aggregate_id).hosts
            up = self._computes.up_among(conn, hosts)
        LOG.info(
            "%d images are to be cached by %d of the %d hosts of aggregate %d; the others are down",
            len(image_ids), len(up), len(hosts), aggregate_id,
        )  # fmt: skip
        self._later(functools.partial(_ask, ctx, up, list(image_ids)))


def _ask(ctx: RequestContext, computes: Mapping[str, Compute], image_ids: list[str]) -> None:
    with log.bound(ctx):
        for number, (host, compute) in enumerate(computes.items()):
            try:
                compute.cache_images(ctx, host, image_ids)
            except Unavailable as away:
                unasked = len(computes) - number
                LOG.warning("%d hosts were not asked to cache images: %s", unasked, away)
                return
