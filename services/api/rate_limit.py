# SPDX-License-Identifier: Apache-2.0
"""Rate limits: who asks too often is told when to come again. Off unless [rate_limit] says else."""

import logging
import math
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import falcon

from common.errors import Invalid
from services.api.faults import HttpRefusal

LOG = logging.getLogger(__name__)

TOO_MANY = 429
MESSAGE = "This request was rate-limited."


class RateLimit:
    """Some limits, counted for each key; all of them hold.

    `rates` is what the `limits` library parses, `storage` one of its storages. A storage that is
    away lets requests pass: to be counted is not worth an outage.
    """

    def __init__(self, name: str, rates: str, storage: Any) -> None:
        """Raises: Invalid (`rates` are none)."""
        from limits import parse_many
        from limits.strategies import SlidingWindowCounterRateLimiter

        try:
            self._rates = parse_many(rates)
        except ValueError as wrong:
            raise Invalid(f"[rate_limit] {name}: {wrong}") from wrong
        self._name = name
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    def wait_s(self, key: str) -> int | None:
        """Count a request of `key`; None when it may pass, else seconds until one may again."""
        try:
            broken = [rate for rate in self._rates if not self._limiter.hit(rate, self._name, key)]
            if not broken:
                return None
            resets = [self._limiter.get_window_stats(r, self._name, key).reset_time for r in broken]
        except Exception as away:  # each storage has errors of its own
            LOG.warning("Requests are not counted: %s", away)
            return None
        return max(1, math.ceil(max(resets) - time.time()))


class ProjectLimit:
    """Falcon middleware, behind the one that prepares every request."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, params: dict[str, Any]
    ) -> None:
        """Let the request pass, or not. Raises: HttpRefusal."""
        if "call" not in req.context:
            return
        wait_s = self._limit.wait_s(str(req.context.call.caller.project_id))
        if wait_s is not None:
            _refuse(wait_s)


def address_of(environ: dict[str, Any], *, trust_forwarded: bool) -> str:
    """Where a request comes from: what the proxy before us says, when it is to be trusted."""
    hops: Sequence[str] = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if trust_forwarded and hops[-1].strip():
        return hops[-1].strip()
    return str(environ.get("REMOTE_ADDR", ""))


def _refuse(wait_s: int) -> NoReturn:
    LOG.info("Too many requests of the project: the next in %d s", wait_s)
    raise HttpRefusal(TOO_MANY, MESSAGE, retry_after_s=wait_s)


def limits_of(options: Any) -> tuple[RateLimit | None, RateLimit | None]:
    """Those of [rate_limit]: per project, per address. Raises: Invalid (an option's form)."""
    if not options.per_project and not options.per_address:
        return None, None
    from limits.storage import storage_from_string

    try:
        storage = storage_from_string(options.storage)
    except Exception as wrong:  # as many kinds as storages
        raise Invalid(f"[rate_limit] storage: {wrong}") from wrong
    named = [(name, getattr(options, name)) for name in ("per_project", "per_address")]
    made = [RateLimit(name, rates, storage) if rates else None for name, rates in named]
    return made[0], made[1]
