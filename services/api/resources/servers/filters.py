# SPDX-License-Identifier: Apache-2.0
"""From the query of a list of servers to what the conductor is asked.

Rules: who may filter by what, what matches exactly and what as a regular expression (contract:
errors.md §7). Other callers' extra keys are dropped, not refused.
"""

from collections.abc import Sequence

from common.errors import Forbidden, Invalid
from common.objects.new_server import ServerFilters
from common.states import VmState, states_for_status
from services.api.call import ApiCall
from services.api.declare.request import LIMIT, Query, single
from services.api.declare.types import DATE_TIME, TEXT, Changing, Field, enum, string
from services.api.period import check_period

_REGEX = string(form="regex")
_SORT_KEYS = (
    "access_ip_v4", "access_ip_v6", "auto_disk_config", "availability_zone", "config_drive",
    "created_at", "display_description", "display_name", "host", "hostname", "image_ref",
    "instance_type_id", "kernel_id", "key_name", "launch_index", "launched_at", "locked_by", "node",
    "power_state", "progress", "project_id", "ramdisk_id", "root_device_name", "task_state",
    "terminated_at", "updated_at", "user_id", "uuid", "vm_state",
)  # fmt: skip
# Accepted and ignored below 2.75 (`locked` sorts from 2.73).
_IGNORED_SORT_KEYS = (
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device",
    "deleted", "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id",
    "key_data", "launched_on", "locked", "memory_mb", "os_type", "reservation_id", "root_gb",
    "shutdown_terminate", "user_data", "vcpus", "vm_mode",
)  # fmt: skip
_JOINED = (
    "block_device_mapping", "services", "metadata", "system_metadata", "info_cache",
    "security_groups", "pci_devices",
)  # fmt: skip
_EXACT = (
    "user_id", "project_id", "tenant_id", "launch_index", "image_ref", "image", "vm_state",
    "task_state", "host", "uuid",
)  # fmt: skip
_PATTERNS = (
    "kernel_id", "ramdisk_id", "hostname", "key_name", "power_state", "node", "flavor",
    "reservation_id", "launched_at", "terminated_at", "availability_zone", "name", "display_name",
    "description", "display_description", "locked_by", "root_device_name", "config_drive",
    "access_ip_v4", "access_ip_v6", "auto_disk_config", "progress", "ip", "ip6", "created_at",
)  # fmt: skip
_TAGS = ("tags", "tags-any", "not-tags", "not-tags-any")

QUERY = Query(
    "server-list",
    [
        *(Field(key, TEXT) for key in _EXACT),
        *(Field(key, _REGEX) for key in _PATTERNS),
        *(Field(key, TEXT) for key in _JOINED),
        Field("sort_key", Changing((
            ("2.1", enum(*_SORT_KEYS, *_IGNORED_SORT_KEYS)),
            ("2.75", enum(*_SORT_KEYS, "locked")),
        ))),
        Field("sort_dir", TEXT),
        Field("all_tenants", TEXT),
        Field("soft_deleted", TEXT),
        Field("deleted", TEXT),
        Field("status", TEXT),
        Field("changes-since", DATE_TIME),
        Field("limit", LIMIT),
        Field("marker", TEXT),
        *(Field(key, _REGEX, since="2.26") for key in _TAGS),
        Field("changes-before", DATE_TIME, since="2.66"),
        Field("locked", TEXT, since="2.73"),
    ],
    pattern=("^_", TEXT),
)  # fmt: skip

# What callers may filter by who may not use every key, and from when.
_FOR_EVERYBODY = {
    **dict.fromkeys(
        ("reservation_id", "name", "status", "image", "flavor", "ip", "changes-since",
         "all_tenants"), 1,
    ),
    "ip6": 5,
    **dict.fromkeys(_TAGS, 26),
    "changes-before": 66,
    "locked": 73,
    **dict.fromkeys(
        ("availability_zone", "config_drive", "key_name", "created_at", "launched_at",
         "terminated_at", "power_state", "task_state", "vm_state", "progress", "user_id"), 83,
    ),
    "hostname": 90,
}  # fmt: skip
_PAGING = frozenset(("sort_key", "sort_dir", "limit", "marker"))
# The schema of a key does not say how it matches.
_EXACT_COLUMNS = frozenset(_EXACT) - {"tenant_id", "launch_index"} | {"flavor"}
_MATCHED = (*(key for key in _PATTERNS if key not in _EXACT_COLUMNS), "launch_index")
_YES = frozenset(("1", "t", "true", "on", "y", "yes"))
_NO = frozenset(("0", "f", "false", "off", "n", "no"))


def server_filters(call: ApiCall, *, operation: str) -> ServerFilters | None:
    """What to ask the conductor; None when nothing can match.

    `operation` is `index` or `detail`. Raises: Invalid, Forbidden.
    """
    query = _permitted(call)
    everywhere = _all_tenants(call, query, operation)
    vm_states, task_states = _states(call, query)
    if vm_states is not None and not vm_states:
        return None
    since, before = single(query, "changes-since"), single(query, "changes-before")
    check_period(since, before)
    columns = {key: query[key] for key in _EXACT_COLUMNS if key in query}
    columns.pop("project_id", None)
    projects = [*query.get("project_id", ()), *query.get("tenant_id", ())]
    if everywhere and projects:
        columns["project_id"] = projects
    return ServerFilters(
        project_id=None if everywhere else call.caller.project_id,
        columns=columns,
        patterns={key: query[key][-1] for key in _MATCHED if key in query},
        tags_all=_split(query, "tags"),
        tags_any=_split(query, "tags-any"),
        not_tags_all=_split(query, "not-tags"),
        not_tags_any=_split(query, "not-tags-any"),
        locked=_locked(query),
        vm_states=tuple(sorted(vm_states or ())),
        task_states=tuple(sorted(task_states or ())),
        deleted=_deleted(call, query, vm_states, has_period=bool(since or before)),
        soft_deleted=_soft_deleted(call, query),
        changes_since=since,
        changes_before=before,
        sort=_sort(call),
        limit=call.page_limit(),
        marker=call.single("marker"),
    )


def _permitted(call: ApiCall) -> dict[str, list[str]]:
    """The keys that this caller may use, without those of the page."""
    keys = call.query.keys() - _PAGING
    if call.allows("os_compute_api:servers:allow_all_filters"):
        for key in sorted(keys):
            if key in _JOINED or key.startswith("_"):
                raise Invalid(f"Invalid filter field: {key}.")
        return {key: call.query[key] for key in keys}
    return {key: call.query[key] for key in keys if call.at_least(_FOR_EVERYBODY.get(key, 1 << 30))}


def _all_tenants(call: ApiCall, query: dict[str, list[str]], operation: str) -> bool:
    asked = single(query, "all_tenants")
    if asked is None:
        return False
    word = asked.lower()
    if word not in _YES | _NO | {""}:
        raise Invalid(f"Invalid value '{asked}' for all_tenants, use a boolean value.")
    if word in _NO:
        return False
    rule = f"os_compute_api:servers:{operation}:get_all_tenants"
    if not call.allows(rule):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")
    return True


def _states(call: ApiCall, query: dict[str, list[str]]) -> tuple[set[str] | None, set[str] | None]:
    """vm and task states that `status` stands for; None where it does not restrict."""
    if "status" not in query:
        return None, None
    vm_states: set[str] = set()
    task_states: set[str] = set()
    any_task = False
    for status in query["status"]:
        found_vm, found_task = states_for_status(status)
        vm_states |= found_vm
        if found_vm and found_task is None:
            any_task = True
        task_states |= found_task or set()
    if not vm_states and call.at_least(38):
        raise Invalid("Invalid status value")
    if VmState.DELETED in vm_states and not call.caller.is_admin:
        raise Forbidden("Only administrators may list deleted instances")
    return vm_states, None if any_task else task_states


def _deleted(
    call: ApiCall,
    query: dict[str, list[str]],
    vm_states: set[str] | None,
    *,
    has_period: bool,
) -> bool | None:
    """Whether to list deleted servers, others (False), or both (None)."""
    if vm_states and VmState.DELETED in vm_states:
        return True
    asked = single(query, "deleted")
    if asked is not None and call.caller.is_admin:
        return asked.lower() in _YES
    return None if has_period else False


def _soft_deleted(call: ApiCall, query: dict[str, list[str]]) -> bool | None:
    """Whether soft-deleted servers are asked for; None when nothing is said of them."""
    asked = single(query, "soft_deleted")
    return None if asked is None or not call.caller.is_admin else asked.lower() in _YES


def _locked(query: dict[str, list[str]]) -> bool | None:
    asked = single(query, "locked")
    if asked is None:
        return None
    if asked.lower() in _YES:
        return True
    if asked.lower() in _NO:
        return False
    raise Invalid(f"Unrecognized value '{asked}', acceptable values are a boolean")


def _split(query: dict[str, list[str]], key: str) -> tuple[str, ...]:
    text = single(query, key)
    return tuple(tag for tag in text.split(",") if tag) if text else ()


def _sort(call: ApiCall) -> tuple[tuple[str, str], ...]:
    keys: Sequence[str] = call.query.get("sort_key", ())
    directions = list(call.query.get("sort_dir", ()))
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise Invalid(f"Unknown sort direction, must be one of: asc, desc. Value: {direction}")
    if len(directions) > len(keys):
        raise Invalid("Sort direction array size exceeds sort key array size.")
    for key in keys:
        if key in ("host", "node") and not call.caller.is_admin:
            raise Forbidden(f"Only administrators can sort servers by {key}")
    if not keys:
        return (("created_at", "desc"),)
    default = directions[0] if directions else "desc"
    directions += [default] * (len(keys) - len(directions))
    chosen = [
        (key, direction)
        for key, direction in zip(keys, directions, strict=True)
        if key not in _IGNORED_SORT_KEYS or (key == "locked" and call.at_least(73))
    ]
    return tuple(chosen) or (("created_at", "desc"),)
