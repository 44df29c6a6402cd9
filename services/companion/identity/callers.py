# SPDX-License-Identifier: Apache-2.0
"""Who calls: the token of a request, checked once, before the responder runs."""

import threading
from dataclasses import dataclass
from typing import Any

import falcon

from common.clock import Clock
from services.companion.identity import tokens
from services.companion.identity.roles import ADMIN, SERVICE
from services.companion.store.engine import Store
from services.companion.web.faults import Fault

_REQUIRED = "The request you have made requires authentication."
# No token of ours is longer; hashing megabytes for a stranger is work for nothing.
_LONGEST_TOKEN = 255
_KEPT_S = 5.0
_MOST_KEPT = 1024
_NEW_TOKEN = "/identity/v3/auth/tokens"


@dataclass(frozen=True)
class Caller:
    """Who sent the request, and what they may act on."""

    token: tokens.Token

    @property
    def user_id(self) -> str:
        """The user's id."""
        return str(self.token.user["id"])

    @property
    def project_id(self) -> str | None:
        """The project of the token; None for tokens of another scope."""
        return self.token.scope.id if self.token.scope.kind == "project" else None

    @property
    def own_project(self) -> str:
        """The project of the token. Raises Fault 403 when it is for none."""
        if self.project_id is None:
            raise Fault(403, "This needs a token for a project.")
        return self.project_id

    @property
    def is_admin(self) -> bool:
        """Whether the caller holds the admin role."""
        return ADMIN in self.token.role_names

    @property
    def is_service(self) -> bool:
        """Whether the caller is a service, or an administrator."""
        return self.is_admin or SERVICE in self.token.role_names

    @property
    def reads_everything(self) -> bool:
        """Whether the caller may see what belongs to others."""
        on_system = self.token.scope.kind == "system" and "reader" in self.token.role_names
        return self.is_admin or on_system

    @property
    def may_write(self) -> bool:
        """Whether the caller may change what belongs to the own project."""
        return bool(self.token.role_names & {"member", "manager", ADMIN, SERVICE})

    def must_be_admin(self) -> None:
        """Raise Fault 403 for anybody but an administrator."""
        if not self.is_admin:
            raise Fault(403, "You are not authorized to perform the requested action.")

    def must_write(self) -> None:
        """Raise Fault 403 for those who may only read."""
        if not self.may_write:
            raise Fault(403, "You are not authorized to perform the requested action.")


class Callers:
    """falcon middleware: puts a `Caller` into `req.context.caller`.

    `public` of a resource names the methods that need no token. What was found for a token is kept
    for seconds; every change by the Identity API forgets all of it, so that a role taken away
    counts at once. Only another process (bootstrap) may go unnoticed, for that long.
    """

    def __init__(self, store: Store, clock: Clock, public_url: str) -> None:
        self._store = store
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._known: dict[str, tuple[float, Caller]] = {}
        self._changes = 0
        self._lock = threading.Lock()

    def process_request(self, req: falcon.Request, _: falcon.Response) -> None:
        """Note the URL that links in answers begin with."""
        req.context.base_url = self._public_url or req.prefix

    def process_resource(
        self, req: falcon.Request, _: falcon.Response, resource: Any, __: dict[str, Any]
    ) -> None:
        """Find the caller. Raises Fault 401."""
        if resource is None or req.method in getattr(resource, "public", ()):
            return
        given = req.get_header("X-Auth-Token") or ""
        if not given or len(given) > _LONGEST_TOKEN:
            raise Fault(401, _REQUIRED)
        req.context.caller = self._find(given)
        # A service that acts for a user sends both tokens.
        vouching = req.get_header("X-Service-Token")
        if vouching is not None:
            if len(vouching) > _LONGEST_TOKEN:
                raise Fault(401, _REQUIRED)
            req.context.is_vouched_for = self._find(vouching).is_service

    def process_response(self, req: falcon.Request, _: falcon.Response, __: Any, ___: bool) -> None:
        """Forget the callers when the request may have changed what they may do."""
        # A new token takes nothing from those before it.
        reads = req.method in ("GET", "HEAD") or (req.method, req.path) == ("POST", _NEW_TOKEN)
        if req.path.startswith("/identity") and not reads:
            with self._lock:
                self._changes += 1
                self._known.clear()

    def _find(self, given: str) -> Caller:
        digest, now = tokens.digest(given), self._clock.now()
        with self._lock:
            changes = self._changes
            at, caller = self._known.get(digest, (0.0, None))
        fresh = self._clock.monotonic() - at < _KEPT_S
        if caller is not None and fresh and caller.token.expires_at > tokens.stamp(now):
            return caller
        with self._store.read() as conn:
            found = tokens.find(conn, given, now)
        if found is None:
            raise Fault(401, _REQUIRED)
        caller = Caller(found)
        with self._lock:
            if changes == self._changes:
                if len(self._known) >= _MOST_KEPT:
                    self._known.clear()
                self._known[digest] = (self._clock.monotonic(), caller)
        return caller


def caller_of(req: falcon.Request) -> Caller:
    """The caller of a request that needs one."""
    caller: Caller = req.context.caller
    return caller
