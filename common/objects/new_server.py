# SPDX-License-Identifier: Apache-2.0
"""NewServers: a checked request for servers, as the API hands it to the conductor."""

from common.objects.block_device import BlockDeviceMapping
from common.objects.image import ImageMeta
from common.objects.injected_file import InjectedFile
from common.objects.network import RequestedNetwork
from common.objects.scheduler_hints import Hints
from common.objects.versioned import Versioned


class NewServers(Versioned, frozen=True, kw_only=True):
    """Everything about new servers that is not in the database yet.

    The API looked the image and the networks up with the caller's own token; the conductor looks
    up flavor and keypair, counts quota and makes the rows. `uuids` has `max_count` entries, made
    by the API so that a repeated call is the same call.
    `networks` is None when the network service shall be left out (`none`).
    `block_devices` are the disks that each server gets; without one to boot from, the image's.
    `forced`: the requested host or node is to be used past the scheduler's filters.
    `zero_disk_allowed`: whether the caller may have a local root disk without a flavor's bound.
    `made_volumes` has for each of `uuids` the ids of the volumes that the API made for it: one for
    each disk that lives in a volume and does not name one, in order.
    """

    uuids: tuple[str, ...]
    min_count: int = 1
    name: str
    hostname: str | None = None
    description: str | None = None
    flavorid: str
    image: ImageMeta | None = None
    networks: tuple[RequestedNetwork, ...] | None = None
    security_groups: tuple[str, ...] = ()
    key_name: str | None = None
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    user_data: str | None = None
    config_drive: bool = False
    admin_password: str | None = None
    availability_zone: str | None = None
    requested_host: str | None = None
    requested_node: str | None = None
    forced: bool = False
    scheduler_hints: Hints = {}
    block_devices: tuple[BlockDeviceMapping, ...] = ()
    made_volumes: tuple[tuple[str, ...], ...] = ()
    injected_files: tuple[InjectedFile, ...] = ()
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    disk_config: str | None = None
    reservation_id: str
    trusted_certs: tuple[str, ...] | None = None
    zero_disk_allowed: bool = True


class CreatedServers(Versioned, frozen=True, kw_only=True):
    """What was accepted: the servers that fit the quota, in order."""

    uuids: tuple[str, ...]
    reservation_id: str
    disk_config: str = "MANUAL"
    security_groups: tuple[str, ...] = ()


class ServerFilters(Versioned, frozen=True, kw_only=True):
    """Which servers to list. Fields that are None or empty do not restrict.

    `columns` match exactly, `patterns` as regular expressions of PostgreSQL; keys are names of
    Instance fields or API filter words that the conductor knows (see its db/server_filters.py).
    `deleted` None is both kinds. What is soft-deleted counts as deleted, unless `soft_deleted` says
    otherwise. Times bound `updated_at`. `sort` is (key, direction) pairs.
    """

    project_id: str | None = None
    user_id: str | None = None
    columns: dict[str, list[str]] = {}
    patterns: dict[str, str] = {}
    tags_all: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    not_tags_all: tuple[str, ...] = ()
    not_tags_any: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    locked: bool | None = None
    vm_states: tuple[str, ...] = ()
    task_states: tuple[str, ...] = ()
    deleted: bool | None = False
    soft_deleted: bool | None = None
    changes_since: str | None = None
    changes_before: str | None = None
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"),)
    limit: int = 1000
    marker: str | None = None
