# SPDX-License-Identifier: Apache-2.0
"""`deploy/up` to `deploy/down --purge`, as a user would type them, with fake hosts and a prefix."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from deploy.bringup.paths import REPOSITORY
from deploy.bringup.settings import DEFAULT_PORTS
from tests.functional.rabbitmq import free_ports, wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="deploy/up needs root"),
]


class Deployed:
    """A cloud of its own below a folder."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        ports = zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True)
        self.ports = [word for name, port in ports for word in ("--port", f"{name}={port}")]

    def run(self, command: str, *arguments: str, expect: int = 0) -> str:
        """One of the commands in `deploy/`; what it printed."""
        done = subprocess.run(
            [REPOSITORY / "deploy" / command, "--prefix", self.prefix, *arguments],
            env=os.environ | {"KILONOVA_VENV": sys.prefix},
            capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self) -> str:
        """Bring it up."""
        return self.run("up", "--driver", "fake", "--hosts", "2", *self.ports)

    def status(self, *, expect: int = 0) -> dict[str, Any]:
        """`status --json`."""
        found: dict[str, Any] = json.loads(self.run("status", "--json", expect=expect))
        return found


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    prefix = tmp_path_factory.mktemp("deploy") / "cloud"
    # other users, such as postgres, must be able to pass through
    for folder in (prefix.parent, *prefix.parent.parents):
        if folder.owner() == "root" and str(folder) not in ("/", "/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    cloud = Deployed(prefix)
    try:
        cloud.up()
        yield cloud
    finally:
        cloud.run("down", "--purge")
    assert not prefix.exists()


def test_everything_is_healthy_and_says_where_it_is(deployed: Deployed) -> None:
    status = deployed.status()

    daemons = {"api", "companion", "compute", "conductor", "metadata", "scheduler"}
    assert set(status["daemons"]) == daemons
    assert set(status["backends"]) == {"postgresql", "rabbitmq"}
    programs = [*status["daemons"].values(), *status["backends"].values()]
    assert all(program["healthy"] and program["pids"] for program in programs)
    assert set(status["endpoints"]) == {"identity", "compute", "image", "network"}
    assert Path(status["clouds_yaml"]).is_file()
    assert Path(status["openrc"]).is_file()
    assert Path(status["log_dir"]).is_dir()


def test_a_user_boots_a_server_with_what_the_cloud_offers(deployed: Deployed) -> None:
    config = openstack.config.OpenStackConfig(
        config_files=[deployed.status()["clouds_yaml"]], load_envvars=False
    )
    user = openstack.connection.Connection(config=config.get_one("kilonova"))

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
