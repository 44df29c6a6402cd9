# SPDX-License-Identifier: Apache-2.0
"""In which states a server takes which operations: what the contract's table says, each with each.

The servers are at rest. What is refused says so in the contract's words, and changes nothing.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.asked import ASKED
from tests.conformance.world import World

_FILE = Path(__file__).parent / "contract" / "states.json"
_VM_STATES = {
    "active": "ACTIVE", "stopped": "SHUTOFF", "paused": "PAUSED", "suspended": "SUSPENDED",
    "rescued": "RESCUE", "resized": "VERIFY_RESIZE", "error": "ERROR", "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED", "soft-delete": "SOFT_DELETED",
}  # fmt: skip
_ACTION = re.compile(r"^POST /servers/\{id\}/action (\S+)(?: \((SOFT|HARD)\))?$")
_OTHERS = {
    "POST|PUT /servers/{id}/metadata": ("POST", "/servers/{server_id}/metadata", None),
    "PUT /servers/{id}/tags": ("PUT", "/servers/{server_id}/tags", None),
    "POST /servers/{id}/os-interface": ("POST", "/servers/{server_id}/os-interface", None),
    "POST /servers/{id}/os-volume_attachments": (
        "POST", "/servers/{server_id}/os-volume_attachments", None),
    "POST /servers/{id}/shares": ("POST", "/servers/{server_id}/shares", None),
}  # fmt: skip
# Where the server is comes before what it does.
_LEFT_OUT = ("evacuate",)


class Pinned:
    """A world in which every server is the same one."""

    def __init__(self, world: World, server: str) -> None:
        self._world = world
        self.kept = server

    def server(self, status: str = "ACTIVE") -> str:
        return self.kept

    wired = stranded = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)


def _table() -> list[dict[str, Any]]:
    """Operations whose acceptance depends on the state."""
    found = json.loads(_FILE.read_text())["operations"]
    return [each for each in found if isinstance(each["vm_state"], list) and _key(each)]


def _key(entry: dict[str, Any]) -> tuple[str, str, str | None] | None:
    found = _ACTION.match(entry["operation"])
    if found is None:
        return _OTHERS.get(entry["operation"])
    return None if found[1] in _LEFT_OUT else ("POST", "/servers/{id}/action", found[1])


def _cases(*, accepted: bool) -> list[Any]:
    return [
        pytest.param(
            entry,
            vm_state,
            id=f"{entry['operation']} {vm_state}",
        )
        for entry in _table()
        for vm_state in _VM_STATES
        if (vm_state in entry["vm_state"]) is accepted
    ]


def _ask(world: World, entry: dict[str, Any], server: str) -> Any:
    method, path, action = key = _key(entry)
    url, body = ASKED[key](Pinned(world, server), 104)
    kind = _ACTION.match(entry["operation"])
    if kind and kind[2]:
        body = {"reboot": {"type": kind[2]}}
    return world.ask(method, url, body)


@pytest.fixture(scope="module")
def at_rest(world: World) -> dict[str, str]:
    """A server in each state, for operations that change nothing."""
    return {}


@pytest.mark.parametrize(("entry", "vm_state"), _cases(accepted=False))
def test_a_state_that_an_operation_is_not_for_refuses_it(world, at_rest, entry, vm_state):
    status = _VM_STATES[vm_state]
    if vm_state not in at_rest:
        at_rest[vm_state] = world.server(status)
    server = at_rest[vm_state]

    answer = _ask(world, entry, server)

    assert answer.status_code == 409, answer.text[:300]
    assert answer.json()["conflictingRequest"]["message"] == (
        f"Cannot '{entry['word_in_409']}' instance {server} while it is in vm_state {vm_state}"
    )
    assert world.must("GET", f"/servers/{server}")["server"]["status"] == status


@pytest.mark.parametrize(("entry", "vm_state"), _cases(accepted=True))
def test_a_state_that_an_operation_is_for_accepts_it(world, entry, vm_state):
    server = world.server(_VM_STATES[vm_state])

    answer = _ask(world, entry, server)

    assert answer.status_code < 300, answer.text[:300]
    world.at_rest(server)
