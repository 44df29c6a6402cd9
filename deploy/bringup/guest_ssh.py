# SPDX-License-Identifier: Apache-2.0
"""`deploy/ssh SERVER`: a shell in a guest, through the network namespace that guests live in."""

import json
import os
from collections.abc import Sequence

from deploy.bringup.cloud import Cloud
from deploy.bringup.commands import run
from deploy.bringup.failures import Failed


def ssh(cloud: Cloud, server: str, arguments: Sequence[str]) -> None:
    """Become ssh to the server's first address. Raises: Failed."""
    environment = os.environ | {
        "OS_CLIENT_CONFIG_FILE": str(cloud.paths.clouds_yaml),
        "OS_CLOUD": os.environ.get("OS_CLOUD", "kilonova"),
    }
    shown = run(
        cloud.paths.venv / "bin" / "openstack", "server", "show", server, "-f", "json",
        "-c", "addresses", env=environment,
    )  # fmt: skip
    networks = json.loads(shown)["addresses"]
    found = [address for addresses in networks.values() for address in addresses]
    if not found:
        raise Failed(f"{server} has no address")
    namespace = cloud.settings.namespace
    enter = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    command = [
        *enter, "ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "LogLevel=ERROR", f"root@{found[0]}", *arguments,
    ]  # fmt: skip
    os.execvp(command[0], command)
