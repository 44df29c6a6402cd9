# SPDX-License-Identifier: Apache-2.0
"""A served companion: the daemon's own process on a free port, with stock clients talking to it."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from oslo_config import cfg

from common.clients.session import ServiceSession
from common.config import service_user
from tests.ports import free_ports

PASSWORDS = {"admin": "admin-pw", "service": "service-pw", "demo": "demo-pw"}


@dataclass
class Served:
    """A companion and its configuration; the process comes and goes."""

    folder: Path
    port: int
    process: subprocess.Popen | None = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def auth_url(self):
        return f"{self.url}/identity/v3"

    def command(self, *words):
        return [sys.executable, "-m", "services.companion.daemon", *words,
                "--config-file", str(self.folder / "kilonova.conf")]  # fmt: skip

    def configure(self, **options):
        lines = [f"{name} = {value}" for name, value in {
            "port": self.port, "public_url": self.url, "data_path": self.folder / "data",
            "run_path": self.folder / "run", "data_plane": "false", "password_cost": 4,
            **{f"{name}_password": word for name, word in PASSWORDS.items()}, **options,
        }.items()]  # fmt: skip
        body = "\n".join(["[companion]", *lines, ""])
        (self.folder / "kilonova.conf").write_text(body)

    def bootstrap(self, **environ):
        return subprocess.run(
            self.command("bootstrap"), capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, **environ},
        )  # fmt: skip

    def start(self):
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(self.command("serve"), stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)
        raise AssertionError("the companion did not come up")

    def stop(self, number=signal.SIGTERM):
        """End the process; its exit code. The whole group, when it is killed."""
        process, self.process = self.process, None
        children = _children(process.pid)
        process.send_signal(number)
        if number == signal.SIGKILL:
            for child in children:
                os.kill(child, number)
        return process.wait(30)


def _children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("companion"), free_ports(1)[0])
    made.configure()
    assert made.bootstrap().returncode == 0
    made.start()
    yield made
    if made.process is not None:
        made.stop()


@pytest.fixture
def connect(served):
    """Connections of openstacksdk, by user and project."""
    import openstack

    made = []

    def connection(user="admin", project="admin", **more):
        password = {"kilonova": "service-pw"}.get(user, f"{user}-pw")
        made.append(openstack.connection.Connection(
            auth={"auth_url": served.auth_url, "username": user, "password": password,
                  "project_name": project, "user_domain_id": "default",
                  "project_domain_id": "default", **more},
            region_name="RegionOne", identity_api_version="3",
        ))  # fmt: skip
        return made[-1]

    yield connection
    for conn in made:
        conn.close()


@pytest.fixture(scope="module")
def session(served, tmp_path_factory):
    """kilonova's own credentials there, as its clients take them."""
    lines = [
        "[service_user]", "auth_type = password", f"auth_url = {served.auth_url}",
        "username = kilonova", f"password = {PASSWORDS['service']}", "project_name = service",
        "user_domain_name = Default", "project_domain_name = Default", "interface = public",
    ]  # fmt: skip
    file = tmp_path_factory.mktemp("client") / "kilonova.conf"
    file.write_text("\n".join(lines) + "\n")
    conf = cfg.ConfigOpts()
    conf.register_opts(service_user.OPTS, service_user.GROUP)
    conf([], default_config_files=[str(file)])
    return ServiceSession(conf)
