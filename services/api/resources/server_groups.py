# SPDX-License-Identifier: Apache-2.0
"""`/os-server-groups`: servers that want to be on one host, or on different ones."""

from typing import Any

from common.errors import Invalid
from common.ids import new_uuid
from common.objects.server_group import ANTI_AFFINITY, ServerGroup
from common.rpc.conductor.server_groups import ServerGroups as ServerGroupsRpc
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY, LIMIT, Body, Query, Rule
from services.api.declare.types import (
    NAME,
    TEXT,
    UUID,
    Array,
    Changing,
    Field,
    Plain,
    Record,
    enum,
)
from services.api.declare.view import Listing, One, Shown, View
from services.api.responder import responder

_RULE = "os_compute_api:os-server-groups:"
_HARD = ("anti-affinity", "affinity")
_EVERY = (*_HARD, "soft-anti-affinity", "soft-affinity")
_OBJECT = Plain({"type": "object"})


def _policies(*names: str) -> Plain:
    return Plain({
        "type": "array", "prefixItems": [{"type": "string", "enum": list(names)}],
        "uniqueItems": True, "minItems": 1, "maxItems": 1, "additionalItems": False,
    })  # fmt: skip


_MOST = Plain({
    "type": ["integer", "string"], "pattern": "^[0-9]*$", "minimum": 1, "minLength": 1,
})  # fmt: skip

CREATE = Body("server-group-create", key="server_group", fields=[
    Field("name", NAME),
    Field("policies", Changing((("2.1", _policies(*_HARD)), ("2.15", _policies(*_EVERY)))),
          until="2.63"),
    Field("policy", enum(*_EVERY), since="2.64"),
    Field("rules", Record([
        Field("max_server_per_host",
              _MOST, required=False),
    ]), since="2.64", required=False),
], rules=[
    Rule("Only anti-affinity policy supports rules.",
         broken=lambda b: bool(b.get("rules")) and b["policy"] != ANTI_AFFINITY),
])  # fmt: skip
LIST = Query("server-group-list", [
    Field("all_projects", TEXT), Field("limit", LIMIT), Field("offset", LIMIT),
])  # fmt: skip


def _rules(group: ServerGroup, call: ApiCall) -> dict[str, int]:
    return {} if group.max_per_host is None else {"max_server_per_host": group.max_per_host}


GROUP = View("server-group", [
    Shown("id", UUID, "uuid"),
    Shown("name", TEXT, "name"),
    Shown("policies", Array(TEXT), lambda group, call: [group.policy], until="2.63"),
    Shown("metadata", _OBJECT, lambda group, call: {}, until="2.63"),
    Shown("policy", enum(*_EVERY), "policy", since="2.64"),
    Shown("rules", _OBJECT, _rules, since="2.64"),
    Shown("members", Array(UUID), "members"),
    Shown("project_id", TEXT, "project_id", since="2.13"),
    Shown("user_id", TEXT, "user_id", since="2.13"),
])  # fmt: skip


def _scope(call: ApiCall) -> str | None:
    """The project whose groups the caller may name; None for an administrator: any."""
    return None if call.caller.is_admin else call.caller.project_id or ""


class ServerGroups:
    """`/os-server-groups`."""

    def __init__(self, groups: ServerGroupsRpc) -> None:
        self._groups = groups

    @responder(policy=_RULE + "index", query=LIST, returns=Listing("server_groups", GROUP))
    def on_get(self, call: ApiCall) -> list[ServerGroup]:
        """List server groups."""
        everywhere = "all_projects" in call.query and call.allows(_RULE + "index:all_projects")
        return self._groups.some(
            call.caller,
            project_id=None if everywhere else call.caller.project_id or "",
            limit=call.page_limit(),
            offset=int(call.single("offset") or 0),
        )

    @responder(policy=_RULE + "create", body=CREATE, returns=One("server_group", GROUP))
    def on_post(self, call: ApiCall) -> ServerGroup:
        """Create a server group."""
        body: dict[str, Any] = call.body
        if call.caller.project_id is None or call.caller.user_id is None:
            raise Invalid("Server groups belong to a project: the token must be scoped to one.")
        most = body.get("rules", {}).get("max_server_per_host")
        return self._groups.create(
            call.caller,
            ServerGroup(
                uuid=new_uuid(),
                project_id=call.caller.project_id,
                user_id=call.caller.user_id,
                name=body["name"].strip(),
                policy=body["policy"] if "policy" in body else body["policies"][0],
                max_per_host=None if most is None else int(most),
            ),
        )


class ServerGroupById:
    """`/os-server-groups/{group_id}`."""

    def __init__(self, groups: ServerGroupsRpc) -> None:
        self._groups = groups

    @responder(policy=_RULE + "show", query=ANY_QUERY, returns=One("server_group", GROUP))
    def on_get(self, call: ApiCall, group_id: str) -> ServerGroup:
        """Show a server group."""
        return self._groups.show(call.caller, group_id, project_id=_scope(call))

    @responder(policy=_RULE + "delete", status=204)
    def on_delete(self, call: ApiCall, group_id: str) -> None:
        """Delete a server group; its servers stay."""
        self._groups.delete(call.caller, group_id, project_id=_scope(call))
