# SPDX-License-Identifier: Apache-2.0
"""`/v3/auth/…`: tokens, and what the caller's token may be exchanged for."""

from typing import Any

import falcon
from sqlalchemy import delete, select
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.identity import catalog, tokens
from services.companion.identity.authenticate import Authenticator
from services.companion.identity.callers import caller_of
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import query
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault


class AuthTokens:
    """`/v3/auth/tokens`: a new token, or news about the one in X-Subject-Token."""

    public = ("POST",)

    def __init__(self, store: Store, clock: Clock, authenticator: Authenticator) -> None:
        self._store = store
        self._clock = clock
        self._authenticator = authenticator

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A new token, in X-Subject-Token."""
        token = self._authenticator.token_for(read_object(req, "auth"))
        with self._store.read() as conn:
            found = tokens.find(conn, token, self._clock.now())
            if found is None:  # what it is for went away in this moment
                raise Fault(401, "The request you have made requires authentication.")
            self._show(conn, req, resp, found, 201)
        resp.set_header("X-Subject-Token", token)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What the token stands for."""
        with self._store.read() as conn:
            self._show(conn, req, resp, self._subject(conn, req), 200)
        resp.set_header("X-Subject-Token", req.get_header("X-Subject-Token") or "")

    def on_head(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whether the token is valid."""
        with self._store.read() as conn:
            self._subject(conn, req)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The token is worth nothing from now on."""
        with self._store.read() as conn:
            found = self._subject(conn, req)
        with self._store.write() as conn:
            conn.execute(delete(tables.tokens).where(tables.tokens.c.digest == found.digest))
        resp.status = 204

    def _show(
        self,
        conn: Connection,
        req: falcon.Request,
        resp: falcon.Response,
        token: tokens.Token,
        status: int,
    ) -> None:
        with_catalog = query.first(req, "nocatalog") is None
        answer(resp, tokens.body(conn, token, with_catalog=with_catalog), status)
        resp.set_header("Vary", "X-Auth-Token")

    def _subject(self, conn: Connection, req: falcon.Request) -> tokens.Token:
        """The token asked about. Raises Fault 403 (not the caller's to ask) or 404."""
        caller = caller_of(req)
        given = req.get_header("X-Subject-Token") or ""
        expired = query.first(req, "allow_expired") in ("1", "true", "True") and caller.is_service
        found = tokens.find(conn, given, self._clock.now(), expired=expired)
        own = found is not None and found.user["id"] == caller.user_id
        if not (own or caller.is_service or caller.reads_everything):
            raise Fault(403, "You are not authorized to perform the requested action.")
        if found is None:
            raise Fault(404, "Could not find token.")
        return found


class Catalog:
    """`GET /v3/auth/catalog`."""

    def __init__(self, store: Store, base: str) -> None:
        self._store = store
        self._base = base

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The services, as the caller's token sees them."""
        if caller_of(req).token.scope.kind is None:
            raise Fault(403, "An unscoped token has no catalogue.")
        with self._store.read() as conn:
            found = catalog.catalog(conn, caller_of(req).project_id)
        links = {"self": f"{req.context.base_url}{self._base}/auth/catalog"}
        answer(resp, {"catalog": found, "links": {"next": None, "previous": None, **links}})


class Scopes:
    """`GET /v3/auth/projects`, `/v3/auth/domains`, `/v3/auth/system`: scopes to choose from."""

    def __init__(self, store: Store, base: str, kind: str) -> None:
        self._store = store
        self._base = base
        self._kind = kind

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What the caller has a role on."""
        with self._store.read() as conn:
            found = targets_of(conn, caller_of(req).user_id, self._kind)
        plural = self._kind if self._kind == "system" else f"{self._kind}s"
        links = {
            "self": f"{req.context.base_url}{self._base}/auth/{plural}",
            "next": None,
            "previous": None,
        }
        answer(resp, {plural: found, "links": links})


def targets_of(conn: Connection, user_id: str, kind: str) -> list[dict[str, Any]]:
    """Enabled projects, domains or the system that the user has a role on."""
    g = tables.grants.c
    ids = select(g.target_id).where(g.user_id == user_id, g.target_kind == kind)
    if kind == "system":
        return [{"all": True}] if conn.scalars(ids.limit(1)).first() else []
    table = tables.projects if kind == "project" else tables.domains
    rows = conn.execute(
        select(table).where(table.c.id.in_(ids), table.c.enabled).order_by(table.c.name)
    )
    shown = ("id", "name", "description", "enabled", "domain_id", "parent_id", "tags")
    return [{k: v for k, v in row._mapping.items() if k in shown} for row in rows]
