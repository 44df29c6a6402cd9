# SPDX-License-Identifier: Apache-2.0
"""`/v3/volumes/{id}/metadata[/{key}]`, and the same of snapshots."""

from collections.abc import Callable

import falcon
from sqlalchemy.engine import Connection

from services.companion.volume import records
from services.companion.volume.bodies import MOST_METADATA, metadata
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.parts import Parts
from services.companion.volume.records import Row
from services.companion.web import fields
from services.companion.web.body import answer, read_json
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, shown

Find = Callable[[Connection, VolumeCall, str], Row]
Pairs = dict[str, str]


class Metadata:
    """Pairs that users keep on a volume or snapshot."""

    def __init__(self, parts: Parts, find: Find, change: Callable[..., Row]) -> None:
        self._parts = parts
        self._find = find
        self._change = change

    def on_get(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """All of them."""
        answer(resp, {"metadata": self._read(req, item_id)})

    def on_post(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """More of them."""
        given = _checked(read_json(req), "metadata")
        answer(resp, {"metadata": self._write(req, item_id, lambda has: {**has, **given})})

    def on_put(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """These, and no others."""
        given = _checked(read_json(req), "metadata")
        answer(resp, {"metadata": self._write(req, item_id, lambda _: given)})

    def on_get_one(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, key: str
    ) -> None:
        """One of them."""
        pairs = self._read(req, item_id)
        _must_have(pairs, key)
        answer(resp, {"meta": {key: pairs[key]}})

    def on_put_one(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, key: str
    ) -> None:
        """One of them anew."""
        given = _checked(read_json(req), "meta")
        if list(given) != [key]:
            raise Fault(400, "Request body and URI mismatch, or too many items in the body.")
        self._write(req, item_id, lambda has: {**has, **given})
        answer(resp, {"meta": given})

    def on_delete_one(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, key: str
    ) -> None:
        """One of them less."""

        def without(has: Pairs) -> Pairs:
            _must_have(has, key)
            return {k: v for k, v in has.items() if k != key}

        self._write(req, item_id, without)
        resp.status = 200

    def _read(self, req: falcon.Request, item_id: str) -> Pairs:
        with self._parts.store.read() as conn:
            return dict(self._find(conn, call_of(req), item_id)["metadata"])

    def _write(self, req: falcon.Request, item_id: str, change: Callable[[Pairs], Pairs]) -> Pairs:
        call = call_of(req)
        call.must_write()
        with self._parts.store.write() as conn:
            item = self._find(conn, call, item_id)
            records.must_not_be_locked(item, "Updating metadata", records.UPLOADING)
            pairs = change(dict(item["metadata"]))
            if len(pairs) > MOST_METADATA:
                raise Fault(413, f"More than {MOST_METADATA} metadata items.")
            self._change(conn, item, self._parts.clock, metadata=pairs)
        return pairs


def of_volumes(parts: Parts) -> Metadata:
    """The metadata of volumes."""
    return Metadata(parts, records.find, records.change)


def of_snapshots(parts: Parts) -> Metadata:
    """The metadata of snapshots."""
    return Metadata(parts, records.find_snapshot, records.change_snapshot)


def _checked(body: object, key: str) -> Pairs:
    given = body if isinstance(body, dict) else {}
    values = fields.on_create((Field(key, metadata, required=True),), given)
    return dict(values[key])


def _must_have(pairs: Pairs, key: str) -> None:
    if key not in pairs:
        raise Fault(404, f"Metadata item {shown(key)} was not found.")
