# SPDX-License-Identifier: Apache-2.0
"""`/v3/messages` (3.3): what went wrong behind a request, in words for the user."""

from datetime import timedelta

import falcon
from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from common.clock import Clock, iso_microseconds
from common.ids import new_uuid
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.volume import listing
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.listing import Listed, equals
from services.companion.volume.records import Row, remove, visible
from services.companion.web.body import answer
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

_KEPT = timedelta(days=30)
_m = tables.volume_messages.c
_LISTED = Listed(
    table=tables.volume_messages,
    plural="messages",
    title="Message",
    sort_keys={n: n for n in ("id", "created_at", "event_id", "resource_type", "resource_uuid",
                              "request_id", "guaranteed_until")},
    filters={n: equals(_m[n]) for n in ("event_id", "resource_type", "resource_uuid",
                                        "request_id")},
)  # fmt: skip


def say(
    conn: Connection, clock: Clock, *, about: Row, kind: str, event: str, words: str,
    request_id: str | None,
) -> None:  # fmt: skip
    """Leave a message for the project of `about`, which is a `kind` (VOLUME or such).

    Messages that are older than they were promised to be kept go.
    """
    now = clock.now()
    conn.execute(delete(tables.volume_messages).where(_m.guaranteed_until < iso_microseconds(now)))
    row = {
        "id": new_uuid(), "project_id": about["project_id"], "event_id": event,
        "user_message": words[:1000], "resource_type": kind, "resource_uuid": about["id"],
        "request_id": request_id, "created_at": iso_microseconds(now),
        "guaranteed_until": iso_microseconds(now + _KEPT),
    }  # fmt: skip
    conn.execute(insert(tables.volume_messages).values(row))


class Messages:
    """Messages, one and many."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them."""
        call = call_of(req)
        call.needs(3)
        with self._store.read() as conn:
            page = listing.page(conn, call, req, _LISTED)
            found = conn.execute(select(tables.volume_messages).where(_m.id.in_(page.ids)))
            rows = {row["id"]: dict(row) for row in found.mappings()}
        answer(resp, {"messages": [_show(call, rows[i]) for i in page.ids], **page.extras})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """One of them."""
        call = call_of(req)
        call.needs(3)
        with self._store.read() as conn:
            answer(resp, {"message": _show(call, _find(conn, call, item_id))})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Read and done with."""
        call = call_of(req)
        call.needs(3)
        with self._store.write() as conn:
            message = _find(conn, call, item_id)
            call.must_write()
            remove(conn, tables.volume_messages, message["id"])
        resp.status = 204


def _find(conn: Connection, call: VolumeCall, item_id: str) -> Row:
    wanted = select(tables.volume_messages).where(
        _m.id == item_id, visible(call, tables.volume_messages)
    )
    row = conn.execute(wanted).mappings().one_or_none()
    if row is None:
        raise Fault(404, f"Message {shown(item_id)} could not be found.")
    return dict(row)


def _show(call: VolumeCall, row: Row) -> Row:
    shown_row = {name: value for name, value in row.items() if name != "project_id"}
    return {**shown_row, "message_level": "ERROR", "links": call.links(f"messages/{row['id']}")}
