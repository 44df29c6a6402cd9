# SPDX-License-Identifier: Apache-2.0
"""`/flavors`: how much of a host a server gets; their extra specs, and who may use them."""

from typing import Any

from common.clients.identity import IdentityClient
from common.errors import ExtraSpecNotFound, Invalid
from common.ids import new_uuid
from common.objects.flavor import Flavor
from common.rpc.conductor.catalog import Catalog
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY, LIMIT, Body, Query, single
from services.api.declare.types import (
    BOOLEAN,
    INTEGER,
    NAME,
    NUMBER,
    STRICT_BOOLEAN,
    TEXT,
    TEXT_OR_NULL,
    Array,
    Changing,
    Field,
    Plain,
    Record,
    enum,
    integer,
    is_true,
    mapping,
    string,
)
from services.api.declare.view import ABSENT, Listing, One, Raw, Shown, View
from services.api.extra_specs import rules as extra_specs
from services.api.responder import responder

_MANAGE = "os_compute_api:os-flavor-manage:"
_SPECS = "os_compute_api:os-flavor-extra-specs:"
_ACCESS = "os_compute_api:os-flavor-access"
_MOST = 0x7FFFFFFF
_CHECKED_SPECS = 86
_PRIVATE_ONLY = 7  # access is given to private flavors only
_LINKS = Array(Plain({"type": "object"}))


def flavor_links(flavor: Flavor, call: ApiCall) -> list[dict[str, str]]:
    """Links of a flavor."""
    return call.links.both("flavors", flavor.flavorid)


def _extra_specs(flavor: Flavor, call: ApiCall) -> Any:
    return flavor.extra_specs if call.allows(_SPECS + "index") else ABSENT


BRIEF = View("flavor-brief", [
    Shown("id", TEXT, "flavorid"),
    Shown("name", TEXT, "name"),
    Shown("description", TEXT_OR_NULL, "description", since="2.55"),
    Shown("links", _LINKS, flavor_links),
])  # fmt: skip
FLAVOR = View("flavor", [
    Shown("id", TEXT, "flavorid"),
    Shown("name", TEXT, "name"),
    Shown("ram", INTEGER, "memory_mib"),
    Shown("disk", INTEGER, "root_gib"),
    # 2.75 shows no swap as the number 0, before it was an empty text
    Shown("swap", Plain({"type": ["integer", "string"]}),
          lambda flavor, call: flavor.swap_mib or (0 if call.at_least(75) else "")),
    Shown("OS-FLV-EXT-DATA:ephemeral", INTEGER, "ephemeral_gib"),
    Shown("OS-FLV-DISABLED:disabled", STRICT_BOOLEAN, "disabled", until="2.101"),
    Shown("vcpus", INTEGER, "vcpus"),
    Shown("os-flavor-access:is_public", STRICT_BOOLEAN, "is_public"),
    Shown("rxtx_factor", NUMBER, "rxtx_factor", until="2.101"),
    Shown("description", TEXT_OR_NULL, "description", since="2.55"),
    Shown("extra_specs", mapping("^.*$", TEXT), _extra_specs, since="2.61"),
    Shown("links", _LINKS, flavor_links),
])  # fmt: skip

_SORT_KEYS = (
    "created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public",
    "memory_mb", "name", "root_gb", "swap", "updated_at", "vcpu_weight", "vcpus",
)  # fmt: skip
LIST_QUERY = Query("flavor-list", [
    Field("limit", LIMIT),
    Field("marker", TEXT),
    Field("is_public", TEXT),
    Field("minRam", TEXT),
    Field("minDisk", TEXT),
    Field("sort_key", Changing((
        ("2.1", enum(*_SORT_KEYS, "rxtx_factor")),
        ("2.102", enum(*_SORT_KEYS)),
    ))),
    Field("sort_dir", enum("asc", "desc")),
    Field("name", TEXT, since="2.102"),
])  # fmt: skip
_SIZE = integer(0, _MOST, texts=True, pattern="^[0-9]+$")
_DESCRIPTION = string(0, 65535, form="printable_or_empty", null=True)
CREATE = Body("flavor-create", key="flavor", fields=[
    Field("name", NAME),
    Field("id", Plain({
        "type": ["string", "number", "null"], "minLength": 1, "maxLength": 255,
        "pattern": "^(?! )[a-zA-Z0-9. _-]+(?<! )$",
    }), required=False),
    Field("ram", integer(1, _MOST, texts=True, pattern="^[0-9]+$")),
    Field("vcpus", integer(1, _MOST, texts=True, pattern="^[0-9]+$")),
    Field("disk", _SIZE),
    Field("OS-FLV-EXT-DATA:ephemeral", _SIZE, required=False),
    Field("swap", _SIZE, required=False),
    Field("rxtx_factor", Plain({
        "type": ["number", "string"], "pattern": r"^[0-9]+(\.[0-9]+)?$",
        "exclusiveMinimum": 0, "maximum": 3.40282e38,
    }), required=False, until="2.101"),
    Field("os-flavor-access:is_public", BOOLEAN, required=False),
    Field("description", _DESCRIPTION, required=False, since="2.55"),
])  # fmt: skip
UPDATE = Body("flavor-update", key="flavor", fields=[Field("description", _DESCRIPTION)])
_SPEC_KEY = "^[a-zA-Z0-9-_:. ]{1,255}$"
_SPEC_VALUE = Plain({"type": ["string", "number"], "maxLength": 255})
SPECS_CREATE = Body.of("extra-specs", "extra_specs", mapping(_SPEC_KEY, _SPEC_VALUE))
SPEC_UPDATE = Body.bare("extra-spec", mapping(_SPEC_KEY, _SPEC_VALUE, least=1, most=1))
_TENANT = Record([Field("tenant", string(1, 255))])
ADD_ACCESS = Body.of("add-access", "addTenantAccess", _TENANT)
REMOVE_ACCESS = Body.of("remove-access", "removeTenantAccess", _TENANT)
_SPECS_ANSWER = Raw(Record([Field("extra_specs", mapping("^.*$", TEXT))]))
_SPEC_ANSWER = Raw(mapping("^.*$", TEXT))
_ACCESS_ANSWER = Raw(Record([Field("flavor_access", Array(Plain({"type": "object"})))]))


def _marker(flavor: Flavor, call: ApiCall) -> str:
    return flavor.flavorid


class Flavors:
    """`/flavors` and `/flavors/detail`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @responder(query=LIST_QUERY,
               returns=Listing("flavors", BRIEF, paged_since="2.1", marker=_marker))  # fmt: skip
    def on_get(self, call: ApiCall) -> list[Flavor]:
        """List flavors."""
        return self._list(call)

    @responder(query=LIST_QUERY,
               returns=Listing("flavors", FLAVOR, paged_since="2.1", marker=_marker))  # fmt: skip
    def on_get_detail(self, call: ApiCall) -> list[Flavor]:
        """List flavors with details."""
        return self._list(call)

    @responder(policy=_MANAGE + "create", body=CREATE, returns=One("flavor", FLAVOR))
    def on_post(self, call: ApiCall) -> Flavor:
        """Create a flavor."""
        body = call.body
        flavorid = body.get("id")
        return self._catalog.create_flavor(
            call.caller,
            Flavor(
                flavorid=new_uuid() if flavorid is None or flavorid == "auto" else str(flavorid),
                name=body["name"].strip(),
                memory_mib=int(body["ram"]),
                vcpus=int(body["vcpus"]),
                root_gib=int(body["disk"]),
                ephemeral_gib=int(body.get("OS-FLV-EXT-DATA:ephemeral", 0)),
                swap_mib=int(body.get("swap", 0)),
                rxtx_factor=float(body.get("rxtx_factor", 1.0)),
                is_public=is_true(body.get("os-flavor-access:is_public", True)),
                description=body.get("description"),
            ),
        )

    def _list(self, call: ApiCall) -> list[Flavor]:
        query = call.query
        return self._catalog.flavors(
            call.caller,
            is_public=_is_public(call),
            name=single(query, "name"),
            min_memory_mib=_number(query, "minRam"),
            min_root_gib=_number(query, "minDisk"),
            sort_key=single(query, "sort_key") or "flavorid",
            sort_dir=single(query, "sort_dir") or "asc",
            limit=call.page_limit(),
            marker=single(query, "marker"),
        )


def _is_public(call: ApiCall) -> bool | None:
    """Whether public flavors, others or both are asked for: administrators only may choose."""
    asked = call.single("is_public")
    if not call.caller.is_admin or asked is None:
        return True
    if asked.lower() == "none":
        return None
    if asked.lower() in ("t", "true", "yes", "1", "on", "y"):
        return True
    if asked.lower() in ("f", "false", "no", "0", "off", "n"):
        return False
    raise Invalid(f"Invalid is_public filter [{asked}]")


def _number(query: dict[str, list[str]], key: str) -> int:
    text = single(query, key)
    if text is None:
        return 0
    try:
        return int(text)
    except ValueError as broken:
        raise Invalid(f"Invalid {key} filter [{text}]") from broken


class FlavorById:
    """`/flavors/{flavorid}`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @responder(query=ANY_QUERY, returns=One("flavor", FLAVOR))
    def on_get(self, call: ApiCall, flavorid: str) -> Flavor:
        """Show a flavor."""
        return self._catalog.flavor(call.caller, flavorid)

    @responder(policy=_MANAGE + "update", body=UPDATE, returns=One("flavor", FLAVOR), since="2.55")
    def on_put(self, call: ApiCall, flavorid: str) -> Flavor:
        """Change a flavor's description."""
        return self._catalog.update_flavor(
            call.caller, flavorid, description=call.body["description"]
        )

    @responder(policy=_MANAGE + "delete", status=202)
    def on_delete(self, call: ApiCall, flavorid: str) -> None:
        """Delete a flavor."""
        self._catalog.delete_flavor(call.caller, flavorid)


class ExtraSpecs:
    """`/flavors/{flavorid}/os-extra_specs`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @responder(policy=_SPECS + "index", query=ANY_QUERY, returns=_SPECS_ANSWER)
    def on_get(self, call: ApiCall, flavorid: str) -> dict[str, Any]:
        """List a flavor's extra specs."""
        return {"extra_specs": self._catalog.flavor(call.caller, flavorid).extra_specs}

    @responder(policy=_SPECS + "create", body=SPECS_CREATE, returns=_SPECS_ANSWER)
    def on_post(self, call: ApiCall, flavorid: str) -> dict[str, Any]:
        """Set extra specs of a flavor."""
        specs = _checked({key: str(value) for key, value in call.body.items()}, call)
        self._catalog.change_extra_specs(call.caller, flavorid, set_items=specs, delete_keys=[])
        return {"extra_specs": specs}


class ExtraSpec:
    """`/flavors/{flavorid}/os-extra_specs/{key}`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @responder(policy=_SPECS + "show", query=ANY_QUERY, returns=_SPEC_ANSWER)
    def on_get(self, call: ApiCall, flavorid: str, key: str) -> dict[str, str]:
        """Show an extra spec."""
        specs = self._catalog.flavor(call.caller, flavorid).extra_specs
        if key not in specs:
            raise ExtraSpecNotFound(flavor=flavorid, key=key)
        return {key: specs[key]}

    @responder(policy=_SPECS + "update", body=SPEC_UPDATE, returns=_SPEC_ANSWER)
    def on_put(self, call: ApiCall, flavorid: str, key: str) -> dict[str, str]:
        """Set one extra spec."""
        if key not in call.body:
            raise Invalid("Request body and URI mismatch")
        item = _checked({key: str(call.body[key])}, call)
        self._catalog.change_extra_specs(call.caller, flavorid, set_items=item, delete_keys=[])
        return item

    @responder(policy=_SPECS + "delete")
    def on_delete(self, call: ApiCall, flavorid: str, key: str) -> None:
        """Delete an extra spec."""
        self._catalog.change_extra_specs(call.caller, flavorid, set_items={}, delete_keys=[key])


def _checked(specs: dict[str, str], call: ApiCall) -> dict[str, str]:
    if call.at_least(_CHECKED_SPECS):
        extra_specs.check(specs)
    return specs


class FlavorAccess:
    """`/flavors/{flavorid}/os-flavor-access`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @responder(policy=_ACCESS, query=ANY_QUERY, returns=_ACCESS_ANSWER)
    def on_get(self, call: ApiCall, flavorid: str) -> dict[str, Any]:
        """List the projects that may use a flavor."""
        return _access(flavorid, self._catalog.flavor_access(call.caller, flavorid))


def _access(flavorid: str, projects: list[str]) -> dict[str, Any]:
    return {
        "flavor_access": [{"flavor_id": flavorid, "tenant_id": project} for project in projects]
    }


class FlavorActions:
    """Actions of `/flavors/{flavorid}/action`."""

    def __init__(self, catalog: Catalog, identity: IdentityClient) -> None:
        self._catalog = catalog
        self._identity = identity

    @responder(policy=_ACCESS + ":add_tenant_access", body=ADD_ACCESS, returns=_ACCESS_ANSWER)
    def add_tenant_access(self, call: ApiCall, flavorid: str) -> dict[str, Any]:
        """Let a project use a flavor."""
        project = call.body["tenant"].strip()
        if not self._identity.project_exists(project):
            raise Invalid(f"Project ID {project} is not a valid project.")
        return _access(
            flavorid,
            self._catalog.change_flavor_access(
                call.caller,
                flavorid,
                project_id=project,
                grant=True,
                even_public=not call.at_least(_PRIVATE_ONLY),
            ),
        )

    @responder(policy=_ACCESS + ":remove_tenant_access", body=REMOVE_ACCESS, returns=_ACCESS_ANSWER)
    def remove_tenant_access(self, call: ApiCall, flavorid: str) -> dict[str, Any]:
        """Keep a project from using a flavor, also one that is gone by now."""
        project = call.body["tenant"].strip()
        return _access(
            flavorid,
            self._catalog.change_flavor_access(
                call.caller, flavorid, project_id=project, grant=False
            ),
        )
