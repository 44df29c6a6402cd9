# SPDX-License-Identifier: Apache-2.0
"""What the Block Storage API says about itself: versions, extensions, zones, services, pools."""

from typing import Any

import falcon

from services.companion.volume import capabilities, listing
from services.companion.volume.call import BASE, NEWEST, OLDEST, ROOT, call_of
from services.companion.volume.creation import ZONE
from services.companion.volume.parts import Parts
from services.companion.volume.records import stamp
from services.companion.volume.views import BACKEND, pool
from services.companion.web import query
from services.companion.web.body import answer
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

_GIB = 1 << 30
_UPDATED = "2026-01-01T00:00:00Z"
# What clients look for before they use a feature; only what is really here.
_EXTENSIONS = {
    "os-availability-zone": "AvailabilityZones",
    "capabilities": "Capabilities",
    "os-admin-actions": "AdminActions",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes",
    "os-quota-class-sets": "QuotaClasses",
    "os-quota-sets": "Quotas",
    "os-services": "Services",
    "os-types-extra-specs": "TypesExtraSpecs",
    "os-types-manage": "TypesManage",
    "os-used-limits": "UsedLimits",
    "os-vol-host-attr": "VolumeHostAttribute",
    "os-vol-image-meta": "VolumeImageMetadata",
    "os-vol-tenant-attr": "VolumeTenantAttribute",
    "os-volume-actions": "VolumeActions",
    "os-volume-transfer": "VolumeTransfer",
    "os-volume-type-access": "VolumeTypeAccess",
    "scheduler-stats": "Scheduler_stats",
}


class VolumeVersions:
    """`GET /volume` (300) and `GET /volume/v3`."""

    public = ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every version: one."""
        links = [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{req.context.base_url}{BASE}/"},
        ]
        media = {"base": "application/json",
                 "type": "application/vnd.openstack.volume+json;version=3"}  # fmt: skip
        version = {
            "id": "v3.0", "status": "CURRENT", "version": f"3.{NEWEST}",
            "min_version": f"3.{OLDEST}", "updated": _UPDATED, "links": links,
            "media-types": [media],
        }  # fmt: skip
        answer(resp, {"versions": [version]}, 300 if req.path == ROOT else 200)


class Extensions:
    """`GET /v3/extensions[/{alias}]`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All of them."""
        answer(resp, {"extensions": [_extension(alias) for alias in _EXTENSIONS]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, alias: str) -> None:
        """One of them."""
        if alias not in _EXTENSIONS:
            raise Fault(404, f"There is no extension {shown(alias)}.")
        answer(resp, {"extension": _extension(alias)})


class Zones:
    """`GET /v3/os-availability-zone`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The one zone."""
        zone = {"zoneName": ZONE, "zoneState": {"available": True}}
        answer(resp, {"availabilityZoneInfo": [zone]})


class Services:
    """`GET /v3/os-services`: this process, under the names that operators look for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Both of them are up when they answer."""
        call = call_of(req)
        if not call.sees_everything:
            call.must_be_admin()
        backend = f"{self._parts.host}@{BACKEND}"
        found = [self._service("cinder-scheduler", self._parts.host)]
        volume = self._service("cinder-volume", backend)
        volume |= {"frozen": False, "replication_status": "disabled", "active_backend_id": None}
        if call.at_least(49):
            volume["backend_state"] = "up"
        found.append(volume)
        if call.at_least(7):
            found = [{**service, "cluster": None} for service in found]
        for name in ("binary", "host"):
            wanted = query.first(req, name)
            if wanted is not None:
                found = [s for s in found if wanted in (s[name], s[name].partition("@")[0])]
        answer(resp, {"services": found})

    def _service(self, binary: str, host: str) -> dict[str, Any]:
        return {
            "binary": binary, "host": host, "zone": ZONE, "status": "enabled", "state": "up",
            "updated_at": stamp(self._parts.clock), "disabled_reason": None,
        }  # fmt: skip


class Pools:
    """`GET /v3/scheduler-stats/get_pools`: how much room there is."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The one pool."""
        call = call_of(req)
        if not call.sees_everything:
            call.must_be_admin()
        name = pool(self._parts.host)
        shown_pool: dict[str, Any] = {"name": name}
        if listing.boolean(query.first(req, "detail") or "false", "detail"):
            room = self._parts.backend.capacity()
            shown_pool["capabilities"] = {
                **capabilities.of(self._parts.backend),
                "total_capacity_gb": round(room.total / _GIB, 2),
                "free_capacity_gb": round(room.free / _GIB, 2),
                "reserved_percentage": 0,
                "timestamp": stamp(self._parts.clock),
            }
        wanted = query.first(req, "name")
        answer(resp, {"pools": [shown_pool] if wanted in (None, name) else []})


class Capabilities:
    """`GET /v3/capabilities/{host}`: what the storage of a service can do."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response, host: str) -> None:
        """Of the one service."""
        call = call_of(req)
        if not call.sees_everything:
            call.must_be_admin()
        name = pool(self._parts.host)
        if host not in (name, name.partition("#")[0]):
            raise Fault(404, f"There is no storage at {shown(host)}.")
        has = capabilities.of(self._parts.backend)
        names = ("vendor_name", "volume_backend_name", "pool_name", "driver_version",
                 "storage_protocol")  # fmt: skip
        told: dict[str, Any] = {n: has[n] for n in names}
        told |= {"namespace": f"OS::Storage::Capabilities::{self._parts.host}",
                 "display_name": None, "description": None, "visibility": None,
                 "replication_targets": [], "properties": {}}  # fmt: skip
        answer(resp, told)


def _extension(alias: str) -> dict[str, object]:
    name = _EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "updated": _UPDATED, "links": []}
