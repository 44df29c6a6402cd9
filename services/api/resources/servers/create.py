# SPDX-License-Identifier: Apache-2.0
"""POST /servers: from the checked body to what the conductor is asked to make."""

import base64
import json
import secrets
from collections.abc import Sequence
from typing import Any

from common.errors import Forbidden, Invalid
from common.ids import is_uuid_like, new_reservation_id, new_uuid
from common.objects.new_server import NewServers
from services.api.call import ApiCall
from services.api.declare.types import is_true
from services.api.lookups import Lookups
from services.api.resources.servers.personality import injected_files

_PASSWORD_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PASSWORD_LENGTH = 12
# Servers that one request can make: what a page of the list shows. A `max_count` above it is cut,
# as one above the quota is.
_MOST_AT_ONCE = 1000
# What bodies may carry but this release does not do yet: the refusal names the field.
_NOT_YET = ("block_device_mapping",)


def new_servers(call: ApiCall, lookups: Lookups) -> NewServers:
    """The request, with image and networks looked up as the caller may see them.

    Raises: Invalid, Forbidden, ImageNotFound, NetworkNotFound, PortNotFound, Unavailable, …
    """
    body = call.body
    for name in _NOT_YET:
        if body.get(name):
            raise Invalid(f"Invalid input for field/attribute {name}. It is not supported yet.")
    least, most = _counts(body)
    zone, host, node = _placement(call, body)
    if body.get("networks") not in (None, "none", "auto") and most > 1:
        _refuse_shared_addresses(body["networks"])
    image_id = _image_id(body)
    groups = tuple(dict.fromkeys(g["name"] for g in body.get("security_groups", ()) if "name" in g))
    if body.get("hostname") and most > 1:
        raise Invalid("Unable to allocate a single hostname to multiple instances")
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
        image=lookups.image(call, image_id),
        networks=networks,
        security_groups=lookups.security_groups(call, groups),
        key_name=body.get("key_name"),
        metadata=body.get("metadata", {}),
        tags=tuple(sorted(set(body.get("tags", ())))),
        user_data=_user_data(body),
        config_drive=is_true(body.get("config_drive", False)),
        admin_password=body.get("adminPass") or made_password(),
        availability_zone=zone,
        requested_host=host,
        requested_node=node,
        scheduler_hints=_hints(call.document),
        injected_files=injected_files(body),
        access_ip_v4=body.get("accessIPv4"),
        access_ip_v6=body.get("accessIPv6"),
        disk_config=body.get("OS-DCF:diskConfig"),
        reservation_id=new_reservation_id(),
        trusted_certs=_trusted_certificates(body),
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


def _placement(call: ApiCall, body: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Zone, host and node: `zone:host:node` in availability_zone, or fields of their own."""
    text: str | None = body.get("availability_zone")
    zone, host, node = text, None, None
    if text and ":" in text:
        parts = text.split(":")
        if len(parts) > 3:
            raise Invalid("Unable to parse availability_zone")
        zone, host, node = (part or None for part in (*parts, "", "")[:3])
        _permit(call, "os_compute_api:servers:create:forced_host")
    if "host" in body or "hypervisor_hostname" in body:
        _permit(call, "compute:servers:create:requested_destination")
        if host or node:
            raise Invalid("A host cannot be named both by availability_zone and by itself")
        host, node = body.get("host"), body.get("hypervisor_hostname")
    return zone, host, node


def _permit(call: ApiCall, rule: str) -> None:
    if not call.allows(rule):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")


def _image_id(body: dict[str, Any]) -> str | None:
    """The image to boot from; the image disk of a block device mapping counts as it."""
    image: str | None = body.get("imageRef") or None
    disks: Sequence[dict[str, Any]] = body.get("block_device_mapping_v2", ())
    for disk in disks:
        is_root = str(disk.get("boot_index", "")) == "0"
        is_image = disk.get("source_type") == "image" and disk.get("uuid")
        if not (is_root and is_image and disk.get("destination_type", "local") == "local"):
            raise Invalid(
                "Invalid input for field/attribute block_device_mapping_v2. Only a local disk of "
                "the image with boot_index 0 is supported yet."
            )
        if image and image != disk["uuid"]:
            raise Invalid("Block Device Mapping is Invalid: Boot sequence for the instance and "
                          "image/block device mapping combination is not valid.")  # fmt: skip
        image = disk["uuid"]
    if image is None:
        raise Invalid("Invalid imageRef provided.")
    if not is_uuid_like(image):
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


def _hints(document: dict[str, Any]) -> dict[str, list[str]]:
    """Scheduler hints, which stand beside the server in the body: each a list of texts."""
    given = document.get("os:scheduler_hints", document.get("OS-SCH-HNT:scheduler_hints", {}))
    return {
        name: [_text(each) for each in (value if isinstance(value, list) else [value])]
        for name, value in given.items()
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _trusted_certificates(body: dict[str, Any]) -> tuple[str, ...] | None:
    found = body.get("trusted_image_certificates")
    return tuple(found) if found else None


def _refuse_shared_addresses(networks: list[dict[str, Any]]) -> None:
    if any(nic.get("fixed_ip") for nic in networks):
        raise Invalid("Invalid fixed IPv4 address and max_count > 1: an address is for one server.")
    if any(nic.get("port") for nic in networks):
        raise Invalid("Unable to launch multiple instances with a single configured port ID. "
                      "Please launch your instance one by one with different ports.")  # fmt: skip
