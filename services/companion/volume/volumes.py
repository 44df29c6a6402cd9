# SPDX-License-Identifier: Apache-2.0
"""`/v3/volumes`, one and many."""

import falcon
from sqlalchemy import ColumnElement, false, func, select, true
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.volume import creation, deletion, listing, records, views
from services.companion.volume.bodies import DESCRIPTION, NAME, metadata
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.listing import Filter, Listed, equals, flag, moment, number, pairs
from services.companion.volume.parts import Parts
from services.companion.web import fields, query
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable

_v, _t = tables.volumes.c, tables.volume_types.c
_CHANGES = (
    Field("name", NAME),
    Field("description", DESCRIPTION),
    Field("display_name", NAME),
    Field("display_description", DESCRIPTION),
    Field("metadata", nullable(metadata)),
)


def _of_type(word: str) -> Filter:
    column = _t.id if word == "id" else _t.name
    return lambda _, value: _v.type_id.in_(select(_t.id).where(column == value))


def _bootable() -> Filter:
    """Before 3.2 whatever is not false means true."""
    strict = flag(_v.bootable, "bootable")

    def condition(call: VolumeCall, value: str) -> ColumnElement[bool]:
        if call.at_least(2):
            return strict(call, value)
        return _v.bootable.is_(value.lower() != "false")

    return condition


_LISTED = Listed(
    table=tables.volumes,
    plural="volumes",
    title="Volume",
    sort_keys={
        **{n: n for n in ("id", "name", "status", "size", "created_at", "updated_at", "bootable",
                          "availability_zone", "description", "project_id")},
        "display_name": "name", "source_volid": "source_volid", "snapshot_id": "snapshot_id",
    },
    filters={
        **{n: equals(_v[n]) for n in ("id", "name", "status", "description", "availability_zone",
                                      "snapshot_id", "source_volid", "migration_status",
                                      "user_id")},
        "display_name": equals(_v.name), "size": number(_v.size), "bootable": _bootable(),
        "multiattach": flag(_v.multiattach, "multiattach"),
        "metadata": pairs(tables.volumes, "metadata"),
        "glance_metadata": pairs(tables.volumes, "image_metadata"),
        "created_at": moment(_v.created_at), "updated_at": moment(_v.updated_at),
        "volume_type": _of_type("name"), "volume_type_id": _of_type("id"),
        "host": lambda _, __: true(), "group_id": lambda _, __: false(),
        "encrypted": lambda _, v: false() if listing.boolean(v, "encrypted")
        else true(),
        "consumes_quota": lambda _, v: true() if listing.boolean(v, "consumes_quota")
        else false(),
    },
)  # fmt: skip


class Volumes:
    """Volumes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them: ids and names."""
        call = call_of(req)
        with self._parts.store.read() as conn:
            page = listing.page(conn, call, req, _LISTED)
            rows = records.load(conn, page.ids)
        shown = [views.volume_summary(call, row) for row in rows]
        answer(resp, {"volumes": shown, **page.extras})

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them, in full."""
        call = call_of(req)
        with self._parts.store.read() as conn:
            page = listing.page(conn, call, req, _LISTED)
            rows = records.load(conn, page.ids)
        shown = [views.volume_detail(call, row, self._parts.host) for row in rows]
        answer(resp, {"volumes": shown, **page.extras})

    def on_get_summary(self, req: falcon.Request, resp: falcon.Response) -> None:
        """How many there are and how large they are together (3.12)."""
        call = call_of(req)
        call.needs(12)
        asked = {name: values[-1] for name, values in query.values(req).items()}
        ours = listing.scope(call, tables.volumes, asked)
        with self._parts.store.read() as conn:
            count, size = conn.execute(
                select(func.count(), func.coalesce(func.sum(_v.size), 0)).where(ours)
            ).one()
            summary = {"total_count": count, "total_size": size}
            if call.at_least(36):
                summary["metadata"] = _all_metadata(conn, ours)
        answer(resp, {"volume-summary": summary})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A new volume, whose data is made behind the request."""
        call = call_of(req)
        call.must_write()
        wanted = creation.parse(call, read_object(req, "volume"))
        with self._parts.store.write() as conn:
            volume = creation.create(conn, call, self._parts, wanted)
        self._parts.jobs.wake()
        shown = views.volume_detail(call, volume, self._parts.host, fresh=True)
        answer(resp, {"volume": shown}, 202)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """One volume."""
        call = call_of(req)
        with self._parts.store.read() as conn:
            volume = records.find(conn, call, item_id)
        answer(resp, {"volume": views.volume_detail(call, volume, self._parts.host)})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Another name, description or metadata."""
        call = call_of(req)
        given = read_object(req, "volume")
        if call.at_least(53):
            fields.refuse_unknown(_CHANGES, given)
            if not given:
                raise Fault(400, "At least one attribute must be given.")
        values = fields.on_update(_CHANGES, given)
        for name in ("name", "description"):
            other = values.pop(f"display_{name}", None)
            if other is not None:
                values.setdefault(name, other)
        if "metadata" in values:
            values["metadata"] = values["metadata"] or {}
        with self._parts.store.write() as conn:
            volume = records.find_own(conn, call, item_id)
            volume = records.change(conn, volume, self._parts.clock, **values)
        shown = views.volume_detail(call, volume, self._parts.host, fresh=True)
        answer(resp, {"volume": shown})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Delete it, with its snapshots if asked; its data goes behind the request."""
        call = call_of(req)
        cascade = listing.boolean(query.first(req, "cascade") or "false", "cascade")
        forced = query.first(req, "force") if call.at_least(23) else None
        force = listing.boolean(forced or "false", "force")
        if force:
            call.must_be_admin()
        with self._parts.store.write() as conn:
            volume = records.find_own(conn, call, item_id)
            deletion.delete(conn, call, self._parts, volume, cascade=cascade, force=force)
        self._parts.jobs.wake()
        resp.status = 202


def _all_metadata(conn: Connection, ours: ColumnElement[bool]) -> dict[str, list[str]]:
    """Every value that a key has in any of the volumes."""
    found: dict[str, set[str]] = {}
    for row in conn.execute(select(_v["metadata"]).where(ours)):
        for key, value in row[0].items():
            found.setdefault(key, set()).add(value)
    return {key: sorted(values) for key, values in found.items()}
