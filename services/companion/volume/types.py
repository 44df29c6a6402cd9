# SPDX-License-Identifier: Apache-2.0
"""`/v3/types` and `/v3/default-types`: kinds of volumes, and who may use them."""

import falcon
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy import exc as sa
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.volume import listing, type_records
from services.companion.volume.bodies import DESCRIPTION, metadata, truth
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.records import Row, remove, stamp
from services.companion.web import fields, query
from services.companion.web.body import answer, read_json, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, shown, text

_PUBLIC = "os-volume-type-access:is_public"
_FIELDS = (
    Field("name", text(255, 1), required=True),
    Field("description", DESCRIPTION),
    Field(_PUBLIC, truth, update=False),
    Field("is_public", truth),
    Field("extra_specs", metadata, update=False),
)
# What those may see of extra specs who are no administrators.
_SEEN_BY_ALL = ("multiattach", "replication_enabled", "RESKEY:availability_zones")
_t, _a = tables.volume_types.c, tables.volume_type_access.c


class Types:
    """Types, one and many."""

    def __init__(self, store: Store, clock: Clock, default_name: str) -> None:
        self._store = store
        self._clock = clock
        self._default_name = default_name

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Those that the caller may use, the newest first."""
        call = call_of(req)
        wanted = select(tables.volume_types).where(type_records.usable(call))
        public = query.first(req, "is_public") or "true"
        if call.is_admin and public.lower() != "none":
            wanted = wanted.where(_t.is_public.is_(listing.boolean(public, "is_public")))
        specs = query.first(req, "extra_specs") if call.at_least(52) else None
        if specs is not None:
            condition = listing.pairs(tables.volume_types, "extra_specs")(call, specs)
            wanted = wanted.where(condition)
        name = query.first(req, "name")
        if name is not None:
            wanted = wanted.where(_t.name == name)
        with self._store.read() as conn:
            rows = conn.execute(wanted.order_by(_t.created_at.desc(), _t.id)).mappings().all()
        shown_types = [_show(call, dict(row)) for row in rows]
        answer(resp, {"volume_types": _slice(req, shown_types)})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A new type."""
        call = call_of(req)
        call.must_be_admin()
        values = fields.on_create(_FIELDS, read_object(req, "volume_type"))
        values.setdefault("is_public", values.pop(_PUBLIC, True))
        with self._store.write() as conn:
            row = type_records.create(conn, self._clock, values.pop("name").strip(), **values)
        answer(resp, {"volume_type": _show(call, row, fresh=True)})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """One type; `default` is the project's default."""
        call = call_of(req)
        with self._store.read() as conn:
            if type_id == "default":
                row = type_records.default_of(conn, call.project_id or "", self._default_name)
            else:
                row = type_records.find(conn, call, type_id)
        answer(resp, {"volume_type": _show(call, row)})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """Another name, description, or public or not."""
        call = call_of(req)
        call.must_be_admin()
        given = read_object(req, "volume_type")
        values = fields.on_update(_FIELDS, given)
        if not values or (values.get("name") is not None and not values["name"].strip()):
            raise Fault(400, "Specify volume type name, description, is_public or a combination.")
        values["updated_at"] = stamp(self._clock)
        try:
            with self._store.write() as conn:
                row = type_records.find(conn, call, type_id)
                _must_keep_default(row, self._default_name, values)
                conn.execute(update(tables.volume_types).where(_t.id == row["id"]).values(values))
        except sa.IntegrityError as clash:
            raise Fault(409, "A volume type of this name already exists.") from clash
        row |= values
        plain = ("id", "name", "is_public", "description", "extra_specs")
        answer(resp, {"volume_type": {name: row[name] for name in plain}})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """Delete a type that no volume has."""
        call = call_of(req)
        call.must_be_admin()
        with self._store.write() as conn:
            row = type_records.find(conn, call, type_id)
            _must_keep_default(row, self._default_name, {"name": None})
            having = select(func.count()).where(tables.volumes.c.type_id == row["id"])
            if conn.scalar(having):
                raise Fault(400, "Target volume type is still in use.")
            remove(conn, tables.volume_types, row["id"])
        resp.status = 202

    def on_get_access(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """Projects that may use a private type."""
        call = call_of(req)
        call.must_be_admin()
        with self._store.read() as conn:
            row = type_records.find(conn, call, type_id)
            if row["is_public"]:
                raise Fault(404, "Access list not available for public volume types.")
            wanted = select(_a.project_id).where(_a.type_id == row["id"]).order_by(_a.project_id)
            projects = conn.scalars(wanted).all()
        shown_access = [{"volume_type_id": row["id"], "project_id": p} for p in projects]
        answer(resp, {"volume_type_access": shown_access})

    def on_post_action(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """Let a project use a private type, or no longer."""
        call = call_of(req)
        call.must_be_admin()
        body = read_json(req)
        names = [n for n in ("addProjectAccess", "removeProjectAccess") if _has(body, n)]
        if len(names) != 1:
            raise Fault(400, "There is no such action.")
        project = body[names[0]].get("project")
        if not isinstance(project, str) or not 1 <= len(project) <= 255:
            raise Fault(400, "The action needs a project.")
        with self._store.write() as conn:
            row = type_records.find(conn, call, type_id)
            if row["is_public"]:
                raise Fault(
                    409, "Type access modification is not applicable to public volume type."
                )
            _change_access(conn, row["id"], project, add=names[0].startswith("add"))
        resp.status = 202

    def on_get_encryption(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """No type encrypts."""
        call = call_of(req)
        with self._store.read() as conn:
            type_records.find(conn, call, type_id)
        answer(resp, {})


class ExtraSpecs:
    """`/v3/types/{type}/extra_specs[/{key}]`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def on_get(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """All of them."""
        call = call_of(req)
        with self._store.read() as conn:
            row = type_records.find(conn, call, type_id)
        answer(resp, {"extra_specs": _seen(call, row["extra_specs"])})

    def on_post(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """Set some."""
        given = fields.on_create((Field("extra_specs", metadata),), read_json_object(req))
        specs = given.get("extra_specs")
        if not specs:
            raise Fault(400, "The request body must have extra_specs.")
        answer(resp, {"extra_specs": self._set(call_of(req), type_id, specs)})

    def on_get_one(
        self, req: falcon.Request, resp: falcon.Response, type_id: str, key: str
    ) -> None:
        """One of them."""
        call = call_of(req)
        with self._store.read() as conn:
            specs = _seen(call, type_records.find(conn, call, type_id)["extra_specs"])
        answer(resp, {key: _item(specs, type_id, key)})

    def on_put_one(
        self, req: falcon.Request, resp: falcon.Response, type_id: str, key: str
    ) -> None:
        """Change one."""
        given = read_json_object(req)
        if list(given) != [key]:
            raise Fault(400, "Request body and URI mismatch, or too many items in the body.")
        checked = fields.on_create((Field("extra_specs", metadata),), {"extra_specs": given})
        answer(resp, self._set(call_of(req), type_id, checked["extra_specs"]))

    def on_delete_one(
        self, req: falcon.Request, resp: falcon.Response, type_id: str, key: str
    ) -> None:
        """Take one away."""
        call = call_of(req)
        call.must_be_admin()
        with self._store.write() as conn:
            row = type_records.find(conn, call, type_id)
            _item(row["extra_specs"], type_id, key)
            _write(
                conn, self._clock, row, {k: v for k, v in row["extra_specs"].items() if k != key}
            )
        resp.status = 202

    def _set(self, call: VolumeCall, type_id: str, specs: Row) -> Row:
        call.must_be_admin()
        with self._store.write() as conn:
            row = type_records.find(conn, call, type_id)
            _write(conn, self._clock, row, {**row["extra_specs"], **specs})
        return specs


class DefaultTypes:
    """`/v3/default-types[/{project}]` (3.62): a project's own default."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every project that has one."""
        call = call_of(req)
        call.needs(62)
        call.must_be_admin()
        with self._store.read() as conn:
            rows = conn.execute(select(tables.volume_default_types)).all()
        found = [{"project_id": r.project_id, "volume_type_id": r.type_id} for r in rows]
        answer(resp, {"default_types": found})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """The project's."""
        call = call_of(req)
        call.needs(62)
        call.must_be_admin()
        d = tables.volume_default_types.c
        with self._store.read() as conn:
            found = conn.scalar(select(d.type_id).where(d.project_id == project_id))
        if found is None:
            raise Fault(404, f"Default type for project {shown(project_id)} was not found.")
        answer(resp, {"default_type": {"project_id": project_id, "volume_type_id": found}})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Set it."""
        call = call_of(req)
        call.needs(62)
        call.must_be_admin()
        given = fields.on_create(
            (Field("volume_type", text(255, 1), required=True),), read_object(req, "default_type")
        )
        with self._store.write() as conn:
            row = type_records.find_named(conn, call, given["volume_type"])
            values = {"project_id": project_id, "type_id": row["id"]}
            conn.execute(
                upsert(tables.volume_default_types)
                .values(values)
                .on_conflict_do_update(index_elements=["project_id"], set_=values)
            )
        answer(resp, {"default_type": {"project_id": project_id, "volume_type_id": row["id"]}})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Back to everybody's."""
        call = call_of(req)
        call.needs(62)
        call.must_be_admin()
        d = tables.volume_default_types
        with self._store.write() as conn:
            conn.execute(delete(d).where(d.c.project_id == project_id))
        resp.status = 204


def read_json_object(req: falcon.Request) -> Row:
    """The body, which must be an object. Raises Fault 400."""
    body = read_json(req)
    if not isinstance(body, dict):
        raise Fault(400, "The request body must be a JSON object.")
    return body


def _show(call: VolumeCall, row: Row, *, fresh: bool = False) -> Row:
    view = {
        "id": row["id"],
        "name": row["name"],
        "is_public": row["is_public"],
        "description": row["description"],
        "extra_specs": _seen(call, row["extra_specs"]),
        _PUBLIC: row["is_public"],
    }
    if call.is_admin and not fresh:
        view["qos_specs_id"] = None
    return view


def _seen(call: VolumeCall, specs: Row) -> Row:
    if call.sees_everything:
        return dict(specs)
    return {key: value for key, value in specs.items() if key in _SEEN_BY_ALL}


def _slice(req: falcon.Request, found: list[Row]) -> list[Row]:
    asked = {name: values[-1] for name, values in query.values(req).items()}
    size = listing.whole(asked, "limit", query.MOST_PER_PAGE)
    start = listing.whole(asked, "offset", 0)
    marker = asked.get("marker")
    if marker is not None:
        ids = [row["id"] for row in found]
        if marker not in ids:
            raise Fault(404, f"Volume type {shown(marker)} could not be found.")
        start += ids.index(marker) + 1
    return found[start : start + size]


def _must_keep_default(row: Row, default_name: str, values: Row) -> None:
    if row["name"] == default_name and values.get("name", default_name) != default_name:
        raise Fault(400, f"Volume type {default_name} is the default: it keeps its name and stays.")


def _has(body: object, name: str) -> bool:
    return isinstance(body, dict) and isinstance(body.get(name), dict)


def _change_access(conn: Connection, type_id: str, project: str, *, add: bool) -> None:
    table = tables.volume_type_access
    ours = (_a.type_id == type_id) & (_a.project_id == project)
    if add:
        try:
            conn.execute(insert(table).values(type_id=type_id, project_id=project))
        except sa.IntegrityError as clash:
            raise Fault(
                409, f"Volume type access for {type_id} / {shown(project)} already exists."
            ) from clash
    elif not conn.execute(delete(table).where(ours)).rowcount:
        raise Fault(404, f"Volume type access not found for {type_id} / {shown(project)}.")


def _item(specs: Row, type_id: str, key: str) -> str:
    if key not in specs:
        raise Fault(404, f"Volume Type {type_id} has no extra specs with key {shown(key)}.")
    return str(specs[key])


def _write(conn: Connection, clock: Clock, row: Row, specs: Row) -> None:
    values = {"extra_specs": specs, "updated_at": stamp(clock)}
    conn.execute(update(tables.volume_types).where(_t.id == row["id"]).values(values))
