# SPDX-License-Identifier: Apache-2.0
"""`/v2/images` and `/v2/images/{id}`: descriptions of images."""

import falcon
from sqlalchemy import delete, insert, update
from sqlalchemy import exc as sa

from common.clock import Clock
from common.ids import new_uuid
from services.companion.identity.callers import Caller, caller_of
from services.companion.image import attributes, listing, patch, records
from services.companion.image.files import Files
from services.companion.image.records import Image
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web.body import answer, read_json
from services.companion.web.faults import Fault
from services.companion.web.fields import BadValue, shown

_COLUMNS = frozenset(column.name for column in tables.images.columns)


class Images:
    """Images, one and many."""

    def __init__(self, store: Store, clock: Clock, files: Files) -> None:
        self._store = store
        self._clock = clock
        self._files = files

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of those that the caller sees."""
        with self._store.read() as conn:
            answer(resp, listing.page(conn, caller_of(req), req))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A new image without data: queued."""
        caller = caller_of(req)
        caller.must_write()
        image = self._new(caller, read_json(req))
        try:
            with self._store.write() as conn:
                conn.execute(insert(tables.images).values(_row(image)))
                records.set_properties(conn, image["id"], image["properties"])
                records.set_tags(conn, image["id"], image["tags"])
                image = records.find(conn, caller, image["id"])
        except sa.IntegrityError as clash:
            raise Fault(409, f"Image ID {image['id']} already exists!") from clash
        answer(resp, records.show(image), 201)
        resp.location = f"{req.context.base_url}/image/v2/images/{image['id']}"
        resp.set_header("OpenStack-image-store-ids", "file")

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """One image."""
        with self._store.read() as conn:
            image = records.find(conn, caller_of(req), image_id)
        answer(resp, records.show(image))

    def on_patch_one(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Change attributes and free properties."""
        caller = caller_of(req)
        changes = patch.parse(req.content_type or "", read_json(req))
        with self._store.write() as conn:
            image = records.find_own(conn, caller, image_id)
            changed = patch.apply(image, changes)
            _check_rights(caller, image, changed)
            changed["updated_at"] = records.stamp(self._clock.now())
            ours = tables.images.c.id == image["id"]
            conn.execute(update(tables.images).where(ours).values(_row(changed)))
            records.set_properties(conn, image["id"], changed["properties"])
            records.set_tags(conn, image["id"], changed["tags"])
            [image] = records.load(conn, [image["id"]])
        answer(resp, records.show(image))

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Remove it with its data."""
        with self._store.write() as conn:
            image = records.find_own(conn, caller_of(req), image_id)
            if image["protected"]:
                raise Fault(403, f"Image {image['id']} is protected and cannot be deleted.")
            conn.execute(delete(tables.images).where(tables.images.c.id == image["id"]))
        # Only after the commit: a file without its image is found at the next start, an image
        # without its file never.
        self._files.remove(image["id"])
        resp.status = 204

    def _new(self, caller: Caller, body: object) -> Image:
        if not isinstance(body, dict):
            raise Fault(400, "The request body must be a JSON object.")
        now = records.stamp(self._clock.now())
        image: Image = {
            "id": new_uuid(), "name": None, "status": "queued", "visibility": "shared",
            "disk_format": None, "container_format": None, "min_disk": 0, "min_ram": 0,
            "protected": False, "os_hidden": False, "owner": caller.project_id, "tags": [],
            "properties": {}, "created_at": now, "updated_at": now,
        }  # fmt: skip
        before = dict(image)
        for name, value in body.items():
            if name in attributes.READ_ONLY and name != "id":
                raise Fault(403, f"Attribute '{name}' is read-only.")
            try:
                if name in attributes.AT_CREATION:
                    image[name] = attributes.AT_CREATION[name](value)
                else:
                    image["properties"][name] = attributes.check(name, value)
            except BadValue as wrong:
                raise Fault(400, f"Invalid value for {shown(name)}: {wrong}") from wrong
        if len(image["properties"]) > attributes.MOST_PROPERTIES:
            raise Fault(413, f"More than {attributes.MOST_PROPERTIES} image properties.")
        image["id"] = image["id"].lower()
        _check_rights(caller, before, image)
        return image


def _row(image: Image) -> Image:
    return {name: value for name, value in image.items() if name in _COLUMNS}


def _check_rights(caller: Caller, before: Image, after: Image) -> None:
    """Raise Fault 403 for changes that only administrators make."""
    if caller.is_admin:
        return
    if after["visibility"] == "public" and before["visibility"] != "public":
        raise Fault(403, "You are not authorized to publicize images.")
    if after["owner"] != before["owner"]:
        raise Fault(403, "You are not permitted to create images owned by another project.")


class ImageActions:
    """`POST /v2/images/{id}/actions/{deactivate,reactivate}`: keep an image's data back."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_post(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, action: str
    ) -> None:
        """204 when the image is as wanted."""
        goal = {"deactivate": "deactivated", "reactivate": "active"}.get(action)
        if goal is None:
            raise Fault(404, "The resource could not be found.")
        with self._store.write() as conn:
            image = records.find(conn, caller_of(req), image_id)
            caller_of(req).must_be_admin()
            if image["status"] not in ("active", "deactivated"):
                raise Fault(403, f"Not allowed to {action} an image in status {image['status']}.")
            ours = tables.images.c.id == image["id"]
            conn.execute(update(tables.images).where(ours).values(status=goal))
        resp.status = 204
