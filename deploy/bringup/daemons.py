# SPDX-License-Identifier: Apache-2.0
"""Our daemons: how each is run, in which order, and how it says that it can serve."""

import http.client
import json
from pathlib import Path

from deploy.bringup.configuration import Configuration
from deploy.bringup.paths import REPOSITORY, Paths
from deploy.bringup.program import Program, revision_of
from deploy.bringup.settings import Settings

# In this order: each finds what it asks at its start.
ORDER = (
    "companion", "conductor", "scheduler", "compute", "compute-lxc", "compute-fake",
    "api", "metadata", "console",
)  # fmt: skip
_OWN_FILE = {"companion": "companion", "conductor": "conductor"}
# With real guests: bridges and DHCP, disks and libvirt's socket, doors in the guests' network.
_ROOTS_WORK = ("companion", "compute", "compute-lxc", "metadata", "console")
_COMMON_CODE = REPOSITORY / "common"


class Daemons:
    """The daemons of one cloud."""

    def __init__(self, paths: Paths, settings: Settings, configuration: Configuration) -> None:
        self._paths, self._settings, self._configuration = paths, settings, configuration

    def names(self) -> list[str]:
        """Those that this cloud has, in the order of their start."""
        computes = set(map(self._settings.program_of, self._settings.drivers))
        return [name for name in ORDER if not name.startswith("compute") or name in computes]

    def config_files(self, name: str) -> list[Path]:
        """What the daemon reads; later files win."""
        own = _OWN_FILE.get(name)
        for driver in self._settings.drivers:
            if driver != "libvirt" and name == self._settings.program_of(driver):
                own = f"compute-{driver}"
        names = ["kilonova", *([own] if own else [])]
        return [self._configuration.file(each) for each in names]

    def needs_root(self, name: str) -> bool:
        """Whether it makes networks and guests; with a unit, it gets single rights instead."""
        return self._settings.has_guests and name in _ROOTS_WORK

    def program(self, name: str, user: str) -> Program:
        """How to run the daemon. New code or configuration means a restart."""
        package = name.partition("-")[0]
        files = self.config_files(name)
        options = [word for file in files for word in ("--config-file", str(file))]
        return Program(
            name=name,
            command=(str(self._paths.venv / "bin" / f"kilonova-{package}"), *options),
            log=str(self._paths.log / f"{name}.log"),
            user=user,
            environment={"PYTHONUNBUFFERED": "1"},
            revision=revision_of(
                *files, _COMMON_CODE, REPOSITORY / "services" / package,
                self._paths.state / "stamps" / "venv",
            ),
        )  # fmt: skip

    def health(self, name: str) -> str:
        """What is wrong with the daemon, by its own word; empty when it can serve."""
        return ask_health(self._health_port(name))

    def _health_port(self, name: str) -> int:
        if name == "metadata" and self._settings.has_guests:
            return self._settings.ports["metadata-health"]
        return self._settings.ports[name]


def ask_health(port: int, *, timeout_s: float = 4) -> str:
    """GET /healthz on a loopback port: empty for 200, else what is wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as refused:
        return f"does not answer: {refused}"
    finally:
        connection.close()
    if answer.status == 200:
        return ""
    try:
        problems = json.loads(body)["problems"]
        return "; ".join(f"{subject} {problem}" for subject, problem in problems.items())
    except (ValueError, LookupError, AttributeError):
        return f"answers with {answer.status}"
