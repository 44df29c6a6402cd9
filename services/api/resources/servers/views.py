# SPDX-License-Identifier: Apache-2.0
"""How servers are shown."""

import functools
import hashlib
import ipaddress
from typing import Any

from common.clock import iso_microseconds, iso_seconds
from common.objects.instance import Instance
from common.objects.network import FixedIp, VirtualInterface
from common.states import api_status
from services.api.call import ApiCall
from services.api.declare.types import (
    INTEGER,
    STRICT_BOOLEAN,
    TEXT,
    TEXT_OR_NULL,
    Array,
    Plain,
    mapping,
)
from services.api.declare.view import ABSENT, Shown, View

_OBJECT = Plain({"type": "object"})
_LINKS = Array(_OBJECT)
_SHOW_ATTRIBUTES = "os_compute_api:os-extended-server-attributes"
_SHOW_SPECS = "os_compute_api:servers:show:flavor-extra-specs"
_SHOW_HOST_STATUS = "os_compute_api:servers:show:host_status"
_SHOW_UNKNOWN_HOST = "os_compute_api:servers:show:host_status:unknown-only"
_PROGRESSING = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
_FAULTY = frozenset({"ERROR", "DELETED"})


def links(server: Instance, call: ApiCall) -> list[dict[str, str]]:
    """Links of a server."""
    return call.links.both("servers", server.uuid)


def host_id(server: Instance) -> str:
    """The project's name for a server's host."""
    return host_id_of(server.project_id, server.host)


@functools.lru_cache(maxsize=4096)
def host_id_of(project_id: str, host: str | None) -> str:
    """A project's name for a host: the same for all of its servers there, telling nothing else."""
    return hashlib.sha224((project_id + host).encode()).hexdigest() if host else ""


def status(server: Instance) -> str:
    """The API's status."""
    return api_status(server.vm_state, server.task_state)


def addresses(server: Instance, *, extended: bool) -> dict[str, list[dict[str, Any]]]:
    """Addresses by network label; with `extended` their type and MAC too."""
    if server.vm_state == "building":
        return {}
    shown: dict[str, list[dict[str, Any]]] = {}
    for vif in server.vifs:
        entries = shown.setdefault(vif.network_label, [])
        for fixed in vif.fixed_ips:
            entries.append(_address(vif, fixed, fixed.address, "fixed", extended=extended))
            for floating in fixed.floating_ips:
                entries.append(_address(vif, fixed, floating, "floating", extended=extended))
    return shown


def _address(
    vif: VirtualInterface, fixed: FixedIp, address: str, kind: str, *, extended: bool
) -> dict[str, Any]:
    if not extended:
        return {"version": fixed.version, "addr": address}
    return {
        "version": fixed.version,
        "addr": address,
        "OS-EXT-IPS:type": kind,
        "OS-EXT-IPS-MAC:mac_addr": vif.mac,
    }


def _flavor(server: Instance, call: ApiCall) -> dict[str, Any]:
    flavor = server.flavor
    if not call.at_least(47):
        return {"id": flavor.flavorid, "links": call.links.bookmark("flavors", flavor.flavorid)}
    shown: dict[str, Any] = {
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mib,
        "disk": flavor.root_gib,
        "ephemeral": flavor.ephemeral_gib,
        "swap": flavor.swap_mib,
        "original_name": flavor.name,
    }
    if call.allows(_SHOW_SPECS):
        shown["extra_specs"] = flavor.extra_specs
    return shown


def _image(server: Instance, call: ApiCall) -> Any:
    if server.image is None or server.is_volume_backed:
        return ""
    shown: dict[str, Any] = {
        "id": server.image.id,
        "links": call.links.bookmark("images", server.image.id),
    }
    if call.at_least(98):
        shown["properties"] = server.image.properties
    return shown


def _fault(server: Instance, call: ApiCall) -> Any:
    fault = server.fault
    if fault is None or status(server) not in _FAULTY:
        return ABSENT
    shown: dict[str, Any] = {
        "code": fault.code,
        "created": iso_seconds(fault.created_at or server.updated_at or server.created_at),
        "message": fault.message,
    }
    if fault.details and (call.caller.is_admin or fault.code != 500):
        shown["details"] = fault.details
    return shown


def _progress(server: Instance, call: ApiCall) -> Any:
    return server.progress if status(server) in _PROGRESSING else ABSENT


def _security_groups(server: Instance, call: ApiCall) -> Any:
    return [{"name": name} for name in server.security_groups] or ABSENT


def _volumes(server: Instance, call: ApiCall) -> list[dict[str, Any]]:
    shown = []
    for disk in server.block_devices:
        if disk.volume_id:
            entry: dict[str, Any] = {"id": disk.volume_id}
            if call.at_least(3):
                entry["delete_on_termination"] = disk.delete_on_termination
            shown.append(entry)
    return shown


def _host_status(server: Instance, call: ApiCall) -> Any:
    state = server.host_status or ""
    if call.allows(_SHOW_HOST_STATUS):
        return state
    return state if state == "UNKNOWN" else ABSENT


def _may_see_host_status(call: ApiCall) -> bool:
    return call.allows(_SHOW_HOST_STATUS) or call.allows(_SHOW_UNKNOWN_HOST)


def _may_see_attributes(call: ApiCall) -> bool:
    return call.allows(_SHOW_ATTRIBUTES)


def _may_see_hostname(call: ApiCall) -> bool:
    return call.at_least(90) or call.allows(_SHOW_ATTRIBUTES)


def _time(name: str) -> Any:
    def get(server: Instance, call: ApiCall) -> str | None:
        moment = getattr(server, name)
        return iso_microseconds(moment) if moment else None

    return get


def _access_ip_v6(server: Instance, call: ApiCall) -> str:
    """In the one short form that an address has (RFC 5952), however it was written."""
    text = server.access_ip_v6
    return ipaddress.IPv6Address(text).compressed if text else ""


def _attribute(
    name: str, source: Any, type_: Any = TEXT_OR_NULL, since: str | None = None
) -> Shown:
    return Shown(f"OS-EXT-SRV-ATTR:{name}", type_, source, since=since, when=_may_see_attributes)


def instance_name(server: Instance, call: ApiCall) -> str:
    """The name of the domain on the host."""
    return f"instance-{server.id:08x}"


_CORE = [
    Shown("id", TEXT, "uuid"),
    Shown("name", TEXT_OR_NULL, "name"),
    Shown("status", TEXT, lambda server, call: status(server)),
    Shown("tenant_id", TEXT, "project_id"),
    Shown("user_id", TEXT, "user_id"),
    Shown("metadata", mapping("^.+$", TEXT), "metadata"),
    Shown("hostId", TEXT, lambda server, call: host_id(server)),
    Shown("image", Plain({"type": ["object", "string"]}), _image),
    Shown("flavor", _OBJECT, _flavor),
    Shown("created", TEXT, lambda server, call: iso_seconds(server.created_at)),
    Shown("updated", TEXT,
          lambda server, call: iso_seconds(server.updated_at or server.created_at)),
    Shown("accessIPv4", TEXT, lambda server, call: server.access_ip_v4 or ""),
    Shown("accessIPv6", TEXT, _access_ip_v6),
    Shown("links", _LINKS, links),
    Shown("OS-DCF:diskConfig", TEXT, "disk_config"),
    Shown("progress", INTEGER, _progress),
    Shown("fault", _OBJECT, _fault),
    Shown("locked", STRICT_BOOLEAN, lambda server, call: server.locked_by is not None,
          since="2.9"),
    Shown("locked_reason", TEXT_OR_NULL, "locked_reason", since="2.73"),
    Shown("description", TEXT_OR_NULL, "description", since="2.19"),
    Shown("tags", Array(TEXT), lambda server, call: sorted(server.tags), since="2.26"),
    Shown("trusted_image_certificates", Array(TEXT, null=True), "trusted_certs", since="2.63"),
    Shown("pinned_availability_zone", TEXT_OR_NULL, "pinned_availability_zone", since="2.96"),
    Shown("scheduler_hints", _OBJECT, "scheduler_hints", since="2.100"),
]  # fmt: skip
_EXTENDED = [
    Shown("key_name", TEXT_OR_NULL, "key_name"),
    Shown("config_drive", TEXT, lambda server, call: "True" if server.config_drive else ""),
    Shown("OS-EXT-AZ:availability_zone", TEXT,
          lambda server, call: server.availability_zone or ""),
    Shown("OS-EXT-STS:power_state", INTEGER, "power_state"),
    Shown("OS-EXT-STS:task_state", TEXT_OR_NULL, "task_state"),
    Shown("OS-EXT-STS:vm_state", TEXT_OR_NULL, "vm_state"),
    Shown("OS-SRV-USG:launched_at", TEXT_OR_NULL, _time("launched_at")),
    Shown("OS-SRV-USG:terminated_at", TEXT_OR_NULL, _time("terminated_at")),
    Shown("os-extended-volumes:volumes_attached", Array(_OBJECT), _volumes),
    Shown("security_groups", Array(_OBJECT), _security_groups),
    _attribute("host", "host"),
    _attribute("hypervisor_hostname", "node"),
    _attribute("instance_name", instance_name, TEXT),
    Shown("OS-EXT-SRV-ATTR:hostname", TEXT, "hostname", since="2.3", when=_may_see_hostname),
    _attribute("kernel_id", "kernel_id", since="2.3"),
    _attribute("launch_index", "launch_index", INTEGER, "2.3"),
    _attribute("ramdisk_id", "ramdisk_id", since="2.3"),
    _attribute("reservation_id", "reservation_id", since="2.3"),
    _attribute("root_device_name", "root_device_name", since="2.3"),
    _attribute("user_data", "user_data", since="2.3"),
    Shown("host_status", TEXT, _host_status, since="2.16", when=_may_see_host_status),
]  # fmt: skip
_FULL_ADDRESSES = Shown("addresses", _OBJECT, lambda server, call: addresses(server, extended=True))
_UPDATE_ADDRESSES = Shown(
    "addresses", _OBJECT, lambda server, call: addresses(server, extended=call.at_least(75))
)
_GROUPS = Shown(
    "server_groups",
    Array(TEXT),
    lambda server, call: [server.server_group] if server.server_group else [],
    since="2.71",
)

DETAIL = View("server-detail", [*_CORE, *_EXTENDED, _FULL_ADDRESSES])
SHOW = View("server", [*_CORE, *_EXTENDED, _FULL_ADDRESSES, _GROUPS])
UPDATED = View("server-updated", [
    *_CORE,
    *[Shown(f.name, f.type, f.source, since="2.75", when=f.when) for f in _EXTENDED],
    _UPDATE_ADDRESSES,
    _GROUPS,
])  # fmt: skip
_SINCE_REBUILDS = {"key_name": "2.54"}
REBUILT = View("server-rebuilt", [
    *_CORE,
    *[Shown(f.name, f.type, f.source, since=_SINCE_REBUILDS.get(f.name, "2.75"), when=f.when)
      for f in _EXTENDED if f.name != "OS-EXT-SRV-ATTR:user_data"],
    Shown("user_data", TEXT_OR_NULL, "user_data", since="2.57"),
    _UPDATE_ADDRESSES,
    _GROUPS,
])  # fmt: skip
BRIEF = View("server-brief", [
    Shown("id", TEXT, "uuid"),
    Shown("name", TEXT, "name"),
    Shown("links", _LINKS, links),
])  # fmt: skip
