# SPDX-License-Identifier: Apache-2.0
"""DHCP and router advertisements by dnsmasq: one process a network, each guest with the address of
its port.

A new port is a line in the hosts file and a SIGHUP; only changed subnets restart the process.
"""

import ipaddress
import logging
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from services.companion.network.plane.desired import Bridge, Port, Subnet
from services.companion.network.plane.namespace import Namespace
from services.companion.network.plane.ruleset import METADATA_ADDRESS

LOG = logging.getLogger(__name__)

_LEASE_S = 86400
# Of router advertisements: how often they are made unasked, and for how long they hold.
_ANNOUNCE_S, _ROUTER_S = 200, 1800
_STOP_S = 5
_RESTART_PAUSE_S = 1.0
_MOST_LOG_BYTES = 1 << 20


def hosts_file(ports: Sequence[Port]) -> str:
    """One line a port and address: MAC, the tag of the port's own options, address, name."""
    return "".join(
        f"{port.mac},set:{port.tap},{_bracketed(ip)},{_host_name(port, ip)}\n"
        for port in ports
        for ip in port.ips
    )


def options_file(ports: Sequence[Port]) -> str:
    """One line an option that a port has of its own."""
    lines = []
    for port in ports:
        for version, name, value in port.options:
            word = "option6" if version == 6 else "option"
            lines.append(f"tag:{port.tap},{word}:{name},{value}\n")
    return "".join(lines)


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def _host_name(port: Port, ip: str) -> str:
    if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", port.host_name.lower()):
        return port.host_name.lower()
    return "host-" + ip.replace(".", "-").replace(":", "-")


def command(bridge: Bridge, folder: Path) -> list[str]:
    """The process for a network."""
    words = [
        "dnsmasq", "--keep-in-foreground", "--conf-file=", "--no-hosts", "--no-resolv", "--port=0",
        "--bind-interfaces", f"--interface={bridge.name}", "--except-interface=lo",
        "--dhcp-authoritative", "--no-ping", "--dhcp-lease-max=65536", "--pid-file=",
        f"--dhcp-hostsfile={folder / 'hosts'}", f"--dhcp-leasefile={folder / 'leases'}",
        f"--dhcp-optsfile={folder / 'options'}",
        f"--dhcp-option=26,{bridge.mtu}", "--log-facility=-",
    ]  # fmt: skip
    served = [subnet for subnet in bridge.subnets if subnet.dhcp]
    for number, subnet in enumerate(served):
        tag = f"subnet{number}"
        words.append(f"--dhcp-range=set:{tag},{_range(subnet)}")
        options = _options6(subnet) if subnet.version == 6 else _options(subnet)
        words += [f"--dhcp-option=tag:{tag},{option}" for option in options]
    announced = [subnet for subnet in served if subnet.ra_mode]
    if announced:
        lifetime_s = _ROUTER_S if any(subnet.gateway_ip for subnet in announced) else 0
        words += [
            "--enable-ra",
            f"--ra-param={bridge.name},mtu:{bridge.mtu},{_ANNOUNCE_S},{lifetime_s}",
        ]
    return words


def _range(subnet: Subnet) -> str:
    network = ipaddress.ip_network(subnet.cidr)
    if subnet.version == 4:
        return f"{network.network_address},static,{network.netmask},{_LEASE_S}s"
    kinds = {"slaac": "ra-only", "dhcpv6-stateless": "ra-stateless"}
    kind = kinds.get(subnet.address_mode or subnet.ra_mode or "", "static")
    return f"{network.network_address},{kind},{network.prefixlen},{_LEASE_S}s"


def _options6(subnet: Subnet) -> list[str]:
    servers = ",".join(f"[{server}]" for server in subnet.dns)
    return [f"option6:dns-server,{servers}" if servers else "option6:dns-server"]


def _options(subnet: Subnet) -> list[str]:
    """Router (3), name servers (6), classless routes (121): empty ones are left out by dnsmasq."""
    routes = [(METADATA_ADDRESS + "/32", subnet.gateway_ip or subnet.service_ip), *subnet.routes]
    if subnet.gateway_ip:
        routes.append(("0.0.0.0/0", subnet.gateway_ip))
    return [
        f"3,{subnet.gateway_ip}" if subnet.gateway_ip else "3",
        "6," + ",".join(subnet.dns) if subnet.dns else "6",
        "121," + ",".join(f"{destination},{hop}" for destination, hop in routes),
    ]


class DhcpServer:
    """The process of one network, kept running."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self._namespace = namespace
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._command: list[str] = []
        self._hosts = ""
        self._options = ""
        self._started_at = 0.0

    def apply(self, bridge: Bridge, ports: Sequence[Port]) -> None:
        """Serve these ports of this network. Again: nothing happens unless something changed."""
        words, hosts = command(bridge, self._folder), hosts_file(ports)
        options = options_file(ports)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o755)  # dnsmasq reads it as an ordinary user
        stale = self._stale_leases(hosts) if hosts != self._hosts else set()
        is_new = (hosts, options) != (self._hosts, self._options)
        if is_new or not (self._folder / "hosts").exists():
            self._write("options", options)
            self._write("hosts", hosts)
            if self._process is not None and not stale:
                self._process.send_signal(signal.SIGHUP)
        self._hosts, self._options = hosts, options
        if words != self._command or stale:
            self._command = words
            self._restart(stale)

    def keep_running(self) -> None:
        """Start it again when it died."""
        if not self._command or (self._process is not None and self._process.poll() is None):
            return
        if time.monotonic() - self._started_at < _RESTART_PAUSE_S:
            return
        if self._process is not None:
            LOG.warning("dnsmasq for %s ended with %s", self._folder.name, self._process.returncode)
        self._restart(set())

    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the process; leases stay for the next one."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)

    def forget(self) -> None:
        """End the process and remove its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _restart(self, stale: set[str]) -> None:
        self.stop()
        end_strangers(self._folder)
        leases = self._folder / "leases"
        if stale and leases.exists():
            kept = [line for line in leases.read_text().splitlines(True) if line not in stale]
            leases.write_text("".join(kept))
        log = self._folder / "log"
        if log.exists() and log.stat().st_size > _MOST_LOG_BYTES:
            log.unlink()
        self._process = self._namespace.spawn(self._command, log)
        self._started_at = time.monotonic()

    def _write(self, name: str, text: str) -> None:
        fresh = self._folder / f"{name}.new"
        fresh.write_text(text)
        fresh.chmod(0o644)
        fresh.rename(self._folder / name)

    def _stale_leases(self, hosts: str) -> set[str]:
        """Leases of addresses that have another MAC by now: dnsmasq would refuse the new guest."""
        owners = {}
        for line in hosts.splitlines():
            mac, _, ip, _ = line.split(",")
            owners[ip] = mac
        stale = set()
        leases = self._folder / "leases"
        for line in leases.read_text().splitlines(True) if leases.exists() else ():
            words = line.split()
            if len(words) >= 3 and owners.get(words[2], words[1]) != words[1]:
                stale.add(line)
        return stale


def end_strangers(folder: Path) -> int:
    """End dnsmasq processes that an earlier, killed companion left on this folder; how many.

    They are known by their command line, so nothing else is ever ended.
    """
    mark = f"--dhcp-hostsfile={folder / 'hosts'}".encode()
    return sum(_end(pid) for pid in _processes(lambda words: mark in words))


def end_all(run_path: Path) -> int:
    """End every dnsmasq of this run path; how many."""
    mark = f"--dhcp-hostsfile={run_path}/".encode()
    found = _processes(lambda words: any(word.startswith(mark) for word in words))
    return sum(_end(pid) for pid in found)


def _processes(wanted: Callable[[list[bytes]], bool]) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"dnsmasq") and wanted(words):
            found.append(int(path.parent.name))
    return found


def _end(pid: int) -> int:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return 0
    deadline = time.monotonic() + _STOP_S
    while time.monotonic() < deadline and _alive(pid):
        time.sleep(0.01)
    return 1


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
