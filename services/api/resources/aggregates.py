# SPDX-License-Identifier: Apache-2.0
"""`/os-aggregates`: sets of hosts with metadata; one with a zone is an availability zone."""

import re
from collections import Counter
from datetime import datetime
from typing import Any

from common.clock import iso_microseconds
from common.errors import Invalid
from common.objects.aggregate import Aggregate
from common.rpc.conductor.aggregates import Aggregates as AggregatesRpc
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY, Body
from services.api.declare.types import (
    INTEGER,
    NAME,
    NULL,
    STRICT_BOOLEAN,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    Array,
    Field,
    OneOf,
    Plain,
    Record,
    mapping,
    string,
)
from services.api.declare.view import Listing, One, Shown, View
from services.api.responder import responder

_RULE = "os_compute_api:os-aggregates:"
_ZONE_KEY = "availability_zone"
# Negative ones are integers too, which no aggregate has.
_ID = re.compile(r"-?[0-9]{1,9}")
_ZONE = OneOf([string(1, 255, form="az_name"), NULL])
_HOST = Record([Field("host", string(1, 255, pattern="^[a-zA-Z0-9-._]*$"))])
CREATE = Body("aggregate-create", key="aggregate", fields=[
    Field("name", NAME),
    Field(_ZONE_KEY, _ZONE, required=False),
])  # fmt: skip
_CHANGES = Record([
    Field("name", string(1, 255, form="name_with_leading_trailing_spaces"), required=False),
    Field(_ZONE_KEY, _ZONE, required=False),
]).schema(1)  # fmt: skip
UPDATE = Body.of("aggregate-update", "aggregate", Plain({
    **_CHANGES, "anyOf": [{"required": ["name"]}, {"required": [_ZONE_KEY]}],
}))  # fmt: skip
ADD_HOST = Body.of("aggregate-add-host", "add_host", _HOST)
REMOVE_HOST = Body.of("aggregate-remove-host", "remove_host", _HOST)
SET_METADATA = Body.of("aggregate-set-metadata", "set_metadata", Record([
    Field("metadata", mapping(
        "^[a-zA-Z0-9-_:. ]{1,255}$", Plain({"type": ["string", "null"], "maxLength": 255})
    )),
]))  # fmt: skip

CACHE = Body.bare("aggregate-images", Record([
    # Not an Array: the contract writes this type as a list of one.
    Field("cache", Plain({
        "type": ["array"], "minItems": 1, "items": Record([Field("id", UUID)]).schema(81),
    })),
]))  # fmt: skip


def _moment(moment: datetime | None) -> str | None:
    return iso_microseconds(moment) if moment else None


_CORE = [
    Shown(_ZONE_KEY, TEXT_OR_NULL, lambda a, call: a.metadata.get(_ZONE_KEY)),
    Shown("created_at", TEXT_OR_NULL, lambda a, call: _moment(a.created_at)),
    # A deleted aggregate is gone: these say so for old clients.
    Shown("deleted", STRICT_BOOLEAN, lambda a, call: False),
    Shown("deleted_at", NULL, lambda a, call: None),
    Shown("id", INTEGER, "id"),
    Shown("name", TEXT, "name"),
    Shown("updated_at", TEXT_OR_NULL, lambda a, call: _moment(a.updated_at)),
    Shown("uuid", UUID, "uuid", since="2.41"),
]
MADE = View("aggregate-made", _CORE)
AGGREGATE = View("aggregate", [
    *_CORE,
    Shown("hosts", Array(TEXT), "hosts"),
    Shown("metadata", mapping("^.*$", TEXT), "metadata"),
])  # fmt: skip
_ONE = One("aggregate", AGGREGATE)


def _number(aggregate_id: str) -> int:
    """The id in a URL. Raises: Invalid."""
    if not _ID.fullmatch(aggregate_id):
        raise Invalid(f"Invalid input: the aggregate id '{aggregate_id}' is no integer in range.")
    return int(aggregate_id)


class Aggregates:
    """`/os-aggregates`."""

    def __init__(self, aggregates: AggregatesRpc) -> None:
        self._aggregates = aggregates

    @responder(policy=_RULE + "index", query=ANY_QUERY, returns=Listing("aggregates", AGGREGATE))
    def on_get(self, call: ApiCall) -> list[Aggregate]:
        """List aggregates."""
        return self._aggregates.all_of_them(call.caller)

    @responder(policy=_RULE + "create", body=CREATE, returns=One("aggregate", MADE))
    def on_post(self, call: ApiCall) -> Aggregate:
        """Create an aggregate."""
        return self._aggregates.create(
            call.caller, name=call.body["name"].strip(), zone=_zone(call.body)
        )


class AggregateById:
    """`/os-aggregates/{aggregate_id}`."""

    def __init__(self, aggregates: AggregatesRpc) -> None:
        self._aggregates = aggregates

    @responder(policy=_RULE + "show", query=ANY_QUERY, returns=_ONE)
    def on_get(self, call: ApiCall, aggregate_id: str) -> Aggregate:
        """Show an aggregate."""
        return self._aggregates.show(call.caller, _number(aggregate_id))

    @responder(policy=_RULE + "update", body=UPDATE, returns=_ONE)
    def on_put(self, call: ApiCall, aggregate_id: str) -> Aggregate:
        """Change an aggregate's name, its availability zone, or both."""
        number, body = _number(aggregate_id), call.body
        changed = None
        # The zone first: it is what can be refused, and then nothing has changed.
        if _ZONE_KEY in body:
            zone: dict[str, str | None] = {_ZONE_KEY: _zone(body)}
            changed = self._aggregates.set_metadata(call.caller, number, zone)
        if "name" in body:
            changed = self._aggregates.rename(call.caller, number, body["name"].strip())
        return changed or self._aggregates.show(call.caller, number)

    @responder(policy=_RULE + "delete")
    def on_delete(self, call: ApiCall, aggregate_id: str) -> None:
        """Delete an aggregate that has no hosts."""
        self._aggregates.delete(call.caller, _number(aggregate_id))


class AggregateActions:
    """Actions of `/os-aggregates/{aggregate_id}/action`."""

    def __init__(self, aggregates: AggregatesRpc) -> None:
        self._aggregates = aggregates

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {
            "add_host": self.add_host,
            "remove_host": self.remove_host,
            "set_metadata": self.set_metadata,
        }

    @responder(policy=_RULE + "add_host", body=ADD_HOST, returns=_ONE)
    def add_host(self, call: ApiCall, aggregate_id: str) -> Aggregate:
        """Add a host to an aggregate."""
        return self._aggregates.add_host(call.caller, _number(aggregate_id), call.body["host"])

    @responder(policy=_RULE + "remove_host", body=REMOVE_HOST, returns=_ONE)
    def remove_host(self, call: ApiCall, aggregate_id: str) -> Aggregate:
        """Take a host out of an aggregate."""
        return self._aggregates.remove_host(call.caller, _number(aggregate_id), call.body["host"])

    @responder(policy=_RULE + "set_metadata", body=SET_METADATA, returns=_ONE)
    def set_metadata(self, call: ApiCall, aggregate_id: str) -> Aggregate:
        """Set and remove metadata of an aggregate."""
        metadata = call.body["metadata"]
        return self._aggregates.set_metadata(call.caller, _number(aggregate_id), metadata)


class AggregateImages:
    """`/os-aggregates/{aggregate_id}/images`."""

    def __init__(self, aggregates: AggregatesRpc) -> None:
        self._aggregates = aggregates

    @responder(policy="compute:aggregates:images", body=CACHE, status=202, since="2.81")
    def on_post(self, call: ApiCall, aggregate_id: str) -> None:
        """Have the hosts of an aggregate fetch images before servers boot from them."""
        images = [each["id"] for each in call.body["cache"]]
        for image, times in Counter(images).items():
            if times > 1:
                raise Invalid(f"Duplicate images in request: {image}")
        self._aggregates.cache_images(call.caller, _number(aggregate_id), images)


def _zone(body: dict[str, Any]) -> str | None:
    asked = body.get(_ZONE_KEY)
    return asked.strip() if asked else None
