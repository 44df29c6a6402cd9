# SPDX-License-Identifier: Apache-2.0
"""Whatever is done to servers and their volumes, in whatever order: states stay the contract's, the
books add up, volume service and hosts agree with them, and what was begun comes to an end."""

import functools
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.conformance import contract
from tests.conformance.world import World
from tests.functional.cloud import Cloud
from tests.functional.states.books import Books
from tests.functional.states.storage import Storage

_STATES = json.loads((Path(contract.__path__[0]) / "states.json").read_text())
_MAP = _STATES["status"]["map"]
_PATIENCE_S = 60
_SERVERS, _VOLUMES = 3, 3
_CHANGES = ("attach", "detach", "end with it", "outlive it", "swap")
_TAKEN_ON, _REFUSED = (200, 202, 204), (400, 404, 409)
_REQUESTS_A_LIFE = 320
_ACTIONS: list[dict[str, Any]] = [
    {"os-start": None}, {"os-stop": None}, {"reboot": {"type": "SOFT"}},
    {"reboot": {"type": "HARD"}}, {"pause": None}, {"unpause": None}, {"suspend": None},
    {"resume": None}, {"rescue": None}, {"unrescue": None}, {"shelve": None},
    {"shelveOffload": None}, {"unshelve": None}, {"lock": None}, {"unlock": None},
    {"os-resetState": {"state": "active"}}, {"os-resetState": {"state": "error"}},
    {"resize": {"flavorRef": "2"}}, {"resize": {"flavorRef": "1"}}, {"confirmResize": None},
    {"revertResize": None}, {"migrate": None}, {"trigger_crash_dump": None},
    {"os-migrateLive": {"host": None, "block_migration": "auto"}},
    {"rebuild": {"imageRef": ""}}, {"createImage": {"name": "i"}}, {"forceDelete": None},
    {"createBackup": {"name": "b", "backup_type": "daily", "rotation": 1}},
    {"changePassword": {"adminPass": "p"}}, {"restore": None},
]  # fmt: skip

_ACTION = "POST /servers/{id}/action "
# What is legal in which vm_state, by the word in the body; what ends a server comes often enough.
_LEGAL_IN = {
    vm_state: {
        operation["operation"].removeprefix(_ACTION).split()[0]
        for operation in _STATES["operations"]
        if operation["operation"].startswith(_ACTION)
        and vm_state in (operation.get("vm_state") or ())
    }
    - {"forceDelete", "restore"}
    for vm_state in _STATES["vm_states"]
}


def noted(step: Callable[..., None]) -> Callable[..., None]:
    """Keeps the first failure of a step: processes do not repeat themselves, so replays may not."""

    @functools.wraps(step)
    def run(self: "Servers", *args: Any, **more: Any) -> None:
        self.done.append(f"{step.__name__} {more or args}")
        try:
            step(self, *args, **more)
        except Exception as failed:
            trail = "\n".join(self.done[-25:])
            self.failures.append(f"{type(failed).__name__}: {failed}\nafter\n{trail}")
            raise

    return run


class Servers(RuleBasedStateMachine):
    """A handful of servers and everything that can be asked of them."""

    world: World
    books: Books
    cloud: Cloud
    answers: Counter[int]
    taken_on: Counter[str]
    failures: ClassVar[list[str]] = []
    done: ClassVar[list[str]] = []

    @initialize()
    @noted
    def boot(self) -> None:
        self.reset: set[str] = set()
        self.storage = Storage(self.cloud, size=_VOLUMES)
        self.servers = [self._create(from_volume=number == 0) for number in range(_SERVERS)]

    def _create(self, *, from_volume: bool) -> str:
        body = {"name": self.world.name(), "flavorRef": "1", "networks": "none"}
        if from_volume:
            root = {"source_type": "image", "destination_type": "volume", "boot_index": 0,
                    "uuid": self.world.image, "volume_size": 1,
                    "delete_on_termination": True}  # fmt: skip
            body |= {"block_device_mapping_v2": [root]}
        else:
            body |= {"imageRef": self.world.image}
        made: str = self.world.must("POST", "/servers", {"server": body})["server"]["id"]
        return made

    @rule(
        which=st.integers(0, _SERVERS - 1),
        action=st.sampled_from([*_ACTIONS, None]),
        at_rest=st.booleans(),
    )
    @noted
    def act(self, which: int, action: dict[str, Any] | None, *, at_rest: bool) -> None:
        """Anything (None: delete), at any moment: it is taken on or refused, and nothing else."""
        if at_rest:
            self.settle()
        self._act(which, action)

    @rule(
        which=st.integers(0, _SERVERS - 1),
        number=st.integers(0, 999),
        volume=st.integers(0, _VOLUMES - 1),
        change=st.sampled_from(_CHANGES),
    )
    @noted
    def act_by_state(self, which: int, number: int, volume: int, change: str) -> None:
        """Something that the server's state allows: an action, or a change of its volumes."""
        self.settle()
        shown = self.world.ask("GET", f"/servers/{self.servers[which]}")
        vm_state = shown.json()["server"]["OS-EXT-STS:vm_state"] if shown.ok else "deleted"
        legal = [a for a in _ACTIONS if a.keys() <= _LEGAL_IN[vm_state]]
        kind, number = number % 3, number // 3
        if kind == 0:
            self._change_volumes(*self._with_owner(which, volume, change))
        else:
            self._act(which, legal[number % len(legal)] if legal else None)

    def _act(self, which: int, action: dict[str, Any] | None) -> None:
        if action == {"rebuild": {"imageRef": ""}}:
            action = {"rebuild": {"imageRef": self.world.image}}
        path = f"/servers/{self.servers[which]}"
        answer = (
            self.world.ask("POST", f"{path}/action", action)
            if action
            else self.world.ask("DELETE", path)
        )
        self._check(answer, next(iter(action)) if action else "delete")
        if action and "os-resetState" in action:
            self.reset.add(self.servers[which])
        if answer.status_code == 404:
            self.servers[which] = self._create(from_volume=which == 0)

    @rule(
        which=st.integers(0, _SERVERS - 1),
        volume=st.integers(0, _VOLUMES - 1),
        change=st.sampled_from(_CHANGES),
    )
    @noted
    def change_volumes(self, which: int, volume: int, change: str) -> None:
        """Anything that the Compute API does to a server's volumes, at any moment."""
        self._change_volumes(which, volume, change)

    def _with_owner(self, which: int, volume: int, change: str) -> tuple[int, int, str]:
        """The server that has the volume and what can be done to it there; else to attach it."""
        owners = {disk.volume_id: disk.instance for disk in self.books.disks()}
        owner = owners.get(self.storage.pool[volume])
        if owner not in self.servers:
            return which, volume, "attach"
        return self.servers.index(owner), volume, "detach" if change == "attach" else change

    def _change_volumes(self, which: int, volume: int, change: str) -> None:
        chosen = self.storage.pool[volume]
        path = f"/servers/{self.servers[which]}/os-volume_attachments"
        wish: dict[str, Any] = {"volumeId": chosen}
        if change == "attach":
            answer = self.world.ask("POST", path, {"volumeAttachment": wish}, version=100)
        elif change == "detach":
            answer = self.world.ask("DELETE", f"{path}/{chosen}")
        elif change == "swap":
            wish["volumeId"] = self.storage.pool[volume - 1]
            self.storage.act(chosen, {"os-reset_status": {"migration_status": "migrating"}})
            answer = self.world.ask("PUT", f"{path}/{chosen}", {"volumeAttachment": wish})
        else:
            wish["delete_on_termination"] = change == "end with it"
            self.storage.spared.add(chosen)
            answer = self.world.ask("PUT", f"{path}/{chosen}", {"volumeAttachment": wish})
        self._check(answer, change)
        self.storage.replace_gone()

    @rule(volume=st.integers(0, _VOLUMES - 1), delete=st.booleans(), at_rest=st.booleans())
    @noted
    def ask_volume_service(self, volume: int, *, delete: bool, at_rest: bool) -> None:
        """A volume grows, or is deleted where no server has it."""
        if at_rest:
            self.settle()
        chosen = self.storage.pool[volume]
        held = any(disk.volume_id == chosen for disk in self.books.disks()) if at_rest else None
        if not delete:
            self.storage.grow(chosen)
            return
        answer = self.storage.delete(chosen)
        assert answer.status_code in _TAKEN_ON + _REFUSED, answer.text
        assert not (held and answer.ok), f"{chosen} was deleted, and a server has it"
        self.storage.replace_gone()

    def _check(self, answer: requests.Response, what: str) -> None:
        self.answers[answer.status_code] += 1
        if answer.ok:
            self.taken_on[what] += 1
        assert answer.status_code in _TAKEN_ON + _REFUSED, (
            f"{what}: {answer.status_code} {answer.text}"
        )

    def settle(self) -> None:
        """Everything under way comes to an end, and then everything adds up."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.books.unfinished():
            assert time.monotonic() < deadline, self._shown()
            time.sleep(0.02)
        shown = self._shown()
        assert [s for s in shown if s["OS-EXT-STS:task_state"]] == []
        assert self.books.mistakes(reset=self.reset) == []
        assert self.storage.mistakes(self.books.disks()) == []
        used = self.world.must("GET", "/limits")["limits"]["absolute"]
        assert used["totalInstancesUsed"] == len(shown)
        assert used["totalCoresUsed"] == sum(s["flavor"]["vcpus"] for s in shown)
        assert used["totalRAMUsed"] == sum(s["flavor"]["ram"] for s in shown)

    @invariant()
    @noted
    def statuses_are_the_contracts(self) -> None:
        for server in self._shown():
            of_vm = _MAP[server["OS-EXT-STS:vm_state"]]
            wanted = of_vm.get(server["OS-EXT-STS:task_state"] or "default", of_vm["default"])
            assert server["status"] == wanted

    def _shown(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.world.must("GET", "/servers/detail")["servers"]
        return found

    @noted
    def teardown(self) -> None:
        """Settle, then leave nothing to the next run."""
        self.settle()
        for server in self._shown():
            self.world.ask("POST", f"/servers/{server['id']}/action", {"unlock": None})
            answer = self.world.ask("POST", f"/servers/{server['id']}/action",
                                    {"forceDelete": None})  # fmt: skip
            assert answer.status_code in (202, 404), answer.text
        self.settle()
        assert self._shown() == []
        self.storage.clear()


@pytest.mark.functional
def test_whatever_is_done_servers_end_at_rest_and_the_books_add_up(
    cloud: Cloud, pytestconfig: pytest.Config, say: Callable[[str], None]
):
    Servers.answers, Servers.taken_on = Counter(), Counter()
    Servers.world = World(cloud)
    Servers.books = Books(cloud)
    Servers.cloud = cloud
    try:
        lives = pytestconfig.getoption("--fuzz") // _REQUESTS_A_LIFE
        run_state_machine_as_test(
            Servers,
            settings=settings(
                max_examples=lives, stateful_step_count=60, deadline=None, database=None,
                derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
    except Exception as failed:
        raise AssertionError("\n".join(Servers.failures[:1]) or str(failed)) from failed
    finally:
        Servers.books.close()
        say(f"states: actions were answered with {dict(Servers.answers)}")
        say(f"states: taken on were {dict(Servers.taken_on)}")
    assert min(Servers.answers[202], Servers.answers[409]) > 20
    assert Servers.taken_on["attach"]
    assert Servers.taken_on["detach"]
