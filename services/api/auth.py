# SPDX-License-Identifier: Apache-2.0
"""Tokens: keystonemiddleware validates them, and what it found is remembered for a short time.

The middleware costs about a millisecond a request even with its own cache. Its verdict about a
token is therefore kept in this process by the token's SHA-256, for at most `_KEEP_S` and never past
the token's end: that long a revoked token may still be served.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from keystoneauth1 import exceptions as keystone
from keystonemiddleware import auth_token
from oslo_config import cfg

from common.clock import Clock
from common.ids import new_request_id
from services.api.faults import RETRY_AFTER_S, fault_body

LOG = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]

_KEEP_S = 30.0
_MOST_KEPT = 4096
_REQUEST_ID = "x-openstack-request-id"
# What the middleware says of a valid token, for the application behind it.
_IDENTITY = (
    "HTTP_X_USER_ID", "HTTP_X_USER_NAME", "HTTP_X_USER_DOMAIN_ID", "HTTP_X_PROJECT_ID",
    "HTTP_X_PROJECT_NAME", "HTTP_X_PROJECT_DOMAIN_ID", "HTTP_X_ROLES", "HTTP_X_IDENTITY_STATUS",
)  # fmt: skip


class TokenFilter:
    """WSGI: lets requests with a valid token through to `app`, refuses the others with 401."""

    def __init__(self, app: Wsgi, conf: cfg.ConfigOpts, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[bytes, tuple[float, Environ]] = {}
        self._middleware = auth_token.AuthProtocol(self._remember, {"oslo_config_config": conf})

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        for name in _IDENTITY:  # nobody but the middleware may say these
            environ.pop(name, None)
        token = environ.get("HTTP_X_AUTH_TOKEN", "")
        if token and "HTTP_X_SERVICE_TOKEN" not in environ:
            kept = self._kept.get(_key(token))
            if kept is not None and self._clock.monotonic() < kept[0]:
                environ.update(kept[1])
                return self._app(environ, start_response)
        watched = _Watched(start_response)
        try:
            answer: Iterable[bytes] = self._middleware(environ, watched)
        except keystone.ClientException as away:
            LOG.warning("No token can be validated: %s", away)
            return watched.say_away()
        return watched.say_away() if watched.is_away else answer

    def _remember(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        token = environ.get("HTTP_X_AUTH_TOKEN", "")
        identity = {name: environ[name] for name in _IDENTITY if name in environ}
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[_key(token)] = (self._clock.monotonic() + self._keep_s(environ), identity)
        return self._app(environ, start_response)

    def _keep_s(self, environ: Environ) -> float:
        user = getattr(environ.get("keystone.token_auth"), "user", None)
        if user is None:
            return 0.0
        left_s: float = (user.expires - self._clock.now()).total_seconds()
        return min(_KEEP_S, left_s)


_AWAY = fault_body(503, "The identity service is not available; try again later.")


class _Watched:
    """Holds the middleware's own 503 back, which is HTML, so that ours can be sent."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self.is_away = False

    def __call__(self, status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        if not any(key == _REQUEST_ID for key, _ in headers):  # the middleware's own answer
            request_id = new_request_id()
            headers += [(_REQUEST_ID, request_id), ("x-compute-request-id", request_id)]
        kind = next((value for key, value in headers if key.lower() == "content-type"), "")
        self.is_away = status.startswith("503") and not kind.startswith("application/json")
        return None if self.is_away else self._start_response(status, headers, *rest)

    def say_away(self) -> Iterable[bytes]:
        request_id = new_request_id()
        self._start_response(
            "503 Service Unavailable",
            [
                ("Content-Type", "application/json; charset=UTF-8"),
                ("Content-Length", str(len(_AWAY))),
                ("Retry-After", str(RETRY_AFTER_S)),
                (_REQUEST_ID, request_id),
                ("x-compute-request-id", request_id),
            ],
        )
        return [_AWAY]


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
