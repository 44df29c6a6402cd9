# SPDX-License-Identifier: Apache-2.0
"""What belongs to a server: metadata, tags, addresses, and what was done to it."""

from typing import Any
from urllib.parse import quote

from common.clock import iso_microseconds
from common.errors import Invalid, NotFound
from common.objects.action import ActionEvent, InstanceAction
from common.objects.instance import Instance
from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY, LENIENT_QUERY, LIMIT, Query
from services.api.declare.types import (
    DATE_TIME,
    TEXT,
    TEXT_OR_NULL,
    Array,
    Field,
    Plain,
    Record,
    mapping,
)
from services.api.declare.view import ABSENT, Listing, One, Raw, Shown, View
from services.api.period import check_period
from services.api.resources.servers import bodies, views
from services.api.responder import responder

_METADATA_RULE = "os_compute_api:server-metadata:"
_TAGS_RULE = "os_compute_api:os-server-tags:"
_ACTIONS_RULE = "os_compute_api:os-instance-actions:"
_METADATA = Raw(Record([Field("metadata", mapping("^.+$", TEXT))]))
_META = Raw(Record([Field("meta", mapping("^.+$", TEXT))]))
_TAGS = Raw(Record([Field("tags", Array(TEXT))]))
_ADDRESSES = Raw(Plain({"type": "object"}))


class Metadata:
    """`/servers/{server_id}/metadata`."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy=_METADATA_RULE + "index", query=ANY_QUERY, returns=_METADATA)
    def on_get(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """List a server's metadata."""
        return {"metadata": self._servers.metadata(call.caller, server_id)}

    @responder(policy=_METADATA_RULE + "create", body=bodies.METADATA, returns=_METADATA)
    def on_post(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """Set items of a server's metadata."""
        return {
            "metadata": self._servers.change_metadata(
                call.caller, server_id, set_items=call.body, delete_keys=[]
            )
        }

    @responder(policy=_METADATA_RULE + "update_all", body=bodies.METADATA, returns=_METADATA)
    def on_put(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """Replace a server's metadata."""
        return {
            "metadata": self._servers.change_metadata(
                call.caller, server_id, set_items=call.body, delete_keys=[], replace=True
            )
        }


class MetadataItem:
    """`/servers/{server_id}/metadata/{key}`."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy=_METADATA_RULE + "show", query=ANY_QUERY, returns=_META)
    def on_get(self, call: ApiCall, server_id: str, key: str) -> dict[str, Any]:
        """Show one item."""
        metadata = self._servers.metadata(call.caller, server_id)
        if key not in metadata:
            raise NotFound("Metadata item was not found")
        return {"meta": {key: metadata[key]}}

    @responder(policy=_METADATA_RULE + "update", body=bodies.METADATA_ITEM, returns=_META)
    def on_put(self, call: ApiCall, server_id: str, key: str) -> dict[str, Any]:
        """Set one item."""
        if key not in call.body:
            raise Invalid("Request body and URI mismatch")
        self._servers.change_metadata(call.caller, server_id, set_items=call.body, delete_keys=[])
        return {"meta": call.body}

    @responder(policy=_METADATA_RULE + "delete", status=204)
    def on_delete(self, call: ApiCall, server_id: str, key: str) -> None:
        """Delete one item."""
        self._servers.change_metadata(call.caller, server_id, set_items={}, delete_keys=[key])


class Tags:
    """`/servers/{server_id}/tags`, from 2.26."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy=_TAGS_RULE + "index", query=LENIENT_QUERY, returns=_TAGS, since="2.26")
    def on_get(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """List a server's tags."""
        return {"tags": self._servers.tags(call.caller, server_id)}

    @responder(policy=_TAGS_RULE + "update_all", body=bodies.TAGS, returns=_TAGS, since="2.26")
    def on_put(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """Replace a server's tags."""
        tags = list(dict.fromkeys(call.body))
        return {
            "tags": self._servers.change_tags(
                call.caller, server_id, add=tags, remove=[], replace=True
            )
        }

    @responder(policy=_TAGS_RULE + "delete_all", status=204, since="2.26")
    def on_delete(self, call: ApiCall, server_id: str) -> None:
        """Delete every tag of a server."""
        self._servers.change_tags(call.caller, server_id, add=[], remove=[], replace=True)


class Tag:
    """`/servers/{server_id}/tags/{tag}`, from 2.26."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy=_TAGS_RULE + "show", query=LENIENT_QUERY, status=204, since="2.26")
    def on_get(self, call: ApiCall, server_id: str, tag: str) -> None:
        """Say whether a server has a tag."""
        if tag not in self._servers.tags(call.caller, server_id):
            raise NotFound(f"Server {server_id} has no tag '{tag}'")

    @responder(
        policy=_TAGS_RULE + "update", body=bodies.TAG, status=201, or_status=(204,), since="2.26"
    )
    def on_put(self, call: ApiCall, server_id: str, tag: str) -> None:
        """Add a tag to a server: 201 when it is new, 204 when the server had it."""
        bodies.check_tag(tag)
        if tag in self._servers.tags(call.caller, server_id):
            call.status = 204
            return
        self._servers.change_tags(call.caller, server_id, add=[tag], remove=[])
        call.location = call.links.self_href("servers", f"{server_id}/tags/{quote(tag)}")

    @responder(policy=_TAGS_RULE + "delete", status=204, since="2.26")
    def on_delete(self, call: ApiCall, server_id: str, tag: str) -> None:
        """Take a tag from a server."""
        self._servers.change_tags(call.caller, server_id, add=[], remove=[tag])


class Addresses:
    """`/servers/{server_id}/ips`."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy="os_compute_api:ips:index", query=ANY_QUERY, returns=_ADDRESSES)
    def on_get(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """List a server's addresses by network."""
        return {"addresses": _addresses(self._servers.get(call.caller, server_id))}


class NetworkAddresses:
    """`/servers/{server_id}/ips/{network}`."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy="os_compute_api:ips:show", query=ANY_QUERY, returns=_ADDRESSES)
    def on_get(self, call: ApiCall, server_id: str, network: str) -> dict[str, Any]:
        """List a server's addresses in one network."""
        found = _addresses(self._servers.get(call.caller, server_id))
        if network not in found:
            raise NotFound("Instance is not a member of specified network")
        return {network: found[network]}


def _addresses(server: Instance) -> dict[str, list[dict[str, Any]]]:
    return views.addresses(server, extended=False)


# --- instance actions ------------------------------------------------------------------------


def _moment(name: str) -> Any:
    def get(thing: Any, call: ApiCall) -> str | None:
        moment = getattr(thing, name)
        return iso_microseconds(moment) if moment else None

    return get


def _details(event: ActionEvent, call: ApiCall) -> Any:
    return event.details if call.allows(_ACTIONS_RULE + "events:details") else ABSENT


def _event_host(event: ActionEvent, call: ApiCall) -> Any:
    return event.host or ""


def _event_host_id(event: ActionEvent, call: ApiCall) -> str:
    return views.host_id_of(event.project_id or call.caller.project_id or "", event.host)


_EVENT = View("instance-action-event", [
    Shown("event", TEXT, "event"),
    Shown("start_time", TEXT, _moment("start_time")),
    Shown("finish_time", TEXT_OR_NULL, _moment("finish_time")),
    Shown("result", TEXT_OR_NULL, "result"),
    Shown("traceback", TEXT_OR_NULL, "traceback",
          when=lambda call: call.allows(_ACTIONS_RULE + "events")),
    Shown("hostId", TEXT, _event_host_id, since="2.62"),
    Shown("host", TEXT, _event_host, since="2.62",
          when=lambda call: call.allows(_ACTIONS_RULE + "events")),
    Shown("details", TEXT_OR_NULL, _details, since="2.84"),
])  # fmt: skip


def _events(action: InstanceAction, call: ApiCall) -> Any:
    """Events are for administrators below 2.51, for everybody who sees the action from there."""
    if not call.at_least(51) and not call.allows(_ACTIONS_RULE + "events"):
        return ABSENT
    show = _EVENT.shower(call)
    return [show(event) for event in action.events]


_ACTION_FIELDS = [
    Shown("action", TEXT, "action"),
    Shown("instance_uuid", TEXT, "instance_uuid"),
    Shown("request_id", TEXT, "request_id"),
    Shown("user_id", TEXT_OR_NULL, "user_id"),
    Shown("project_id", TEXT_OR_NULL, "project_id"),
    Shown("start_time", TEXT, _moment("start_time")),
    Shown("message", TEXT_OR_NULL, "message"),
    Shown("updated_at", TEXT_OR_NULL, _moment("updated_at"), since="2.58"),
]
ACTION_BRIEF = View("instance-action-brief", _ACTION_FIELDS)
ACTION = View("instance-action", [
    *_ACTION_FIELDS,
    Shown("events", Array(Plain({"type": "object"})), _events),
])  # fmt: skip
ACTIONS_QUERY = Query("instance-actions", [
    Field("limit", LIMIT, since="2.58"),
    Field("marker", TEXT, since="2.58"),
    Field("changes-since", DATE_TIME, since="2.58"),
    Field("changes-before", DATE_TIME, since="2.66"),
], strict_since="2.58", once_since="2.58")  # fmt: skip


def _find_below_2_21(servers: ServersRpc, call: ApiCall, server_id: str) -> None:
    """See that old microversions find no deleted server. Raises: InstanceNotFound."""
    if not call.at_least(21):
        servers.get(call.caller, server_id)


class InstanceActions:
    """`/servers/{server_id}/os-instance-actions`."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(
        policy=_ACTIONS_RULE + "list",
        query=ACTIONS_QUERY,
        returns=Listing(
            "instanceActions", ACTION_BRIEF, paged_since="2.58", links_key="links",
            marker=lambda action, call: str(action.request_id),
        ),
    )  # fmt: skip
    def on_get(self, call: ApiCall, server_id: str) -> list[InstanceAction]:
        """List what was done to a server, from 2.21 also to one that is gone."""
        _find_below_2_21(self._servers, call, server_id)
        since, before = call.single("changes-since"), call.single("changes-before")
        check_period(since, before)
        return self._servers.actions(
            call.caller,
            server_id,
            limit=call.page_limit() if call.at_least(58) else None,
            marker=call.single("marker"),
            changes_since=since,
            changes_before=before,
        )


class InstanceActionById:
    """`/servers/{server_id}/os-instance-actions/{request_id}`."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(
        policy=_ACTIONS_RULE + "show", query=ANY_QUERY, returns=One("instanceAction", ACTION)
    )
    def on_get(self, call: ApiCall, server_id: str, request_id: str) -> InstanceAction:
        """Show an action with its events."""
        _find_below_2_21(self._servers, call, server_id)
        return self._servers.action(call.caller, server_id, request_id)
