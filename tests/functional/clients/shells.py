# SPDX-License-Identifier: Apache-2.0
"""The command line clients, run from this process: starting one a command costs seconds."""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable
from typing import IO

import novaclient.shell
from openstackclient import shell as osc

from tests.functional.cloud import Cloud

_LONGEST_SLEEP_S = 0.1


class Failed(AssertionError):
    """A client said that its command failed."""


class Shells:
    """python-openstackclient and python-novaclient as one user."""

    def __init__(self, cloud: Cloud, user: str) -> None:
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("OS_")},
            "OS_AUTH_URL": f"http://127.0.0.1:{cloud.ports['companion']}/identity/v3",
            "OS_USERNAME": user,
            "OS_PASSWORD": cloud.passwords[user],
            "OS_PROJECT_NAME": user,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_IDENTITY_API_VERSION": "3",
        }

    def openstack(self, command: str, *, microversion: str = "2.104") -> str:
        """What `openstack` printed. Raises: Failed."""
        arguments = ["--os-compute-api-version", microversion, *shlex.split(command)]
        return self._run(f"openstack {command}", lambda: osc.OpenStackShell().run(arguments))

    def nova(self, command: str, *, microversion: str = "2.96") -> str:
        """What `nova` printed; 2.96 is the newest that it knows. Raises: Failed."""
        arguments = ["--os-compute-api-version", microversion, *shlex.split(command)]
        shell = novaclient.shell.OpenStackComputeShell
        return self._run(f"nova {command}", lambda: shell().main(arguments))

    def _run(self, what: str, command: Callable[[], int | None]) -> str:
        """Run it in a copy of this process: the clients remember things in their modules."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reader)
                with os.fdopen(writer, "w") as out:
                    code = self._speaking(command, out)
            finally:
                os._exit(code)
        os.close(writer)
        with os.fdopen(reader) as said:
            text = said.read()
        _, status = os.waitpid(child, 0)
        if status:
            raise Failed(f"{what}: {text}")
        return text

    def _speaking(self, command: Callable[[], int | None], out: IO[str]) -> int:
        os.environ.clear()
        os.environ.update(self._environment)
        sys.stdin = open(os.devnull)  # noqa: SIM115
        # With --wait they look every five seconds.
        time.sleep = lambda s, sleep=time.sleep: sleep(min(s, _LONGEST_SLEEP_S))  # type: ignore
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                return int(command() or 0)
            except SystemExit as ended:
                return int(ended.code or 0)
            except Exception as failed:
                print(type(failed).__name__, failed)
                return 1
