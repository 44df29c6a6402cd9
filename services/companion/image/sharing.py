# SPDX-License-Identifier: Apache-2.0
"""Members of an image (projects it is shared with), and its tags."""

from typing import Any

import falcon
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy import exc as sa
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.identity.callers import Caller, caller_of
from services.companion.image import attributes, records
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web.body import answer, read_json
from services.companion.web.faults import Fault
from services.companion.web.fields import BadValue, text

_m = tables.image_members.c


class Members:
    """`/v2/images/{id}/members[/{member}]`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """All members for the owner; the own entry for a member."""
        with self._store.read() as conn:
            image = self._shared(conn, caller_of(req), image_id, only_owner=False)
            wanted = select(tables.image_members).where(_m.image_id == image["id"])
            if not _owns(caller_of(req), image):
                wanted = wanted.where(_m.member_id == caller_of(req).project_id)
            rows = conn.execute(wanted.order_by(_m.member_id)).mappings().all()
        shown = [_show(dict(row)) for row in rows]
        answer(resp, {"members": shown, "schema": "/v2/schemas/members"})

    def on_post(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Share the image with one more project, which has yet to accept."""
        member = _word(read_json(req), "member")
        now = records.stamp(self._clock.now())
        try:
            with self._store.write() as conn:
                image = self._shared(conn, caller_of(req), image_id, only_owner=True)
                count = select(func.count()).where(_m.image_id == image["id"])
                if conn.scalar(count) >= attributes.MOST_MEMBERS:  # type: ignore[operator]
                    raise Fault(413, "The image has too many members.")
                row = {
                    "image_id": image["id"], "member_id": member, "status": "pending",
                    "created_at": now, "updated_at": now,
                }  # fmt: skip
                conn.execute(insert(tables.image_members).values(row))
        except sa.IntegrityError as clash:
            raise Fault(409, f"Image member {member} already exists.") from clash
        answer(resp, _show(row))

    def on_get_one(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, member_id: str
    ) -> None:
        """One member."""
        with self._store.read() as conn:
            row = self._member(conn, caller_of(req), image_id, member_id)
        answer(resp, _show(row))

    def on_put_one(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, member_id: str
    ) -> None:
        """The member accepts or rejects the image."""
        status = _word(read_json(req), "status")
        if status not in ("accepted", "pending", "rejected"):
            raise Fault(400, "status must be accepted, pending or rejected.")
        caller = caller_of(req)
        with self._store.write() as conn:
            row = self._member(conn, caller, image_id, member_id)
            if not caller.is_admin and caller.project_id != member_id:
                raise Fault(403, "Only the member itself may change its status.")
            values = {"status": status, "updated_at": records.stamp(self._clock.now())}
            ours = (_m.image_id == row["image_id"]) & (_m.member_id == member_id)
            conn.execute(update(tables.image_members).where(ours).values(values))
        answer(resp, _show({**row, **values}))

    def on_delete_one(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, member_id: str
    ) -> None:
        """Share it no longer."""
        with self._store.write() as conn:
            image = self._shared(conn, caller_of(req), image_id, only_owner=True)
            ours = (_m.image_id == image["id"]) & (_m.member_id == member_id)
            if not conn.execute(delete(tables.image_members).where(ours)).rowcount:
                raise Fault(404, "The image has no such member.")
        resp.status = 204

    def _shared(
        self, conn: Connection, caller: Caller, image_id: str, *, only_owner: bool
    ) -> records.Image:
        find = records.find_own if only_owner else records.find
        image = find(conn, caller, image_id)
        if only_owner and image["visibility"] != "shared":
            raise Fault(403, "Only shared images have members.")
        return image

    def _member(
        self, conn: Connection, caller: Caller, image_id: str, member_id: str
    ) -> dict[str, Any]:
        image = records.find(conn, caller, image_id)
        ours = (_m.image_id == image["id"]) & (_m.member_id == member_id)
        row = conn.execute(select(tables.image_members).where(ours)).mappings().one_or_none()
        if row is None or not (_owns(caller, image) or caller.project_id == member_id):
            raise Fault(404, "The image has no such member.")
        return dict(row)


def _owns(caller: Caller, image: records.Image) -> bool:
    return caller.reads_everything or image["owner"] == caller.project_id


def _word(body: Any, name: str) -> str:
    if not isinstance(body, dict):
        raise Fault(400, "The request body must be a JSON object.")
    try:
        return str(text(255, 1)(body.get(name)))
    except BadValue as wrong:
        raise Fault(400, f"Invalid value for {name}: {wrong}") from wrong


def _show(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "schema": "/v2/schemas/member"}


class Tags:
    """`/v2/images/{id}/tags/{tag}`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str, tag: str) -> None:
        """Add a tag. Again: nothing changes."""
        try:
            text(255, 1)(tag)
        except BadValue as wrong:
            raise Fault(400, f"Invalid tag: {wrong}") from wrong
        with self._store.write() as conn:
            image = records.find_own(conn, caller_of(req), image_id)
            if len(image["tags"]) >= attributes.MOST_TAGS:
                raise Fault(413, "The image has too many tags.")
            row = {"image_id": image["id"], "tag": tag}
            conn.execute(upsert(tables.image_tags).values(row).on_conflict_do_nothing())
        resp.status = 204

    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, tag: str
    ) -> None:
        """Take a tag away."""
        t = tables.image_tags.c
        with self._store.write() as conn:
            image = records.find_own(conn, caller_of(req), image_id)
            ours = (t.image_id == image["id"]) & (t.tag == tag)
            if not conn.execute(delete(tables.image_tags).where(ours)).rowcount:
                raise Fault(404, "The image has no such tag.")
        resp.status = 204
