# SPDX-License-Identifier: Apache-2.0
"""Keeps the host as the store says: after each change, and again from time to time.

The API never waits for the data plane: it wakes the keeper's thread, which reads what there should
be and applies what differs. Changes that come together are applied together.
"""

import ipaddress
import logging
import threading
import time
from typing import Protocol

from services.companion.network.plane import bridges, desired, dhcp, ruleset
from services.companion.network.plane.namespace import CommandFailed, Namespace
from services.companion.settings import PlaneSettings
from services.companion.store.engine import Store

LOG = logging.getLogger(__name__)

_LOOK_S = 1.0
_REPAIR_S = 30.0
_STOP_S = 10.0


class Plane(Protocol):
    """What the Network API asks of the data plane.

    `is_one_table`: all networks share a routing table, so that none may overlap another.
    """

    is_one_table: bool

    def start(self) -> None:
        """Make the host as the store says, from now on."""

    def stop(self) -> None:
        """Let the host be; networks and rules stay."""

    def wake(self) -> None:
        """Something changed. Returns at once."""

    def problems(self) -> dict[str, str]:
        """What is wrong, by subject."""

    def foreign_networks(self) -> list[ipaddress.IPv4Network]:
        """IPv4 networks that the host is connected to apart from ours."""


class NoPlane:
    """Networks are only stored: for hosts that are not real, and for tests."""

    is_one_table = False

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def wake(self) -> None:
        """Nothing to do."""

    def problems(self) -> dict[str, str]:
        """None."""
        return {}

    def foreign_networks(self) -> list[ipaddress.IPv4Network]:
        """None."""
        return []


class LinuxPlane:
    """Bridges, rules and DHCP in a network namespace, kept by one thread."""

    is_one_table = True

    def __init__(self, settings: PlaneSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._namespace = Namespace(settings.namespace)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plane", daemon=True)
        self._servers: dict[str, dhcp.DhcpServer] = {}
        self._bridges: tuple[desired.Bridge, ...] | None = None
        self._rules = ""
        self._verified_at = 0.0
        self._problem = ""

    def start(self) -> None:
        """Start the thread; it begins with a repair."""
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and DHCP; bridges and rules stay, so guests keep their connections."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(_STOP_S)
        for server in self._servers.values():
            server.stop()

    def wake(self) -> None:
        """Look at the store soon."""
        self._wake.set()

    def problems(self) -> dict[str, str]:
        """Why the host is not as the store says; empty when it is."""
        found = {"network": self._problem} if self._problem else {}
        if not self._thread.is_alive() and not self._stopping.is_set():
            found["network"] = "the thread that keeps the networks has ended"
        return found

    def foreign_networks(self) -> list[ipaddress.IPv4Network]:
        """What the host is connected to apart from our bridges; none when it cannot tell."""
        try:
            return bridges.foreign_networks(self._namespace)
        except CommandFailed as failed:
            LOG.warning("The host's own networks are not known: %s", failed)
            return []

    def _run(self) -> None:
        while not self._stopping.is_set():
            woken = self._wake.wait(_LOOK_S)
            self._wake.clear()
            if self._stopping.is_set():
                return
            due = time.monotonic() - self._verified_at >= _REPAIR_S
            try:
                if woken or due or self._problem:
                    self._apply(repair=due or bool(self._problem))
                for server in self._servers.values():
                    server.keep_running()
            except Exception as failed:  # the outermost frame: the next round tries again
                if str(failed) != self._problem:
                    LOG.exception("The networks could not be made as they should be")
                self._problem = str(failed) or type(failed).__name__
            else:
                self._problem = ""

    def _apply(self, *, repair: bool) -> None:
        """Make the host as the store says. `repair`: also what has not changed in the store."""
        started = time.monotonic()
        with self._store.read() as conn:
            wanted = desired.read(conn, self._settings.hosts, self._settings.dns_servers)
        rules = ruleset.render(wanted, self._settings.metadata_port)
        if repair:
            self._namespace.ensure()
        # Rules come before the bridge they guard, and go after it.
        if repair or rules != self._rules:
            self._namespace.run("nft", "-f", "-", stdin=rules)
            self._rules = rules
        if repair or wanted.bridges != self._bridges:
            bridges.apply(self._namespace, wanted.bridges)
            self._bridges = wanted.bridges
        self._serve_dhcp(wanted)
        if repair:
            self._verified_at = started
        LOG.debug("Networks made as wanted in %.3f s", time.monotonic() - started)

    def _serve_dhcp(self, wanted: desired.Desired) -> None:
        served = {b.network_id: b for b in wanted.bridges if any(s.dhcp for s in b.subnets)}
        for network_id in [n for n in self._servers if n not in served]:
            self._servers.pop(network_id).forget()
        for network_id, bridge in served.items():
            if network_id not in self._servers:
                folder = self._settings.run_path / "dhcp" / network_id
                self._servers[network_id] = dhcp.DhcpServer(self._namespace, folder)
            ports = [port for port in wanted.ports if port.network_id == network_id]
            self._servers[network_id].apply(bridge, ports)


def make_plane(settings: PlaneSettings | None, store: Store) -> Plane:
    """The data plane that the settings ask for."""
    return LinuxPlane(settings, store) if settings is not None else NoPlane()


def purge(settings: PlaneSettings) -> dict[str, int]:
    """Remove bridges, rules and dnsmasq processes that a companion made; how many of each."""
    ended = dhcp.end_all(settings.run_path)
    namespace = Namespace(settings.namespace)
    removed: list[str] = []
    if namespace.exists():
        removed = bridges.purge(namespace)
        namespace.run("nft", "-f", "-", stdin=ruleset.purge())
    return {"dnsmasq processes": ended, "bridges": len(removed), "rule tables": len(ruleset.TABLES)}
