# SPDX-License-Identifier: Apache-2.0
"""The half of a conductor that other daemons lean on, and a daemon under test as a process.

Real endpoints over a real database and broker, served from the test's own process, so that a test
can be the conductor that goes away or whose deltas are lost.
"""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from common import config
from common.clock import SystemClock
from common.rpc.conductor import TOPIC
from common.rpc.control import Control
from common.rpc.interface import Interface
from common.rpc.scheduler import Scheduler
from common.rpc.transport import Bus, RpcServer
from services.conductor.db.engine import Database
from services.conductor.deltas import Deltas
from services.conductor.endpoint.hosts import HostsEndpoint
from services.conductor.endpoint.metadata import MetadataEndpoint
from services.conductor.heartbeats import Heartbeats
from tests.functional.rabbitmq import wait_until
from tests.ports import free_ports

DOWN_AFTER_S = 60


class ConductorHalf:
    """Serves the hosts and metadata interfaces; `deltas` publishes when `publish` is called."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self.bus = bus
        self.deltas = Deltas(
            database, Scheduler.client(bus), publisher=str(uuid.uuid4()),
            down_after_s=DOWN_AFTER_S, window_s=0,
        )  # fmt: skip
        self.heartbeats = Heartbeats(database)
        self.hosts = HostsEndpoint(
            database, self.deltas, self.heartbeats,
            control_of=lambda server: Control.client(bus, server=server),
            down_after_s=DOWN_AFTER_S, new_uuid=lambda: str(uuid.uuid4()), clock=SystemClock(),
        )  # fmt: skip
        self.metadata = MetadataEndpoint(database)

    def serve(self, *more: Interface) -> RpcServer:
        server = self.bus.serve(TOPIC, "half", [self.hosts, self.metadata, *more], threads=8)
        server.start()
        return server


def bus_of(transport_url: str, folder: Path) -> Bus:
    file = folder / "bus.conf"
    file.write_text(f"[DEFAULT]\ntransport_url = {transport_url}\n")
    return Bus(config.load("test", ["--config-file", str(file)], []))


@contextmanager
def daemon_process(
    name: str, transport_url: str, folder: Path, options: str = ""
) -> Iterator["DaemonProcess"]:
    """`name` (scheduler, metadata, console) as a process of its own, until the block ends.

    `options` go into the daemon's group, and into those that they name.
    """
    port, health_port = free_ports(2)
    file = folder / f"{name}.conf"
    own_port = f"port = {port}\n" if name == "metadata" else ""
    file.write_text(
        f"[DEFAULT]\ntransport_url = {transport_url}\nhost = h0\nheartbeat_interval_s = 1\n"
        f"[{name}]\n{own_port}health_port = {health_port}\n{options}\n"
    )
    command = [
        sys.executable, "-c", f"import sys, services.{name}.daemon as d; sys.exit(d.main())",
        "--config-file", str(file),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], env=dict(os.environ))
    started = DaemonProcess(process, port, health_port)
    try:
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        finally:
            process.kill()


class DaemonProcess:
    """A running daemon; `port` is where guests are served, if it does that."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, health_port: int) -> None:
        self.process, self.port, self._health_port = process, port, health_port

    def health(self) -> int:
        """Status of GET /healthz; 0 while nobody listens."""
        try:
            url = f"http://127.0.0.1:{self._health_port}/healthz"
            return requests.get(url, timeout=5).status_code
        except requests.ConnectionError:
            return 0

    def wait_until_healthy(self) -> None:
        wait_until(lambda: self.health() == 200, "the daemon is healthy")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)
