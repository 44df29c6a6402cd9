# SPDX-License-Identifier: Apache-2.0
"""`/v3/attachments` (3.27): how compute services connect volumes to instances."""

from collections.abc import Callable
from typing import Any

import falcon
from sqlalchemy import select
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.volume import attaching, listing, records, views
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.listing import Listed, equals
from services.companion.volume.parts import Parts
from services.companion.volume.records import Row
from services.companion.web import fields
from services.companion.web.body import answer, read_json, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, mapping, nullable, one_of, shown, text

_a = tables.volume_attachments.c
_MODE = one_of(attaching.READ_ONLY, attaching.READ_WRITE)
_CREATE = (
    Field("volume_uuid", text(255, 1), required=True),
    Field("instance_uuid", nullable(text(255))),
    Field("connector", nullable(mapping)),
    Field("mode", nullable(_MODE)),
)
_UPDATE = (Field("connector", mapping, required=True),)
_LISTED = Listed(
    table=tables.volume_attachments,
    plural="attachments",
    title="Attachment",
    sort_keys={n: n for n in ("id", "status", "volume_id", "instance_uuid", "created_at",
                              "attached_host")},
    filters={
        **{n: equals(_a[n]) for n in ("id", "volume_id", "instance_uuid", "attached_host")},
        "instance_id": equals(_a.instance_uuid), "status": equals(_a.status),
        "attach_status": equals(_a.status),
    },
)  # fmt: skip


class Attachments:
    """Attachments, one and many."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them."""
        self._list(req, resp, views.attachment_summary)

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them, in full."""
        self._list(req, resp, views.attachment_detail)

    def _list(self, req: falcon.Request, resp: falcon.Response, view: Callable[[Row], Row]) -> None:
        call = _call(req)
        with self._parts.store.read() as conn:
            page = listing.page(conn, call, req, _LISTED)
            rows = {row["id"]: row for row in records.attachments(conn, _a.id.in_(page.ids))}
        answer(resp, {"attachments": [view(rows[i]) for i in page.ids], **page.extras})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Reserve a volume for an instance; with a connector, connect it too."""
        call, parts = _call(req), self._parts
        call.must_write()
        given = read_object(req, "attachment")
        if not call.at_least(54):
            given.pop("mode", None)
        values = fields.on_create(_CREATE, given)
        with parts.store.write() as conn:
            volume = records.find(conn, call, values["volume_uuid"])
            attachment = attaching.reserve(
                conn, volume, parts.clock,
                instance_uuid=values.get("instance_uuid") or None, mode=values.get("mode"),
            )  # fmt: skip
            if values.get("connector"):
                attachment = self._connect(conn, call, attachment, values["connector"])
        answer(resp, {"attachment": views.attachment_detail(attachment)})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """One attachment."""
        call = _call(req)
        with self._parts.store.read() as conn:
            attachment = _find(conn, call, item_id)
        answer(resp, {"attachment": views.attachment_detail(attachment)})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Connect a reserved attachment, or connect one anew."""
        call = _call(req)
        call.must_write()
        values = fields.on_create(_UPDATE, read_object(req, "attachment"))
        with self._parts.store.write() as conn:
            attachment = _find(conn, call, item_id)
            attachment = self._connect(conn, call, attachment, values["connector"])
        answer(resp, {"attachment": views.attachment_detail(attachment)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Take it away; those that the volume still has are the answer."""
        call, parts = _call(req), self._parts
        call.must_write()
        with parts.store.read() as conn:
            attachment = _find(conn, call, item_id)
        parts.guard.must_let_go(call, attachment)
        with parts.store.write() as conn:
            attachment = _find(conn, call, item_id)
            volume = records.find(conn, call, attachment["volume_id"])
            volume = attaching.release(conn, volume, attachment, parts.clock, parts.backend)
        left = [views.attachment_summary(row) for row in volume["attachments"]]
        answer(resp, {"attachments": left})

    def on_post_action(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """`os-complete` (3.44): the instance has it."""
        call = _call(req)
        call.needs(44)
        call.must_write()
        body: Any = read_json(req)
        if not isinstance(body, dict) or "os-complete" not in body:
            raise Fault(400, "There is no such action.")
        with self._parts.store.write() as conn:
            attachment = _find(conn, call, item_id)
            attaching.complete(conn, attachment, self._parts.clock)
            volume = records.find(conn, call, attachment["volume_id"])
            attaching.settle(conn, volume, self._parts.clock)
        resp.status = 204

    def _connect(self, conn: Connection, call: VolumeCall, attachment: Row, connector: Row) -> Row:
        """Connect; up to 3.43, where nothing says that it is complete, it is so at once."""
        parts = self._parts
        volume = records.find(conn, call, attachment["volume_id"])
        attachment = attaching.connect(
            conn, volume, attachment, parts.clock, parts.backend, connector
        )
        if not call.at_least(44):
            attachment = attaching.complete(conn, attachment, parts.clock)
        attaching.settle(conn, volume, parts.clock)
        return attachment


def _call(req: falcon.Request) -> VolumeCall:
    call = call_of(req)
    call.needs(27)
    return call


def _find(conn: Connection, call: VolumeCall, item_id: str) -> Row:
    wanted = select(tables.volume_attachments).where(
        _a.id == item_id, records.visible(call, tables.volume_attachments)
    )
    row = conn.execute(wanted).mappings().one_or_none()
    if row is None:
        raise Fault(404, f"Volume attachment could not be found with filter: attachment_id = "
                         f"{shown(item_id)}.")  # fmt: skip
    return dict(row)
