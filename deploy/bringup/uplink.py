# SPDX-License-Identifier: Apache-2.0
"""A way out of the guests' network namespace: a pair of devices to the machine's own network.

Guests reach what the machine reaches, seen as the machine; the machine reaches floating addresses.
The machine gets one device, one route, one nft table and, where it had none, forwarding; all of
that goes with `down`.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from deploy.bringup.commands import run, succeeds
from deploy.bringup.paths import Paths, write

# Addresses for carriers' own use, which few machines meet: a pair of them a cloud.
_LINKS = ipaddress.IPv4Network("100.127.0.0/16")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_INNER = "uplink"


class Uplink:
    """The uplink of one cloud's namespace. `reached`: networks in it that the machine may reach."""

    def __init__(self, paths: Paths, namespace: str, *, reached: Sequence[str]) -> None:
        self._namespace, self._reached = namespace, reached
        number = int(hashlib.sha256(paths.tag.encode()).hexdigest()[:4], 16) & ~3
        self._network = ipaddress.IPv4Network((int(_LINKS.network_address) + number, 30))
        self._device = f"up-{paths.tag}"[:15]
        self._table = f"{paths.tag}_uplink"
        # Says that forwarding was off before us.
        self._was_off = paths.state / "forwarding-was-off"

    def ensure(self) -> None:
        """Make it. Again: what is missing is made, the rules are written anew."""
        outer, inner = (f"{host}/30" for host in self._network.hosts())
        gateway, address = (str(host) for host in self._network.hosts())
        inside = ("ip", "-n", self._namespace)
        if not succeeds("ip", "link", "show", "dev", self._device):
            run("ip", "link", "add", self._device, "type", "veth",
                "peer", "name", _INNER, "netns", self._namespace)  # fmt: skip
        run("ip", "address", "replace", outer, "dev", self._device)
        run("ip", "link", "set", self._device, "up")
        run(*inside, "address", "replace", inner, "dev", _INNER)
        run(*inside, "link", "set", _INNER, "up")
        run(*inside, "route", "replace", "default", "via", gateway)
        for network in self._reached:
            # One that the machine has a way to already is left to it.
            if not run("ip", "-4", "route", "show", network).strip():
                run("ip", "route", "add", network, "via", address)
        self._forward()
        run("nft", "-f", "-", stdin=self._rules())

    def _forward(self) -> None:
        if _FORWARDING.read_text().strip() == "0":
            write(self._was_off, "")
            _FORWARDING.write_text("1")

    def _rules(self) -> str:
        """Only what comes out of the namespace, and answers; nobody else gets a way through us."""
        table, device = self._table, self._device
        inside = ", ".join([str(self._network), *self._reached])
        return f"""
            add table ip {table}
            delete table ip {table}
            table ip {table} {{
              chain outward {{
                type nat hook postrouting priority 100; policy accept;
                ip saddr {{ {inside} }} oifname != "{device}" masquerade
              }}
              chain through {{
                type filter hook forward priority 0; policy accept;
                oifname "{device}" ct state established,related accept
                oifname "{device}" drop
              }}
            }}
        """

    def remove(self) -> None:
        """Undo all of it. Again: what is gone is passed over."""
        succeeds("nft", "delete", "table", "ip", self._table)
        succeeds("ip", "link", "delete", "dev", self._device)
        if self._was_off.exists():
            _FORWARDING.write_text("0")
            self._was_off.unlink()


def name_servers() -> tuple[str, ...]:
    """The machine's name servers that a guest can reach too: those not on loopback."""
    for file in _RESOLVERS:
        if not file.exists():
            continue
        lines = (line.split() for line in file.read_text().splitlines())
        named = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
        found = [each for each in named if _is_reachable(each)]
        if found:
            return tuple(found)
    return ()


def _is_reachable(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:  # IPv6, or nothing that we understand
        return False
    return not (address.is_loopback or address.is_unspecified)
