# SPDX-License-Identifier: Apache-2.0
"""A cloud brought up by `deploy/up` below a folder of its own, as a user would type it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openstack

from deploy.bringup.paths import REPOSITORY, Paths
from deploy.bringup.settings import DEFAULT_PORTS
from tests import ours
from tests.functional.rabbitmq import wait_until
from tests.ports import free_ports

# What was detached and deleted is gone a moment later.
_GONE_WITHIN_S = 30.0


class Deployed:
    """A cloud of its own below a folder."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self._servers: list[str] = []
        ours.note(Paths.below(str(prefix)).tag)
        ports = zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True)
        self.ports = [word for name, port in ports for word in ("--port", f"{name}={port}")]

    def connect(self, user: str = "kilonova") -> openstack.connection.Connection:
        """The stock SDK by the cloud's own clouds.yaml."""
        config = openstack.config.OpenStackConfig(
            config_files=[self.status()["clouds_yaml"]], load_envvars=False
        )
        return openstack.connection.Connection(config=config.get_one(user))

    def run(self, command: str, *arguments: str, expect: int = 0) -> str:
        """One of the commands in `deploy/`; what it printed."""
        done = subprocess.run(
            [REPOSITORY / "deploy" / command, "--prefix", self.prefix, *arguments],
            env=os.environ | {"KILONOVA_VENV": sys.prefix},
            capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self, *options: str) -> str:
        """Bring it up, with two fake hosts unless `options` say otherwise."""
        # a test leaves the machine's own network alone
        return self.run(
            "up", "--no-uplink", *(options or ("--driver", "fake", "--hosts", "2")), *self.ports
        )

    def status(self, *, expect: int = 0) -> dict[str, Any]:
        """`status --json`."""
        found: dict[str, Any] = json.loads(self.run("status", "--json", expect=expect))
        return found

    def delete_servers(self) -> None:
        """Delete every server, in whatever state tests left it, and wait until it is gone."""
        compute = self.connect("kilonova-admin").compute
        for server in compute.servers(details=False, all_projects=True):
            self._servers.append(server.id)
            compute.delete_server(server, force=True)
        wait_until(
            lambda: not list(compute.servers(details=False, all_projects=True)),
            "every server is deleted", timeout_s=120,
        )  # fmt: skip

    def leftovers(self) -> list[str]:
        """What there still is of servers, once all of them are deleted; a line each."""
        admin, paths = self.connect("kilonova-admin"), Paths.below(str(self.prefix))
        found = [
            f"port {port.id} of {port.device_id}"
            for port in admin.network.ports()
            if port.device_owner.startswith("compute:")
        ]
        found += [
            f"volume {volume.id}, attached to {volume.attachments}"
            for volume in admin.block_storage.volumes(all_projects=True)
            if volume.attachments
        ]
        # libvirt's own log of a QEMU process stays, as libvirt means it to
        files = (path for server in self._servers for path in paths.state.rglob(f"*{server}*"))
        found += [f"file {path}" for path in files if path.suffix != ".log"]
        uri = f"qemu+unix:///system?socket={paths.run}/libvirt/libvirt-sock"
        found += [f"domain {n}" for n in _run("virsh", "-c", uri, "list", "--all", "--name")]
        links = _run("ip", "-n", paths.tag, "-br", "link")
        return found + [f"device {word}" for word in links if word.startswith("tap")]


def _run(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.split()


def _wait_until_nothing_is_left(cloud: Deployed) -> None:
    deadline = time.monotonic() + _GONE_WITHIN_S
    while (left := cloud.leftovers()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left, f"left of deleted servers: {left}"


@contextmanager
def deployed(*options: str) -> Iterator[Deployed]:
    """A cloud, purged at the end.

    Not below pytest's folders: those are closed to other users, such as postgres, and closed again
    by every run that starts. And of a short name, which containers need.
    """
    folder = ours.folder("u")
    folder.chmod(0o755)
    cloud = Deployed(folder / "c")
    try:
        cloud.up(*options)
        yield cloud
        if "libvirt" in options:
            cloud.delete_servers()
            _wait_until_nothing_is_left(cloud)
    finally:
        cloud.run("down", "--purge")
        left = list(folder.iterdir())
        shutil.rmtree(folder)
    assert left == []
