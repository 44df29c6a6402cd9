# SPDX-License-Identifier: Apache-2.0
"""Attributes of images: which are ours, which a client may write, and everything else (free)."""

from typing import Any

from services.companion.web.fields import (
    BadValue,
    Check,
    integer,
    list_of,
    nullable,
    one_of,
    shown,
    strict_flag,
    text,
    uuid,
)

VISIBILITIES = ("public", "private", "shared", "community")
DISK_FORMATS = (
    "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
)  # fmt: skip
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
MOST_PROPERTIES, MOST_TAGS, MOST_MEMBERS = 128, 128, 128

_AT_MOST = 2**31 - 1

# What a client may set, and how it is checked.
WRITABLE: dict[str, Check] = {
    "name": nullable(text(255)),
    "visibility": one_of(*VISIBILITIES),
    "disk_format": nullable(one_of(*DISK_FORMATS)),
    "container_format": nullable(one_of(*CONTAINER_FORMATS)),
    "min_disk": integer(0, _AT_MOST),
    "min_ram": integer(0, _AT_MOST),
    "protected": strict_flag,
    "os_hidden": strict_flag,
    "owner": nullable(text(255, 1)),
    "tags": list_of(text(255, 1), MOST_TAGS),
}
AT_CREATION: dict[str, Check] = {**WRITABLE, "id": uuid}
READ_ONLY = frozenset(
    (
        "id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value",
        "created_at", "updated_at", "self", "file", "schema", "direct_url", "stores", "locations",
        "deleted", "deleted_at", "is_public",
    )
)  # fmt: skip
# Once there is data these say what it is.
FIXED_BY_DATA = ("disk_format", "container_format")

_value = text(65535)


def check(name: str, value: Any) -> Any:
    """A client's value for an attribute or free property. Raises BadValue."""
    if name in WRITABLE:
        return WRITABLE[name](value)
    text(255, 1)(name)
    if not isinstance(value, str):
        raise BadValue(f"{shown(value)} is not a string.")
    return _value(value)
