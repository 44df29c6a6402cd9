# SPDX-License-Identifier: Apache-2.0
"""A whole cloud of real processes for tests: every daemon, the fake driver, no data plane.

It runs on the private PostgreSQL and RabbitMQ of `tests.functional.postgres` and `.rabbitmq`, in a
temporary folder, on free loopback ports. Daemons are started, killed and started again by name.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from tests import ours
from tests.functional.rabbitmq import wait_until
from tests.ports import free_ports
from tests.waiting import Looking

__all__ = ["cloud", "make_cloud"]

DAEMONS = ("companion", "conductor", "scheduler", "compute", "api", "metadata", "console")
_PORTS = (
    "api", "metadata", "companion", "conductor", "scheduler", "compute", "console",
    "vnc-console", "spice-console", "serial-console",
)  # fmt: skip
_BIN = Path(sys.executable).parent


class Cloud:
    """The daemons of one cloud and how to reach them."""

    def __init__(
        self, *, database_url: str, transport_url: str, hosts: int = 3, options: str = ""
    ) -> None:
        self.folder = ours.folder("cloud")
        self.ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.passwords = {name: secrets.token_hex(8) for name in ("admin", "service", "demo")}
        self.control_file = self.folder / "faults.json"
        self.guests_file = self.folder / "guests"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.database_url = database_url
        self._write_config(database_url, transport_url, hosts, options)

    # --- configuration ---

    def _write_config(self, database_url: str, transport_url: str, hosts: int, more: str) -> None:
        ports, identity = self.ports, f"http://127.0.0.1:{self.ports['companion']}/identity"
        credentials = f"""
            auth_type = password
            auth_url = {identity}/v3
            username = kilonova
            password = {self.passwords["service"]}
            project_name = service
            user_domain_name = Default
            project_domain_name = Default"""
        text = f"""
            [DEFAULT]
            host = node
            state_path = {self.folder}/state
            log_dir = {self.folder}/log
            transport_url = {transport_url}
            heartbeat_interval_s = 2
            debug = false
            [oslo_messaging_rabbit]
            kombu_reconnect_delay = 0.2
            rabbit_retry_interval = 1
            [keystone_authtoken]
            www_authenticate_uri = {identity}
            {credentials}
            [service_user]
            {credentials}
            timeout_s = 5
            [database]
            connection = {database_url}
            connect_timeout_s = 2
            [api]
            port = {ports["api"]}
            [metadata]
            port = {ports["metadata"]}
            [conductor]
            health_port = {ports["conductor"]}
            lease_s = 3
            sweep_interval_s = 1
            chores_interval_s = 2
            resend_after_s = 1
            host_down_after_s = 8
            build_timeout_s = 30
            operation_timeout_s = 15
            power_off_grace_s = 1
            [scheduler]
            health_port = {ports["scheduler"]}
            [compute]
            driver = fake
            health_port = {ports["compute"]}
            pending_interval_s = 1
            [console]
            health_port = {ports["console"]}
            [vnc]
            novncproxy_port = {ports["vnc-console"]}
            novncproxy_base_url = http://127.0.0.1:{ports["vnc-console"]}/vnc_lite.html
            [spice]
            enabled = true
            html5proxy_port = {ports["spice-console"]}
            html5proxy_base_url = http://127.0.0.1:{ports["spice-console"]}/spice_auto.html
            [serial_console]
            enabled = true
            serialproxy_port = {ports["serial-console"]}
            base_url = ws://127.0.0.1:{ports["serial-console"]}/
            [fake]
            hosts = {hosts}
            host_prefix = fake
            control_file = {self.control_file}
            state_file = {self.guests_file}
            [companion]
            port = {ports["companion"]}
            data_path = {self.folder}/companion
            data_plane = false
            admin_password = {self.passwords["admin"]}
            service_password = {self.passwords["service"]}
            demo_password = {self.passwords["demo"]}
            public_url = http://127.0.0.1:{ports["companion"]}
            compute_url = http://127.0.0.1:{ports["api"]}/v2.1
            quota_volumes = -1
            quota_gigabytes = -1
            quota_snapshots = -1
            [quota]
            instances = 10000
            cores = 10000
            ram = -1
            server_groups = 10000
            server_group_members = 10000
        """
        lines = [line.strip() for line in (text + more).splitlines()]
        self.config_file = self.folder / "kilonova.conf"
        self.config_file.write_text("\n".join(line for line in lines if line) + "\n")
        (self.folder / "log").mkdir()
        (self.folder / "state").mkdir()

    # --- daemons ---

    def start(self, *names: str, wait: bool = True) -> None:
        """Start these daemons (none named: all), and wait until each says that it can serve."""
        for name in names or DAEMONS:
            if name == "companion" and not (self.folder / "companion").exists():
                self.run("kilonova-companion", "bootstrap")
            out = (self.folder / "log" / f"{name}.out").open("ab")
            self._running[name] = subprocess.Popen(
                [_BIN / f"kilonova-{name}", "--config-file", self.config_file],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
            out.close()
            # The others call the conductor as soon as they are there.
            if wait and name in ("companion", "conductor"):
                self._wait_healthy(name)
        for name in (names or DAEMONS) if wait else ():
            self._wait_healthy(name)

    def _wait_healthy(self, name: str) -> None:
        wait_until(
            lambda: self.healthy(name) or self.has_died(name), f"{name} is healthy", timeout_s=40
        )
        assert not self.has_died(name), f"{name} died:\n{self.logs()}"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of our commands to its end; what it printed."""
        command = [_BIN / program, *arguments, "--config-file", self.config_file]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self, name: str) -> int:
        """Stop a daemon as systemd would; its exit code."""
        process = self._running.pop(name)
        process.terminate()
        return process.wait(timeout=40)

    def kill(self, name: str) -> None:
        """Kill a daemon and its workers at once."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def has_died(self, name: str) -> bool:
        """Whether the daemon ended by itself (a crash point, for instance)."""
        return self._running[name].poll() is not None

    def reap(self, name: str) -> int:
        """Forget a daemon that ended by itself; its exit code."""
        return self._running.pop(name).wait(timeout=30)

    def pid(self, name: str) -> int:
        """The process id of a daemon (of the master where it has workers)."""
        return self._running[name].pid

    def pids(self, name: str) -> list[int]:
        """Every process of a daemon."""
        pid = self.pid(name)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def healthy(self, name: str) -> bool:
        """What GET /healthz of the daemon says."""
        try:
            url = f"http://127.0.0.1:{self.ports[name]}/healthz"
            with urllib.request.urlopen(url, timeout=3) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def remove(self) -> None:
        """Stop everything and delete the folder."""
        for name in list(self._running):
            self.kill(name)
        if not os.environ.get("KILONOVA_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- what the fake hosts have ---

    def guests(self) -> dict[tuple[str, str], int]:
        """Power states of what fake hosts have or had, by host and name; 0 for what is gone."""
        return {
            (host, name): int(words[0]) for host, name, *words in self._log() if len(words) == 1
        }

    def guests_volumes(self) -> dict[tuple[str, str], set[str]]:
        """Volumes of the guests that fake hosts have, by host and instance."""
        return self._things_of_guests("volumes")

    def guests_shares(self) -> dict[tuple[str, str], set[str]]:
        """Shares of the guests that fake hosts have, by host and instance."""
        return self._things_of_guests("shares")

    def _things_of_guests(self, kind: str) -> dict[tuple[str, str], set[str]]:
        there: dict[tuple[str, str], set[str]] = {}
        for host, name, *words in self._log():
            if words[:1] == [kind]:
                there[host, name] = set(words[1].split(",")) - {"-"}
            elif words == ["0"]:
                there.pop((host, name), None)
        return there

    def _log(self) -> list[list[str]]:
        return [line.split() for line in self.guests_file.read_text().splitlines()]

    # --- the user's side ---

    @property
    def compute_url(self) -> str:
        """Root of the Compute API."""
        return f"http://127.0.0.1:{self.ports['api']}"

    def connect(
        self, user: str = "demo", *, project: str | None = None, **more: Any
    ) -> openstack.connection.Connection:
        """The stock SDK as `demo` (member of demo) or `admin`; a project is named as its user."""
        return openstack.connect(
            auth={
                "auth_url": f"http://127.0.0.1:{self.ports['companion']}/identity/v3",
                "username": user,
                "password": self.passwords[user],
                "project_name": project or user,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            region_name="RegionOne",
            load_yaml_config=False,
            load_envvars=False,
            **more,
        )

    def add_user(self, name: str, role: str, *, project: str) -> None:
        """A user with `role` in `project`, which is made when it is missing."""
        identity = self.connect("admin").identity
        target = identity.find_project(project) or identity.create_project(
            name=project, domain_id="default"
        )
        self.passwords[name] = secrets.token_hex(8)
        user = identity.create_user(name=name, password=self.passwords[name], domain_id="default")
        found = identity.find_role(role, ignore_missing=False)
        identity.assign_project_role_to_user(target, user, found)

    def faults(self, *, faults: list[str] = (), delays_ms: dict[str, int] | None = None) -> None:
        """Make the fake driver fail or dawdle from now on."""
        fresh = self.control_file.with_suffix(".new")
        fresh.write_text(json.dumps({"faults": list(faults), "delays_ms": delays_ms or {}}))
        fresh.rename(self.control_file)

    def seed(self) -> None:
        """A flavor, an image, a network and a volume type, as `deploy/up` would make them."""
        admin = self.connect("admin")
        admin.compute.create_flavor(name="tiny", ram=64, vcpus=1, disk=1, id="1")
        admin.image.create_image(
            name="guest", data=b"\0" * 4096, disk_format="raw", container_format="bare",
            visibility="public", wait=True, validate_checksum=False,
        )  # fmt: skip
        network = admin.network.create_network(name="private", shared=True)
        admin.network.create_subnet(
            network_id=network.id, ip_version=4, cidr="10.20.0.0/16", name="private"
        )
        admin.block_storage.create_type(
            name="multiattach", extra_specs={"multiattach": "<is> True"}
        )

    def logs(self) -> str:
        """Warnings and errors of every daemon, for a failing test's message."""
        found = []
        for file in sorted((self.folder / "log").iterdir()):
            lines = file.read_text(errors="replace").splitlines()
            found += [f"{file.name}: {line}" for line in lines if " INFO " not in line][-20:]
        return "\n".join(found)


def wait_for_status(
    connection: openstack.connection.Connection, server: str, *wanted: str, timeout_s: float = 30
) -> Any:
    """The server once its status is one of `wanted`; fails when it is not in time."""
    deadline, looking = time.monotonic() + timeout_s, Looking()
    while True:
        found = connection.compute.get_server(server)
        if found.status in wanted and found.task_state is None:
            return found
        assert time.monotonic() < deadline, (
            f"{found.status} {found.task_state} {found.fault}, not {wanted}"
        )
        looking.pause()


@pytest.fixture(scope="session")
def make_cloud(new_database: Callable[[], str], new_vhost: Callable[[], str]) -> Iterator[Any]:
    """Makes clouds that are gone with the test run."""
    made: list[Cloud] = []

    def make(**options: Any) -> Cloud:
        fresh = Cloud(database_url=new_database(), transport_url=new_vhost(), **options)
        made.append(fresh)
        return fresh

    yield make
    for each in made:
        each.remove()


@pytest.fixture(scope="module")
def cloud(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:
    """A running, seeded cloud of three fake hosts for the tests of a module."""
    made = make_cloud()
    try:
        made.start()
        made.seed()
        yield made
    finally:
        made.remove()
