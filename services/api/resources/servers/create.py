# SPDX-License-Identifier: Apache-2.0
"""POST /servers: from the checked body to what the conductor is asked to make."""

import base64
import json
import secrets
from typing import Any, NamedTuple

from common.errors import Forbidden, Invalid
from common.ids import is_uuid_like, new_reservation_id, new_uuid
from common.objects.image import ImageMeta
from common.objects.new_server import NewServers
from common.objects.scheduler_hints import Hints
from services.api.call import ApiCall
from services.api.declare.types import is_true
from services.api.lookups import Lookups
from services.api.resources.servers.block_devices.lookups import DiskLookups
from services.api.resources.servers.block_devices.plan import asks_for_disks, planned
from services.api.resources.servers.personality import injected_files

_PASSWORD_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PASSWORD_LENGTH = 12
# Servers that one request can make: what a page of the list shows. A `max_count` above it is cut,
# as one above the quota is.
_MOST_AT_ONCE = 1000
_CREATE = "os_compute_api:servers:create:"


def new_servers(call: ApiCall, lookups: Lookups, disk_lookups: DiskLookups) -> NewServers:
    """The request, with image, disks and networks looked up as the caller may see them.

    Raises: Invalid, Forbidden, ImageNotFound, NetworkNotFound, PortNotFound, Unavailable, …
    """
    body = call.body
    least, most = _counts(body)
    if body.get("trusted_image_certificates"):
        _permit(call, _CREATE + "trusted_certs")
    place = _placement(call, body)
    if body.get("networks") not in (None, "none", "auto") and most > 1:
        _refuse_shared_addresses(body["networks"])
    if asks_for_disks(body):
        _permit(call, _CREATE + "attach_volume")
    image = lookups.image(call, _image_id(body))
    disks = planned(body, image, servers=most)
    certificates = _trusted_certificates(body, image)
    block_devices, booted = disk_lookups.found(call, disks, image)
    groups = tuple(dict.fromkeys(g["name"] for g in body.get("security_groups", ()) if "name" in g))
    if body.get("hostname") and most > 1:
        raise Invalid("Unable to allocate a single hostname to multiple instances")
    if body.get("networks") not in (None, [], "none"):
        _permit(call, _CREATE + "attach_network")
    networks = lookups.networks(call, body.get("networks"))
    if networks and not groups:
        groups = ("default",)
    return NewServers(
        uuids=tuple(new_uuid() for _ in range(most)),
        min_count=least,
        name=body["name"].strip(),
        hostname=body.get("hostname"),
        description=_description(call, body),
        flavorid=str(body["flavorRef"]).rsplit("/", 1)[-1],
        image=booted,
        networks=networks,
        security_groups=lookups.security_groups(call, groups),
        key_name=body.get("key_name"),
        metadata=body.get("metadata", {}),
        tags=tuple(sorted(set(body.get("tags", ())))),
        user_data=_user_data(body),
        config_drive=is_true(body.get("config_drive", False)),
        admin_password=body.get("adminPass") or made_password(),
        availability_zone=place.zone,
        requested_host=place.host,
        requested_node=place.node,
        forced=place.is_forced,
        scheduler_hints=_hints(call.document),
        block_devices=block_devices,
        injected_files=injected_files(body),
        access_ip_v4=body.get("accessIPv4"),
        access_ip_v6=body.get("accessIPv6"),
        disk_config=body.get("OS-DCF:diskConfig"),
        reservation_id=new_reservation_id(),
        trusted_certs=certificates,
        zero_disk_allowed=call.allows(_CREATE + "zero_disk_flavor"),
    )


def made_password() -> str:
    """A password for the administrator of a new server."""
    return "".join(secrets.choice(_PASSWORD_CHARACTERS) for _ in range(_PASSWORD_LENGTH))


def _counts(body: dict[str, Any]) -> tuple[int, int]:
    least = int(body.get("min_count", 1))
    most = int(body.get("max_count", least))
    if least > most:
        raise Invalid("min_count must be <= max_count")
    if least > _MOST_AT_ONCE:
        raise Forbidden(
            f"Quota exceeded for instances: Requested {least}, but one request may ask for at "
            f"most {_MOST_AT_ONCE} instances"
        )
    return least, min(most, _MOST_AT_ONCE)


class _Place(NamedTuple):
    """Where servers are asked to go; `is_forced`: past the scheduler's filters."""

    zone: str | None
    host: str | None
    node: str | None
    is_forced: bool = False


def _placement(call: ApiCall, body: dict[str, Any]) -> _Place:
    """Zone, host and node: `zone:host:node` in availability_zone, or fields of their own."""
    text: str | None = body.get("availability_zone")
    place = _Place(text, None, None)
    if text and ":" in text:
        parts = text.split(":")
        if len(parts) > 3:
            raise Invalid("Unable to parse availability_zone")
        zone, host, node = (part or None for part in (*parts, "", "")[:3])
        place = _Place(zone, host, node, is_forced=bool(host or node))
        _permit(call, _CREATE + "forced_host")
    if "host" in body or "hypervisor_hostname" in body:
        _permit(call, "compute:servers:create:requested_destination")
        if place.is_forced:
            raise Invalid("A host cannot be named both by availability_zone and by itself")
        return _Place(place.zone, body.get("host"), body.get("hypervisor_hostname"))
    return place


def _permit(call: ApiCall, rule: str) -> None:
    if not call.allows(rule):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")


def _image_id(body: dict[str, Any]) -> str | None:
    """The image that the request names. Raises: Invalid (there is nothing to boot from)."""
    image: str | None = body.get("imageRef") or None
    if image is None and not asks_for_disks(body):
        raise Invalid("Invalid imageRef provided.")
    if image is not None and not is_uuid_like(image):
        raise Invalid("Invalid imageRef provided.")
    return image


def _description(call: ApiCall, body: dict[str, Any]) -> str | None:
    # Before 2.19 a server's name stood in for its description.
    if not call.at_least(19):
        return str(body["name"]).strip()
    return body.get("description")


def _user_data(body: dict[str, Any]) -> str | None:
    text: str | None = body.get("user_data")
    if text is None:
        return None
    try:
        base64.b64decode(text, validate=True)
    except ValueError as broken:
        raise Invalid("User data needs to be valid base 64.") from broken
    return text


def _hints(document: dict[str, Any]) -> Hints:
    """Scheduler hints, which stand beside the server in the body."""
    given = document.get("os:scheduler_hints", document.get("OS-SCH-HNT:scheduler_hints", {}))
    return {
        name: [_text(each) for each in value] if isinstance(value, list) else _text(value)
        for name, value in given.items()
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _trusted_certificates(
    body: dict[str, Any], image: ImageMeta | None
) -> tuple[str, ...] | None:  # fmt: skip
    found = body.get("trusted_image_certificates")
    if found and image is None:
        raise Invalid("Image certificate validation is not supported when booting from volume")
    return tuple(found) if found else None


def _refuse_shared_addresses(networks: list[dict[str, Any]]) -> None:
    if any(nic.get("fixed_ip") for nic in networks):
        raise Invalid("Invalid fixed IPv4 address and max_count > 1: an address is for one server.")
    if any(nic.get("port") for nic in networks):
        raise Invalid("Unable to launch multiple instances with a single configured port ID. "
                      "Please launch your instance one by one with different ports.")  # fmt: skip
