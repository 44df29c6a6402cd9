# SPDX-License-Identifier: Apache-2.0
"""Vendor data from services that a deployment runs.

A service gets a POST with what is known about the instance and answers with a JSON object, which a
guest reads in vendor_data2.json under the service's name. A service that fails is left out, or,
where guests must not start without it, makes the file unavailable.
"""

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from keystoneauth1 import exceptions as ka
from keystoneauth1 import loading
from keystoneauth1 import session as ka_session
from oslo_config import cfg
from requests import RequestException

from common import config
from common.clock import Clock
from common.errors import Unavailable
from common.guest_metadata.vendor_data import targets
from common.objects.guest_metadata import GuestMetadata

LOG = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20
_MOST_REMEMBERED = 1024
# Requests to all services together: guests that wait for a slow one leave threads for others.
_MOST_AT_ONCE = 8
Ask = Callable[[str, dict[str, Any]], Any]


def dynamic(conf: cfg.ConfigOpts, clock: Clock, *, cache_s: float) -> "Dynamic":
    """The services that `[metadata]` names. Raises: Invalid."""
    options = conf.metadata
    return Dynamic(
        targets(options.vendor_data_targets), _asker(conf),
        is_needed=options.vendor_data_needed, cache_s=cache_s, clock=clock,
    )  # fmt: skip


def _asker(conf: cfg.ConfigOpts) -> Ask:
    config.add(conf, ["service_user"])
    options = conf.metadata
    timeouts = (options.vendor_data_connect_timeout_s, options.vendor_data_timeout_s)
    auth = loading.load_auth_from_conf_options(conf, "service_user")
    session = ka_session.Session(
        auth=auth, verify=conf.service_user.cafile or True, timeout=options.vendor_data_timeout_s
    )

    def ask(url: str, document: dict[str, Any]) -> Any:
        deadline = time.monotonic() + options.vendor_data_timeout_s
        answer = session.post(
            url, json=document, authenticated=auth is not None, timeout=timeouts, stream=True,
            headers={"Accept": "application/json"}, redirect=False, log=False,
        )  # fmt: skip
        try:
            body = b""
            for piece in answer.iter_content(1 << 16):
                body += piece
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"the answer is longer than {_MOST_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise ValueError("the answer takes too long")
        finally:
            answer.close()
        return json.loads(body)

    return ask


@dataclass(frozen=True)
class _Remembered:
    until: float
    found: dict[str, Any]


class Dynamic:
    """Asks services about guests; what they said is used again for `cache_s` seconds.

    `is_needed`: a guest gets no file without what every service says.
    """

    def __init__(
        self, services: Mapping[str, str], ask: Ask, *, is_needed: bool, cache_s: float,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._services, self._ask, self._is_needed = services, ask, is_needed
        self._cache_s, self._clock = cache_s, clock
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._lock = threading.Lock()
        self._seats = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def __call__(self, guest: GuestMetadata, hostname: str) -> dict[str, Any]:
        """What each service says about a guest, by the service's name.

        Raises: Unavailable (a service failed, and guests need it).
        """
        uuid = guest.instance.uuid
        with self._lock:
            known = self._remembered.get(uuid)
        if known is not None and known.until > self._clock.monotonic():
            return known.found
        found = self._ask_all(_document(guest, hostname))
        with self._lock:
            self._remembered[uuid] = _Remembered(self._clock.monotonic() + self._cache_s, found)
            self._remembered.move_to_end(uuid)
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return found

    def _ask_all(self, document: dict[str, Any]) -> dict[str, Any]:
        """All services at the same time: together they take as long as the slowest."""
        if not self._seats.acquire(blocking=False):
            if self._is_needed:
                raise Unavailable(service="Vendor data")
            LOG.warning("Too many guests wait for vendor data already; one goes without")
            return {name: {} for name in self._services}
        try:
            with ThreadPoolExecutor(len(self._services)) as pool:
                asked = {
                    name: pool.submit(self._ask_one, name, url, document)
                    for name, url in self._services.items()
                }
            return {name: answer.result() for name, answer in asked.items()}
        finally:
            self._seats.release()

    def _ask_one(self, name: str, url: str, document: dict[str, Any]) -> Any:
        try:
            return self._ask(url, document)
        except (ka.ClientException, RequestException, OSError, ValueError) as failed:
            LOG.warning("Vendor data of %s for %s: %s", name, document["instance-id"], failed)
            if self._is_needed:
                raise Unavailable(service="Vendor data") from failed
            return {}


def _document(guest: GuestMetadata, hostname: str) -> dict[str, Any]:
    instance = guest.instance
    return {
        "project-id": instance.project_id,
        "instance-id": instance.uuid,
        "image-id": instance.image.id if instance.image else "",
        "user-data": instance.user_data,
        "hostname": hostname,
        "metadata": instance.metadata,
        "boot-roles": "",  # a user's roles are not kept
    }
