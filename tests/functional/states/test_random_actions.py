# SPDX-License-Identifier: Apache-2.0
"""Whatever is done to servers, in whatever order: states stay the contract's, the books add up,
and what was begun comes to an end."""

import functools
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
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

_STATES = json.loads((Path(contract.__path__[0]) / "states.json").read_text())
_MAP = _STATES["status"]["map"]
_PATIENCE_S = 60
_SERVERS = 3
_REQUESTS_A_LIFE = 250
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
    answers: Counter[int]
    failures: ClassVar[list[str]] = []
    done: ClassVar[list[str]] = []

    @initialize()
    def boot(self) -> None:
        self.reset: set[str] = set()
        self.servers = [self._create() for _ in range(_SERVERS)]

    def _create(self) -> str:
        body = {"name": self.world.name(), "flavorRef": "1", "imageRef": self.world.image,
                "networks": "none"}  # fmt: skip
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
        if action == {"rebuild": {"imageRef": ""}}:
            action = {"rebuild": {"imageRef": self.world.image}}
        path = f"/servers/{self.servers[which]}"
        answer = (
            self.world.ask("POST", f"{path}/action", action)
            if action
            else self.world.ask("DELETE", path)
        )
        self.answers[answer.status_code] += 1
        assert answer.status_code in (200, 202, 204, 400, 404, 409), (
            f"{action}: {answer.status_code} {answer.text}"
        )
        if action and "os-resetState" in action:
            self.reset.add(self.servers[which])
        if answer.status_code == 404:
            self.servers[which] = self._create()

    def settle(self) -> None:
        """Everything under way comes to an end, and then everything adds up."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.books.unfinished():
            assert time.monotonic() < deadline, self._shown()
            time.sleep(0.02)
        shown = self._shown()
        assert [s for s in shown if s["OS-EXT-STS:task_state"]] == []
        assert self.books.mistakes(reset=self.reset) == []
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


@pytest.mark.functional
def test_whatever_is_done_servers_end_at_rest_and_the_books_add_up(
    cloud: Cloud, pytestconfig: pytest.Config, say: Callable[[str], None]
):
    Servers.answers = Counter()
    Servers.world = World(cloud)
    Servers.books = Books(cloud)
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
    assert min(Servers.answers[202], Servers.answers[409]) > 50
