# SPDX-License-Identifier: Apache-2.0
"""States and what they allow, against the contract's data."""

import json
from pathlib import Path

import pytest

from common.states import (
    ALLOWED,
    CONSOLE_WORD,
    NO_CONSOLE_DURING,
    TaskState,
    VmState,
    api_status,
)

_DATA = json.loads(
    (Path(__file__).parents[2] / "conformance" / "contract" / "states.json").read_text()
)
# Operations whose acceptance is not decided by a row of the table.
_ELSEWHERE = {
    "POST /servers/{id}/action os-getConsoleOutput",
    "POST /servers/{id}/remote-consoles",
    "GET /servers/{id}/diagnostics",
}
_BY_OPERATION = {
    "DELETE /servers/{id}": "delete",
    "POST /servers/{id}/os-interface": "attach_interface",
    "DELETE /servers/{id}/os-interface/{port}": "detach_interface",
    "POST /servers/{id}/os-volume_attachments": "attach_volume",
    "DELETE /servers/{id}/os-volume_attachments/{volume}": "detach_volume",
    "PUT /servers/{id}/os-volume_attachments/{volume} (swap)": "swap_volume",
    "POST|PUT /servers/{id}/metadata": "update_metadata",
    "DELETE /servers/{id}/metadata/{key}": "delete_metadata",
    "DELETE /servers/{id}/migrations/{migration}": "live_migration_abort",
    "POST /servers/{id}/migrations/{migration}/action force_complete":
        "live_migration_force_complete",
    "PUT /servers/{id}/tags": "update_tags",
    "PUT /servers/{id}/tags/{tag}": "update_tag",
    "DELETE /servers/{id}/tags": "delete_tags",
    "DELETE /servers/{id}/tags/{tag}": "delete_tag",
    "POST /servers/{id}/shares": "create_share",
    "DELETE /servers/{id}/shares/{share}": "delete_share",
}  # fmt: skip
_BY_ACTION = {
    "os-start": "start", "os-stop": "stop", "reboot (SOFT)": "reboot",
    "reboot (HARD)": "reboot_hard", "confirmResize": "confirm_resize",
    "revertResize": "revert_resize", "os-migrateLive": "live_migrate",
    "shelveOffload": "shelve_offload", "createImage": "create_image",
    "createBackup": "create_backup", "changePassword": "change_password",
    "forceDelete": "force_delete", "os-resetState": "reset_state",
    "injectNetworkInfo": "inject_network_info", "addFixedIp": "add_fixed_ip",
    "removeFixedIp": "remove_fixed_ip",
}  # fmt: skip
_ROWS = [row for row in _DATA["operations"] if row["operation"] not in _ELSEWHERE]


def _key(operation):
    if operation in _BY_OPERATION:
        return _BY_OPERATION[operation]
    action = operation.removeprefix("POST /servers/{id}/action ")
    return _BY_ACTION.get(action, action)


def _states(value):
    return frozenset(value) if isinstance(value, list) else None


def test_every_state_of_the_contract_has_a_name():
    assert {str(state) for state in VmState} == set(_DATA["vm_states"])
    assert {str(state) for state in TaskState} == set(_DATA["task_states"]) - {None}


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["operation"])
def test_an_operation_is_allowed_in_the_contracts_states(row):
    allowed = ALLOWED[_key(row["operation"])]

    assert allowed.vm_states == _states(row["vm_state"])
    assert allowed.task_states == _states(row["task_state"])
    assert allowed.lock_checked == row["lock_checked"]
    assert allowed.must_have_launched == row.get("must_have_launched", False)
    assert allowed.word == row.get("word_in_409", allowed.word)


def test_the_table_has_nothing_that_the_contract_lacks():
    known = {_key(row["operation"]) for row in _ROWS}
    assert ALLOWED.keys() - known == {
        "attach_volume_unshelved", "detach_volume_unshelved", "extend_volume", "snapshot_volume",
    }  # fmt: skip


def test_consoles_are_refused_in_the_contracts_states():
    row = next(r for r in _DATA["operations"] if r["operation"].endswith("/remote-consoles"))

    assert set(row["rejected"]["task_state"]) == NO_CONSOLE_DURING
    assert row["word_in_409"] == CONSOLE_WORD


@pytest.mark.parametrize("vm_state", _DATA["status"]["map"])
def test_states_show_as_the_contracts_status(vm_state):
    mapping = _DATA["status"]["map"][vm_state]
    for task_state in _DATA["task_states"]:
        assert api_status(vm_state, task_state) == mapping.get(task_state, mapping["default"])
