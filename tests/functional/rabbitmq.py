# SPDX-License-Identifier: Apache-2.0
"""A private RabbitMQ for tests: one node a process of the run, one virtual host a module.

It is started for the first test that asks. Node, distribution and name service listen on loopback
ports of their own, so runs side by side never meet. Who stops it leaves it running for the tests
that follow: `away`.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import ours
from tests.ports import free_ports
from tests.waiting import Looking

__all__ = ["new_vhost", "rabbitmq", "transport_url"]

_SBIN = Path("/usr/lib/rabbitmq/bin")
# Each call of rabbitmqctl starts an Erlang machine, which takes longer than what it asks for.
_VHOSTS_AT_ONCE = 8
_MAKE_VHOSTS = """
    [begin
        ok = rabbit_vhost:add(Name, <<"tests">>),
        ok = rabbit_auth_backend_internal:set_permissions(
            <<"guest">>, Name, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)
    end || Name <- [%s]].
"""


class RabbitMq:
    """A node in a temporary folder, run by `rabbitmq` where we are root."""

    def __init__(self) -> None:
        if not _SBIN.is_dir():
            pytest.skip("RabbitMQ is not installed")
        self.folder = ours.folder("rmq")
        self._as_owner: list[str] = []
        (self.folder / "plugins").write_text("[].\n")
        # Fewer schedulers and no busy waiting: the tests have the two cores, not the broker.
        self._erlang = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
        if os.getuid() == 0:
            self._as_owner = ["runuser", "-u", "rabbitmq", "--"]
            shutil.chown(self.folder, "rabbitmq")
        self.port, dist, epmd = free_ports(3)
        self._environment = {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"kn{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"{self._erlang} -kernel inet_dist_use_interface {{127,0,0,1}}"
            ),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._spare: list[str] = []

    def start(self) -> None:
        """Start the node and wait until it takes connections."""
        with (self.folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                [*self._as_owner, str(_SBIN / "rabbitmq-server")],
                env=self._environment, stdout=out, stderr=out, cwd="/", start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: _listens(self.port), "RabbitMQ opened its port", timeout_s=60)
        self._ctl("await_startup", "--timeout", "60")

    def stop(self) -> None:
        """End the node's processes at once, as a crash would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        wait_until(lambda: not _listens(self.port), "RabbitMQ closed its port")

    @contextmanager
    def away(self) -> Iterator[None]:
        """End the node for the time of the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def vhost(self) -> str:
        """The transport URL of a virtual host that nobody has had."""
        if not self._spare:
            self._spare = [secrets.token_hex(4) for _ in range(_VHOSTS_AT_ONCE)]
            names = ", ".join(f'<<"{name}">>' for name in self._spare)
            self._ctl("eval", _MAKE_VHOSTS % names)
        return f"rabbit://guest:guest@127.0.0.1:{self.port}/{self._spare.pop()}"

    def _ctl(self, *arguments: str) -> None:
        command = [*self._as_owner, str(_SBIN / "rabbitmqctl"), *arguments]
        done = subprocess.run(
            command, check=False, env=self._environment, capture_output=True, text=True,
            timeout=90, cwd="/",
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {done.stdout}{done.stderr}")

    def remove(self) -> None:
        """End the node and its name service, delete the folder."""
        self.stop()
        epmd = [*self._as_owner, "epmd", "-kill"]
        subprocess.run(epmd, check=False, env=self._environment, capture_output=True, timeout=20)
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = 30) -> None:
    """Return once `condition` holds; fails with `what` when it does not in time."""
    deadline, looking = time.monotonic() + timeout_s, Looking()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        looking.pause()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMq]:
    """A running node, gone with this process of the test run."""
    node = RabbitMq()
    try:
        node.start()
        yield node
    finally:
        node.remove()


@pytest.fixture(scope="session")
def new_vhost(rabbitmq: RabbitMq) -> Callable[[], str]:
    """Makes a virtual host; its transport URL. It goes with the node."""
    return rabbitmq.vhost


@pytest.fixture(scope="module")
def transport_url(new_vhost: Callable[[], str]) -> str:
    """The transport URL of a virtual host of this module's own."""
    return new_vhost()
