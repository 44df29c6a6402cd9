# SPDX-License-Identifier: Apache-2.0
"""The `openstack/` tree: meta_data.json and its neighbours, version by version.

A version is a date; `latest` is the newest. Nothing here reads configuration or the clock: what a
deployment decides comes in as `TreeSettings`.
"""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from common.guest_metadata.devices import shares, tagged_devices
from common.guest_metadata.network_data import network_data
from common.objects.guest_metadata import GuestMetadata

VERSIONS = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06",
    "2017-02-22", "2018-08-27", "2020-10-14", "2025-04-04",
)  # fmt: skip
LATEST = "latest"
_RANDOM_SEED_BYTES = 512


@dataclass(frozen=True)
class TreeSettings:
    """What the deployment adds to every guest's metadata.

    `random_bytes` gives as many bytes as it is asked for. `vendor_data` None: no vendor data is
    configured, and vendor_data.json does not exist. `dynamic` asks services what they have to say
    about a guest with this host name; it may raise Unavailable.
    """

    dhcp_domain: str = "novalocal"
    vendor_data: dict[str, Any] | None = field(default_factory=dict)
    random_bytes: Callable[[int], bytes] = os.urandom
    dynamic: Callable[[GuestMetadata, str], dict[str, Any]] | None = None


def listed_versions(today: date) -> tuple[str, ...]:
    """Versions that `/openstack` lists: those of today and before, then `latest`."""
    return (*(v for v in VERSIONS if v <= today.isoformat()), LATEST)


def resolve(version: str) -> str | None:
    """The dated version that `version` stands for; None when there is none."""
    if version == LATEST:
        return VERSIONS[-1]
    return version if version in VERSIONS else None


def hostname(guest: GuestMetadata, settings: TreeSettings) -> str:
    """The guest's name with the deployment's domain behind it."""
    domain = f".{settings.dhcp_domain}" if settings.dhcp_domain else ""
    return f"{guest.instance.hostname}{domain}"


def file_names(guest: GuestMetadata, version: str, settings: TreeSettings) -> tuple[str, ...]:
    """Files that a version's folder lists, in order."""
    dated = resolve(version) or ""
    names = ["meta_data.json"]
    if guest.instance.user_data:
        names.append("user_data")
    if dated >= "2013-04-04":
        names.append("password")
    if dated >= "2013-10-17" and settings.vendor_data is not None:
        names.append("vendor_data.json")
    if dated >= "2015-10-15":
        names.append("network_data.json")
    if dated >= "2016-10-06":
        names.append("vendor_data2.json")
    return tuple(names)


def file_content(
    guest: GuestMetadata, version: str, name: str, settings: TreeSettings
) -> bytes | None:
    """A file's bytes; None when the version, or this guest, has no such file.

    network_data.json is answered at every version though old ones do not list it.
    """
    if resolve(version) is None:
        return None
    if name != "network_data.json" and name not in file_names(guest, version, settings):
        return None
    makers: dict[str, Callable[[], bytes | None]] = {
        "meta_data.json": lambda: _json(meta_data(guest, version, settings)),
        "user_data": lambda: user_data(guest),
        "password": (guest.password or "").encode,
        "vendor_data.json": lambda: _json(settings.vendor_data),
        "network_data.json": lambda: _json(network_data(guest.instance.vifs)),
        "vendor_data2.json": lambda: _json(_vendor_data2(guest, settings)),
    }
    return makers[name]()


def _vendor_data2(guest: GuestMetadata, settings: TreeSettings) -> dict[str, Any]:
    said = settings.dynamic(guest, hostname(guest, settings)) if settings.dynamic else {}
    return {"static": settings.vendor_data or {}, **said}


def user_data(guest: GuestMetadata) -> bytes | None:
    """The user data that the server was made with, decoded; None without any."""
    text = guest.instance.user_data
    return base64.b64decode(text) if text else None


def meta_data(
    guest: GuestMetadata,
    version: str,
    settings: TreeSettings,
    *,
    admin_password: str | None = None,
) -> dict[str, Any]:
    """meta_data.json of a version. `admin_password` is for config drives only."""
    dated = resolve(version) or ""
    instance = guest.instance
    document: dict[str, Any] = {
        "uuid": instance.uuid,
        "name": instance.name,
        "hostname": hostname(guest, settings),
        "launch_index": instance.launch_index,
        "availability_zone": instance.availability_zone,
    }
    if instance.metadata:
        document["meta"] = instance.metadata
    if instance.keypair:
        key = instance.keypair
        document["public_keys"] = {key.name: key.public_key}
        document["keys"] = [{"name": key.name, "type": key.type, "data": key.public_key}]
    if admin_password:
        document["admin_pass"] = admin_password
    if instance.injected_files:
        document["files"] = [
            {"path": file.path, "content_path": content_path(number)}
            for number, file in enumerate(instance.injected_files)
        ]
    if dated >= "2013-04-04":
        seed = settings.random_bytes(_RANDOM_SEED_BYTES)
        document["random_seed"] = base64.b64encode(seed).decode()
    if dated >= "2015-10-15":
        document["project_id"] = instance.project_id
    if dated >= "2016-06-30":
        has_shares = dated >= "2025-04-04"
        document["devices"] = tagged_devices(instance) + (shares(instance) if has_shares else [])
    if dated >= "2020-10-14":
        document["dedicated_cpus"] = []
    return document


def content_path(number: int) -> str:
    """Where an injected file's content stands, below `openstack`."""
    return f"/content/{number:04}"


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()
