# SPDX-License-Identifier: Apache-2.0
"""`/os-services`: the daemons of this deployment, and whether they take work."""

from collections.abc import Callable
from typing import Any

from common.clock import iso_microseconds
from common.errors import Invalid, NotFound, ServiceNotFound
from common.ids import is_uuid_like
from common.objects.service import Service
from common.rpc.conductor.hosts import Hosts
from services.api.call import ApiCall
from services.api.declare.request import Body, Query, Rule
from services.api.declare.types import (
    BOOLEAN,
    STRICT_BOOLEAN,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    Field,
    Plain,
    enum,
    integer,
    is_true,
    string,
)
from services.api.declare.view import Listing, One, Raw, Shown, View
from services.api.responder import responder

_RULE = "os_compute_api:os-services:"
_COMPUTE = "nova-compute"
_HOST = string(1, 255, pattern="^[a-zA-Z0-9-._]*$")


def _updated(service: Service, call: ApiCall) -> str | None:
    moment = service.last_seen_at or service.updated_at
    return iso_microseconds(moment) if moment else None


def _status(service: Service, call: ApiCall) -> str:
    return "disabled" if service.disabled else "enabled"


SERVICE = View("service", [
    Shown("id", integer(), "id", until="2.52"),
    Shown("id", UUID, "uuid", since="2.53"),
    Shown("binary", TEXT, "binary"),
    Shown("host", TEXT, "host"),
    Shown("zone", TEXT, lambda service, call: service.availability_zone or "internal"),
    Shown("status", enum("enabled", "disabled"), _status),
    Shown("state", enum("up", "down"), lambda service, call: "up" if service.is_up else "down"),
    Shown("updated_at", TEXT_OR_NULL, _updated),
    Shown("disabled_reason", TEXT_OR_NULL, "disabled_reason"),
    Shown("forced_down", STRICT_BOOLEAN, "forced_down", since="2.11"),
])  # fmt: skip
LIST = Query("service-list", [Field("host", TEXT), Field("binary", TEXT)])
_NAMED = [
    Field("host", _HOST, until="2.52"),
    Field("binary", string(1, 255), until="2.52"),
    Field("status", enum("enabled", "disabled"), since="2.53", required=False),
    Field("disabled_reason", string(1, 255), required=False),
    Field("forced_down", BOOLEAN, since="2.11", required=False),
]
UPDATE = Body("service-update", _NAMED, rules=[
    Rule("Specifying disabled_reason is invalid without status 'disabled'.",
         broken=lambda b: b.get("status") == "enabled" and "disabled_reason" in b),
])  # fmt: skip


class Services:
    """`/os-services`."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    @responder(policy=_RULE + "list", query=LIST, returns=Listing("services", SERVICE))
    def on_get(self, call: ApiCall) -> list[Service]:
        """List services."""
        return self._hosts.services(
            call.caller, host=call.single("host"), binary=call.single("binary")
        )


class ServiceById:
    """`/os-services/{service_id}`: below 2.53 its PUT names an action instead of a service."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._actions: dict[str, tuple[int, Callable[[ApiCall], dict[str, Any]]]] = {
            "enable": (1, self._enable),
            "disable": (1, self._disable),
            "disable-log-reason": (1, self._disable_with_reason),
            "force-down": (11, self._force_down),
        }

    @responder(policy=_RULE + "update", body=UPDATE, returns=Raw(Plain({"type": "object"})))
    def on_put(self, call: ApiCall, service_id: str) -> dict[str, Any]:
        """Enable, disable or force down a service."""
        if call.at_least(53):
            return One("service", SERVICE).body(self._update(call, service_id), call)  # type: ignore[no-any-return]
        since, act = self._actions.get(service_id, (1 << 30, None))
        if act is None or not call.at_least(since):
            raise NotFound("Unknown action")
        return {"service": act(call)}

    @responder(policy=_RULE + "delete", status=204)
    def on_delete(self, call: ApiCall, service_id: str) -> None:
        """Remove a service."""
        if call.at_least(53) and not is_uuid_like(service_id):
            raise Invalid(f"Invalid uuid {service_id}")
        if not call.at_least(53) and not service_id.isdigit():
            raise Invalid(f"Invalid service id {service_id}")
        self._hosts.delete_service(call.caller, service_id)

    def _update(self, call: ApiCall, uuid: str) -> Service:
        if not is_uuid_like(uuid):
            raise Invalid(f"Invalid uuid {uuid}")
        body = call.body
        if not body:
            raise Invalid("No updates were requested. Fields 'status' or 'forced_down' should be "
                          "specified.")  # fmt: skip
        found = next((s for s in self._hosts.services(call.caller) if s.uuid == uuid), None)
        if found is None:
            raise ServiceNotFound(service=uuid)
        if found.binary != _COMPUTE:
            raise Invalid(f"Updating a {found.binary} service is not supported. Only {_COMPUTE} "
                          "services can be updated.")  # fmt: skip
        status = body.get("status")
        if "disabled_reason" in body and status is None:
            raise Invalid("Specifying disabled_reason is invalid without status 'disabled'.")
        forced = body.get("forced_down")
        return self._hosts.update_service(
            call.caller,
            uuid=uuid,
            disabled=None if status is None else status == "disabled",
            disabled_reason=body.get("disabled_reason"),
            forced_down=None if forced is None else is_true(forced),
        )

    # --- actions below 2.53; each answers with what it changed ---

    def _enable(self, call: ApiCall) -> dict[str, Any]:
        self._change(call, disabled=False)
        return {**_named(call), "status": "enabled"}

    def _disable(self, call: ApiCall) -> dict[str, Any]:
        self._change(call, disabled=True)
        return {**_named(call), "status": "disabled"}

    def _disable_with_reason(self, call: ApiCall) -> dict[str, Any]:
        reason = call.body.get("disabled_reason")
        if not reason:
            raise Invalid("Missing disabled reason field")
        self._change(call, disabled=True, disabled_reason=reason)
        return {**_named(call), "status": "disabled", "disabled_reason": reason}

    def _force_down(self, call: ApiCall) -> dict[str, Any]:
        if "forced_down" not in call.body:
            raise Invalid("Missing forced_down field")
        forced = is_true(call.body["forced_down"])
        self._change(call, forced_down=forced)
        return {**_named(call), "forced_down": forced}

    def _change(self, call: ApiCall, **changes: Any) -> None:
        body = call.body
        self._hosts.update_service(call.caller, host=body["host"], binary=body["binary"], **changes)


def _named(call: ApiCall) -> dict[str, str]:
    return {"host": call.body["host"], "binary": call.body["binary"]}
