# SPDX-License-Identifier: Apache-2.0
"""`deploy/up` to `deploy/down --purge`, as a user would type them, with fake hosts and a prefix."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bringup.paths import REPOSITORY
from tests.functional.rabbitmq import wait_until
from tests.integration.deployed import Deployed, deployed

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="deploy/up needs root"),
]


@pytest.fixture(scope="module", name="deployed")
def _deployed() -> Iterator[Deployed]:
    with deployed() as cloud:
        yield cloud


def test_everything_is_healthy_and_says_where_it_is(deployed: Deployed) -> None:
    status = deployed.status()

    daemons = {"api", "companion", "compute", "conductor", "console", "metadata", "scheduler"}
    assert set(status["daemons"]) == daemons
    assert set(status["backends"]) == {"postgresql", "rabbitmq"}
    programs = [*status["daemons"].values(), *status["backends"].values()]
    assert all(program["healthy"] and program["pids"] for program in programs)
    services = {"identity", "compute", "image", "network", "volume", "share"}
    assert set(status["endpoints"]) == services
    assert Path(status["clouds_yaml"]).is_file()
    assert Path(status["openrc"]).is_file()
    assert Path(status["log_dir"]).is_dir()


def test_a_user_boots_a_server_with_what_the_cloud_offers(deployed: Deployed) -> None:
    user = deployed.connect()

    server = user.create_server(
        "first", flavor="m1.nano", image="guest", network="private", wait=True, timeout=60
    )

    assert server.status == "ACTIVE"
    user.delete_server("first", wait=True)


def test_a_second_up_keeps_every_process(deployed: Deployed) -> None:
    before = {name: d["pids"][0] for name, d in deployed.status()["daemons"].items()}
    started = time.monotonic()

    deployed.up()

    assert {name: d["pids"][0] for name, d in deployed.status()["daemons"].items()} == before
    assert time.monotonic() - started < 30


def test_a_killed_daemon_comes_back_by_itself(deployed: Deployed) -> None:
    pid = deployed.status()["daemons"]["scheduler"]["pids"][0]

    os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        scheduler = json.loads(_status(deployed))["daemons"]["scheduler"]
        return bool(scheduler["healthy"] and scheduler["pids"][0] != pid)

    wait_until(is_back, "the scheduler is back")


def _status(deployed: Deployed) -> str:
    command = [REPOSITORY / "deploy" / "status", "--prefix", deployed.prefix, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def test_a_cloud_that_was_stopped_comes_up_again(deployed: Deployed) -> None:
    deployed.run("down")
    assert not any(program["pids"] for program in deployed.status(expect=1)["backends"].values())

    deployed.up()

    assert deployed.status()["daemons"]["api"]["healthy"]


def test_status_of_no_cloud_says_how_to_make_one(tmp_path: Path) -> None:
    said = Deployed(tmp_path / "none").run("status", expect=1)

    assert "deploy/up" in said
