# SPDX-License-Identifier: Apache-2.0
"""`/v3/os-quota-sets`, `/v3/os-quota-class-sets` and `/v3/limits`."""

from typing import Any

import falcon
from sqlalchemy import delete
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.volume import listing, quota
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.quota import CLASS, UNLIMITED, Defaults
from services.companion.volume.records import Row
from services.companion.web import query
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import BadValue, integer, shown

_IGNORED = frozenset(("tenant_id", "project_id", "id", "force", "class_name"))
_limit = integer(UNLIMITED, 2**31 - 1)


class Quotas:
    """Limits of projects, and of those without their own."""

    def __init__(self, store: Store, defaults: Defaults) -> None:
        self._store = store
        self._defaults = defaults

    def on_get(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """The project's limits; with `usage`, also what it has."""
        _must_see(call_of(req), project_id)
        with_usage = listing.boolean(query.first(req, "usage") or "false", "usage")
        with self._store.read() as conn:
            allowed: Row = dict(quota.limits(conn, project_id, self._defaults))
            used = quota.usage(conn, project_id) if with_usage else {}
        if with_usage:
            allowed = {
                name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
                for name, limit in allowed.items()
            }
        answer(resp, {"quota_set": {"id": project_id, **allowed}})

    def on_get_defaults(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """The limits of a project without its own."""
        _must_see(call_of(req), project_id)
        with self._store.read() as conn:
            allowed = quota.limits(conn, CLASS, self._defaults)
        answer(resp, {"quota_set": {"id": project_id, **allowed}})

    def on_put(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Set limits; -1 is unlimited."""
        call_of(req).must_be_admin()
        given = read_object(req, "quota_set")
        with self._store.write() as conn:
            _set(conn, project_id, given, self._defaults)
            allowed = quota.limits(conn, project_id, self._defaults)
        answer(resp, {"quota_set": allowed})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Back to the defaults."""
        call_of(req).must_be_admin()
        with self._store.write() as conn:
            table = tables.volume_quotas
            conn.execute(delete(table).where(table.c.owner == project_id))
        resp.status = 200

    def on_get_class(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """The limits of projects without their own."""
        call_of(req).must_be_admin()
        with self._store.read() as conn:
            allowed = quota.limits(conn, f"class:{name}", self._defaults)
        answer(resp, {"quota_class_set": {"id": name, **allowed}})

    def on_put_class(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Set limits of the class; only `default` has an effect."""
        call_of(req).must_be_admin()
        given = read_object(req, "quota_class_set")
        with self._store.write() as conn:
            _set(conn, f"class:{name}", given, self._defaults)
            allowed = quota.limits(conn, f"class:{name}", self._defaults)
        answer(resp, {"quota_class_set": allowed})


class Limits:
    """`GET /v3/limits`: what the project may have and has; no rates."""

    def __init__(self, store: Store, defaults: Defaults) -> None:
        self._store = store
        self._defaults = defaults

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The own project's; any project's for administrators (3.39)."""
        call = call_of(req)
        asked = query.first(req, "project_id") or query.first(req, "tenant_id")
        named = asked if call.at_least(39) and call.sees_everything else None
        with self._store.read() as conn:
            absolute = quota.absolute(conn, named or call.own_project, self._defaults)
        answer(resp, {"limits": {"rate": [], "absolute": absolute}})


def _must_see(call: VolumeCall, project_id: str) -> None:
    if project_id != call.caller.project_id and not call.sees_everything:
        raise Fault(403, "Quotas of another project need an administrator.")


def _set(conn: Connection, owner: str, given: dict[str, Any], defaults: Defaults) -> None:
    known = quota.limits(conn, owner, defaults)
    unknown = sorted(set(given) - set(known) - _IGNORED)
    if unknown:
        raise Fault(400, f"Bad key(s) in quota set: {shown(','.join(unknown))}")
    for resource, value in given.items():
        if resource in _IGNORED:
            continue
        try:
            limit = _limit(value)
        except BadValue as wrong:
            raise Fault(400, f"Invalid input for {resource}: {wrong}") from wrong
        row = {"owner": owner, "resource": resource, "limit": limit}
        conn.execute(
            upsert(tables.volume_quotas)
            .values(row)
            .on_conflict_do_update(index_elements=["owner", "resource"], set_={"limit": limit})
        )
