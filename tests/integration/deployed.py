# SPDX-License-Identifier: Apache-2.0
"""A cloud brought up by `deploy/up` below a folder of its own, as a user would type it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openstack

from deploy.bringup.paths import REPOSITORY
from deploy.bringup.settings import DEFAULT_PORTS
from tests.ports import free_ports


class Deployed:
    """A cloud of its own below a folder."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
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


@contextmanager
def deployed(*options: str) -> Iterator[Deployed]:
    """A cloud, purged at the end.

    Not below pytest's folders: those are closed to other users, such as postgres, and closed again
    by every run that starts.
    """
    folder = Path(tempfile.mkdtemp(prefix="kn-up-", dir="/tmp"))
    folder.chmod(0o755)
    cloud = Deployed(folder / "cloud")
    try:
        cloud.up(*options)
        yield cloud
    finally:
        cloud.run("down", "--purge")
        left = list(folder.iterdir())
        shutil.rmtree(folder)
    assert left == []
