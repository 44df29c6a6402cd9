# SPDX-License-Identifier: Apache-2.0
"""vm_state, task_state and power_state, what API status they give, and what is allowed when.

Words, mapping and the table of allowed operations are facts of the Compute API
(tests/conformance/contract/states.json holds them as data; a unit test compares).
"""

import enum
from dataclasses import dataclass


class VmState(enum.StrEnum):
    """What an instance is, when nothing is being done to it."""

    ACTIVE = "active"
    BUILDING = "building"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    RESCUED = "rescued"
    RESIZED = "resized"
    SOFT_DELETED = "soft-delete"
    DELETED = "deleted"
    ERROR = "error"
    SHELVED = "shelved"
    SHELVED_OFFLOADED = "shelved_offloaded"


class TaskState(enum.StrEnum):
    """What is being done to an instance; an instance at rest has none."""

    SCHEDULING = "scheduling"
    BLOCK_DEVICE_MAPPING = "block_device_mapping"
    NETWORKING = "networking"
    SPAWNING = "spawning"
    IMAGE_SNAPSHOT = "image_snapshot"
    IMAGE_SNAPSHOT_PENDING = "image_snapshot_pending"
    IMAGE_PENDING_UPLOAD = "image_pending_upload"
    IMAGE_UPLOADING = "image_uploading"
    IMAGE_BACKUP = "image_backup"
    UPDATING_PASSWORD = "updating_password"
    RESIZE_PREP = "resize_prep"
    RESIZE_MIGRATING = "resize_migrating"
    RESIZE_MIGRATED = "resize_migrated"
    RESIZE_FINISH = "resize_finish"
    RESIZE_REVERTING = "resize_reverting"
    RESIZE_CONFIRMING = "resize_confirming"
    REBOOTING = "rebooting"
    REBOOT_PENDING = "reboot_pending"
    REBOOT_STARTED = "reboot_started"
    REBOOTING_HARD = "rebooting_hard"
    REBOOT_PENDING_HARD = "reboot_pending_hard"
    REBOOT_STARTED_HARD = "reboot_started_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    RESCUING = "rescuing"
    UNRESCUING = "unrescuing"
    REBUILDING = "rebuilding"
    REBUILD_BLOCK_DEVICE_MAPPING = "rebuild_block_device_mapping"
    REBUILD_SPAWNING = "rebuild_spawning"
    MIGRATING = "migrating"
    DELETING = "deleting"
    SOFT_DELETING = "soft-deleting"
    RESTORING = "restoring"
    SHELVING = "shelving"
    SHELVING_IMAGE_PENDING_UPLOAD = "shelving_image_pending_upload"
    SHELVING_IMAGE_UPLOADING = "shelving_image_uploading"
    SHELVING_OFFLOADING = "shelving_offloading"
    UNSHELVING = "unshelving"


class PowerState(enum.IntEnum):
    """What the hypervisor says of the guest; the numbers are the API's."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7


_STATUS: dict[str, str] = {
    "active": "ACTIVE", "building": "BUILD", "stopped": "SHUTOFF", "resized": "VERIFY_RESIZE",
    "paused": "PAUSED", "suspended": "SUSPENDED", "rescued": "RESCUE", "error": "ERROR",
    "deleted": "DELETED", "soft-delete": "SOFT_DELETED", "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
}  # fmt: skip
_REBOOT = dict.fromkeys(("rebooting", "reboot_pending", "reboot_started"), "REBOOT")
_HARD = dict.fromkeys(
    ("rebooting_hard", "reboot_pending_hard", "reboot_started_hard"), "HARD_REBOOT"
)
_REBUILD = dict.fromkeys(
    ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"), "REBUILD"
)
_RESIZE = dict.fromkeys(
    ("resize_prep", "resize_migrating", "resize_migrated", "resize_finish"), "RESIZE"
)
_BY_TASK: dict[str, dict[str, str]] = {
    "active": {
        **_REBOOT, **_HARD, **_REBUILD, **_RESIZE,
        "updating_password": "PASSWORD", "migrating": "MIGRATING",
    },
    "stopped": {**_RESIZE, **_REBUILD},
    "resized": {"resize_reverting": "REVERT_RESIZE"},
    "paused": {"migrating": "MIGRATING"},
    "error": dict(_REBUILD),
}  # fmt: skip


def api_status(vm_state: str, task_state: str | None) -> str:
    """The `status` of a server in the API; UNKNOWN for a vm_state that it does not know."""
    if task_state is not None:
        special = _BY_TASK.get(vm_state, {}).get(task_state)
        if special:
            return special
    return _STATUS.get(vm_state, "UNKNOWN")


def states_for_status(status: str) -> tuple[frozenset[str], frozenset[str] | None]:
    """The (vm_states, task_states) that give `status`; no vm_state when nothing does.

    task_states is None when any of them will do. Case of `status` does not matter.
    """
    wanted = status.upper()
    vm_states = {vm for vm, shown in _STATUS.items() if shown == wanted}
    if vm_states:
        return frozenset(vm_states), None
    task_states: set[str] = set()
    for vm_state, mapping in _BY_TASK.items():
        matching = {task for task, shown in mapping.items() if shown == wanted}
        if matching:
            vm_states.add(vm_state)
            task_states |= matching
    return frozenset(vm_states), frozenset(task_states)


@dataclass(frozen=True)
class Allowed:
    """When an operation is accepted: None stands for any state.

    `word` is what the 409 message calls the operation.
    """

    word: str
    vm_states: frozenset[str] | None
    task_states: frozenset[str | None] | None
    must_have_launched: bool = True
    lock_checked: bool = True


def _allowed(
    word: str,
    vm_states: str | None,
    task_states: tuple[str | None, ...] | None = (None,),
    *,
    launched: bool = True,
    locked: bool = True,
) -> Allowed:
    return Allowed(
        word,
        None if vm_states is None else frozenset(vm_states.split()),
        None if task_states is None else frozenset(task_states),
        launched,
        locked,
    )


# What is being done to an instance whose consoles go away under it, and what its 409 says.
NO_CONSOLE_DURING = frozenset(("deleting", "migrating"))
CONSOLE_WORD = "get_vnc_console"

_USABLE = "active paused stopped suspended"
_ATTACHABLE = "active paused resized soft-delete stopped"
ALLOWED: dict[str, Allowed] = {
    "start": _allowed("start", "stopped"),
    "stop": _allowed("stop", "active error"),
    "reboot": _allowed("reboot", "active"),
    "reboot_hard": _allowed(
        "reboot", "active error paused stopped suspended",
        (None, "pausing", "reboot_pending", "reboot_started", "rebooting", "rebooting_hard",
         "resuming", "suspending", "unpausing"),
    ),
    "pause": _allowed("pause", "active"),
    "unpause": _allowed("unpause", "paused"),
    "suspend": _allowed("suspend", "active"),
    "resume": _allowed("resume", "suspended"),
    "rescue": _allowed("rescue", "active error stopped"),
    "unrescue": _allowed("unrescue", "rescued"),
    "rebuild": _allowed("rebuild", "active error stopped"),
    "change_password": _allowed("changePassword", "active"),
    "trigger_crash_dump": _allowed("trigger_crash_dump", "active error paused rescued resized"),
    "lock": _allowed("lock", None, None, launched=False, locked=False),
    "unlock": _allowed("unlock", None, None, launched=False, locked=False),
    "reset_state": _allowed("resetState", None, None, launched=False, locked=False),
    "inject_network_info": _allowed("injectNetworkInfo", None, None, launched=False),
    "delete": _allowed("delete", None, None, launched=False),
    "force_delete": _allowed("forceDelete", None, None, launched=False),
    "restore": _allowed("restore", "soft-delete"),
    "resize": _allowed("resize", "active stopped"),
    "migrate": _allowed("migrate", "active stopped"),
    "confirm_resize": _allowed("confirmResize", "resized"),
    "revert_resize": _allowed("revertResize", "resized"),
    "live_migrate": _allowed("os-migrateLive", "active paused"),
    "live_migration_abort": _allowed("abort live migration", None, ("migrating",)),
    "live_migration_force_complete": _allowed("force_complete", "active", ("migrating",)),
    "evacuate": _allowed("evacuate", "active error stopped", None, locked=False),
    "shelve": _allowed("shelve", _USABLE),
    "shelve_offload": _allowed("shelveOffload", "shelved"),
    "unshelve": _allowed("unshelve", "shelved shelved_offloaded"),
    "create_image": _allowed("createImage", _USABLE, locked=False),
    "create_backup": _allowed("createBackup", _USABLE, locked=False),
    "add_fixed_ip": _allowed("addFixedIp", None, None, launched=False),
    "remove_fixed_ip": _allowed("removeFixedIp", None, None, launched=False),
    "attach_interface": _allowed("attach_interface", "active paused stopped"),
    "detach_interface": _allowed("detach_interface", "active paused stopped"),
    # Below microversion 2.20 shelved servers take no volume.
    "attach_volume": _allowed("attach_volume", f"{_ATTACHABLE} shelved shelved_offloaded"),
    "attach_volume_unshelved": _allowed("attach_volume", _ATTACHABLE),
    "detach_volume": _allowed("detach_volume", f"{_ATTACHABLE} shelved shelved_offloaded"),
    "detach_volume_unshelved": _allowed("detach_volume", _ATTACHABLE),
    "swap_volume": _allowed("swap_volume", "active paused resized"),
    # What the volume service asks for; the contract has no states for it.
    "extend_volume": _allowed("extend_volume", _ATTACHABLE, locked=False),
    "snapshot_volume": _allowed("volume_snapshot", _ATTACHABLE, locked=False),
    "create_share": _allowed("create share", "stopped", None, launched=False, locked=False),
    "delete_share": _allowed("delete share", "error stopped", None, launched=False, locked=False),
    "update_metadata": _allowed("update metadata", _USABLE, None),
    "delete_metadata": _allowed("delete metadata", _USABLE, None),
    "update_tags": _allowed("update tags", _USABLE, None, launched=False, locked=False),
    "update_tag": _allowed("update tag", _USABLE, None, launched=False, locked=False),
    "delete_tags": _allowed("delete tags", _USABLE, None, launched=False, locked=False),
    "delete_tag": _allowed("delete tag", _USABLE, None, launched=False, locked=False),
}  # fmt: skip
