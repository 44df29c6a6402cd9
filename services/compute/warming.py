# SPDX-License-Identifier: Apache-2.0
"""Warming a host's image cache: images are fetched before a boot needs them.

A convenience, not an operation: nobody waits for it, a killed daemon forgets it, and what could not
be fetched is fetched by the first boot.
"""

import functools
import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from common.context import RequestContext
from common.errors import KilonovaError, OperationCancelled
from common.objects.image import ImageMeta
from common.observability import log
from services.compute.hosts import Hosts
from services.compute.lanes import Lanes

LOG = logging.getLogger(__name__)


class ImageDescriptions(Protocol):
    """What is asked of the image service's client."""

    def get(self, image_id: str) -> ImageMeta:
        """Raises: ImageNotFound, Unavailable."""


class Warming:
    """Fetches one image at a time a host, so that boots find threads and a network free."""

    def __init__(self, hosts: Hosts, lanes: Lanes, images: ImageDescriptions) -> None:
        self._hosts = hosts
        self._lanes = lanes
        self._images = images
        self._stopping = threading.Event()

    def start(self, ctx: RequestContext, host: str, image_ids: Sequence[str]) -> None:
        """Have a host fetch images after those it fetches already.

        Again: what is in its cache is kept. Raises: HostNotFound, Unavailable (too much to do).
        """
        self._hosts.driver(host)
        for image_id in image_ids:
            fetch = functools.partial(self._fetch, ctx, host, image_id)
            self._lanes.put(f"images of {host}", fetch)

    def stop(self) -> None:
        """Give up what is under way and what waits."""
        self._stopping.set()

    def _fetch(self, ctx: RequestContext, host: str, image_id: str) -> None:
        with log.bound(ctx, host=host):
            try:
                image = self._images.get(image_id)
                self._hosts.driver(host).cache_image(image, self._checkpoint)
            except KilonovaError as failed:
                LOG.warning("Image %s was not cached ahead: %s", image_id, failed)
            else:
                LOG.info("Image %s is in the cache", image_id)

    def _checkpoint(self) -> None:
        if self._stopping.is_set():
            raise OperationCancelled(reason="the compute daemon stops")
