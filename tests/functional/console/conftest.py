# SPDX-License-Identifier: Apache-2.0
"""kilonova-console as a process; its conductor is real, and where QEMU would be a test listens."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from common.errors import InstanceNotReady
from common.ids import new_token
from common.objects.console import ConsoleAddress, ConsoleKind, ConsoleType
from common.objects.instance import Instance
from common.rpc.compute import Compute
from services.conductor.computes import Computes
from services.conductor.db.engine import Database
from services.conductor.endpoint.consoles import ConsolesEndpoint
from tests.functional.conductor_half import (
    ConductorHalf,
    DaemonProcess,
    bus_of,
    daemon_process,
)
from tests.functional.db.rows import NOON, add, add_hosts, caller, make_instance, make_report
from tests.functional.rabbitmq import wait_until
from tests.ports import free_ports

PAGE = b"<!DOCTYPE html><html><head><title>noVNC</title></head></html>"
_A_LONG_TIME_S = 3600  # the host reports only once
SCRIPT = b"export default 1;\n"


class Guest:
    """What stands where QEMU listens: greets each client, and keeps what it hears."""

    def __init__(self, greeting: bytes = b"RFB 003.008\n") -> None:
        self._greeting = greeting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ConsoleAddress(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.heard = bytearray()
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                client.sendall(self._greeting)
                self.clients.append(client)
                threading.Thread(target=self._hear, args=(client,), daemon=True).start()

    def _hear(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.heard += data
        with contextlib.suppress(ValueError):
            self.clients.remove(client)
        client.close()

    def say(self, data: bytes) -> None:
        """To every client."""
        for client in self.clients:
            client.sendall(data)

    def hang_up(self) -> None:
        """Close every connection; new ones are taken."""
        for client in list(self.clients):
            with contextlib.suppress(OSError):  # it has hung up itself
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no longer."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for clients
        self._listener.close()
        self.hang_up()


class OneHost(Compute):
    """A compute host: where the consoles of its guests are."""

    def __init__(self) -> None:
        self.addresses: dict[str, ConsoleAddress] = {}

    def console(self, ctx: Any, host: str, instance_uuid: str, *, kind: ConsoleKind) -> Any:
        if instance_uuid not in self.addresses:
            raise InstanceNotReady(instance=instance_uuid)
        return self.addresses[instance_uuid]


class Place:
    """A conductor and its database, and the guests that are there."""

    def __init__(self, database: Database, half: ConductorHalf) -> None:
        self.database, self.half, self.host = database, half, OneHost()
        self.consoles = self.with_ttl(600)
        add_hosts(database, make_report("host1"))
        self.serve()

    def with_ttl(self, ttl_s: int) -> ConsolesEndpoint:
        """Tokens that hold for so long."""
        computes = Computes(lambda server: self.host, down_after_s=_A_LONG_TIME_S)
        return ConsolesEndpoint(
            self.database, computes, ttl_s=ttl_s, down_after_s=_A_LONG_TIME_S, new_token=new_token
        )

    def serve(self) -> None:
        """Answer on the bus."""
        self.server = self.half.serve(self.consoles)

    def boot(self, guest: Guest) -> Instance:
        """An instance whose consoles are all at `guest`."""
        made: Instance = add(
            self.database, make_instance(host="host1", node="host1", launched_at=NOON)
        )
        self.host.addresses[made.uuid] = guest.address
        return made

    def token(self, instance: Instance, console_type: ConsoleType = ConsoleType.NOVNC) -> str:
        """A fresh token of its console."""
        return self.consoles.create(caller(), instance.uuid, console_type=console_type)


@pytest.fixture(scope="module")
def place(database_url: str, transport_url: str, tmp_path_factory: Any) -> Iterator[Place]:
    database = Database(database_url, pool_size=8, connect_timeout_s=2)
    bus = bus_of(transport_url, tmp_path_factory.mktemp("bus"))
    made = Place(database, ConductorHalf(database, bus))
    yield made
    made.server.stop()
    bus.close()
    database.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: Any) -> str:
    """A folder with what is noVNC's, as far as a proxy is concerned."""
    folder = tmp_path_factory.mktemp("novnc")
    (folder / "core").mkdir()
    (folder / "vnc_lite.html").write_bytes(PAGE)
    (folder / "core" / "rfb.js").write_bytes(SCRIPT)
    return str(folder)


class Proxy:
    """The daemon, and how its clients reach it."""

    def __init__(
        self, process: DaemonProcess, log: Path, vnc: int, serial: int, scheme: str = "ws"
    ) -> None:
        self.process = process
        self._log = log
        self.ports = {ConsoleType.NOVNC: vnc, ConsoleType.SERIAL: serial}
        self._scheme = scheme

    def at(self, console_type: ConsoleType = ConsoleType.NOVNC, scheme: str = "") -> str:
        return f"{scheme or self._scheme}://127.0.0.1:{self.ports[console_type]}"

    def open(
        self, token: str, console_type: ConsoleType = ConsoleType.NOVNC, **more: Any
    ) -> ClientConnection:
        """A client at the console."""
        more.setdefault("compression", None)
        return connect(f"{self.at(console_type)}/?token={token}", **more)

    def log(self) -> str:
        """What the daemon has logged so far."""
        return self._log.read_text()


@contextlib.contextmanager
def proxy_with(
    options: str, pages: str, transport_url: str, folder: Any, *, healthy: bool = True, **more: Any
) -> Iterator[Proxy]:
    """The daemon with more options in [console], and further groups behind them."""
    vnc, serial = free_ports(2)
    groups = (
        f"{options}\n[vnc]\nnovncproxy_port = {vnc}\nnovnc_path = {pages}\n"
        f"[serial_console]\nenabled = true\nserialproxy_port = {serial}\n"
        f"[DEFAULT]\nlog_file = {folder}/log\ndebug = true\n"
    )
    with daemon_process("console", transport_url, folder, groups) as process:
        if healthy:
            process.wait_until_healthy()
        yield Proxy(process, folder / "log", vnc, serial, **more)


@pytest.fixture(scope="module")
def proxy(place: Place, pages: str, transport_url: str, tmp_path_factory: Any) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("console")
    with proxy_with("allowed_origins = dash.example", pages, transport_url, folder) as made:
        yield made


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest()
    yield made
    made.close()


@pytest.fixture
def server(place: Place, guest: Guest) -> Instance:
    return place.boot(guest)


def heard(guest: Guest, data: bytes) -> None:
    wait_until(lambda: bytes(guest.heard).endswith(data), "the guest hears what was typed")
