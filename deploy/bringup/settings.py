# SPDX-License-Identifier: Apache-2.0
"""What the operator asked for, remembered so that a later `up` or `status` needs no options."""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from deploy.bringup.failures import Failed
from deploy.bringup.paths import write

DEFAULT_PORTS = {
    "companion": 5000,
    "api": 8774,
    "metadata": 8775,
    "conductor": 8781,
    "scheduler": 8782,
    "compute": 8783,
    "compute-fake": 8784,
    "metadata-health": 8785,
    "console": 8786,
    "compute-lxc": 8787,
    "console-vnc": 6080,
    "console-spice": 6082,
    "console-serial": 6083,
    "postgresql": 5442,
    "rabbitmq": 5682,
    "rabbitmq-dist": 25682,
    "rabbitmq-epmd": 4379,
}
# Where floating addresses come from.
EXTERNAL_CIDR = "172.24.4.0/24"
# In this order the first one a cloud has is its daemon `compute`.
DRIVERS = ("libvirt", "lxc", "fake")
_BOTH = ("libvirt", "fake")


@dataclass(frozen=True)
class Settings:
    """One cloud's settings. `namespace` empty: guests live in the machine's own network."""

    drivers: tuple[str, ...] = ("libvirt",)
    fake_hosts: int = 1
    host: str = field(default_factory=socket.gethostname)
    namespace: str = ""
    has_uplink: bool = True
    ports: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_PORTS))

    @property
    def has_libvirt(self) -> bool:
        """Whether machines run here."""
        return "libvirt" in self.drivers

    @property
    def has_lxc(self) -> bool:
        """Whether containers run here."""
        return "lxc" in self.drivers

    @property
    def has_guests(self) -> bool:
        """Whether real guests run here, machines or containers."""
        return self.has_libvirt or self.has_lxc

    @property
    def has_fake(self) -> bool:
        """Whether hosts without a hypervisor run here."""
        return "fake" in self.drivers

    def program_of(self, driver: str) -> str:
        """The compute daemon of a driver that the cloud has."""
        return "compute" if driver == self.drivers[0] else f"compute-{driver}"

    def host_of(self, driver: str) -> str:
        """The name of a driver's compute host."""
        return self.host if driver == "libvirt" else f"{self.host}-{driver}"


def load(file: Path) -> Settings | None:
    """The settings of the last `up`; None when there was none."""
    if not file.exists():
        return None
    known = json.loads(file.read_text())
    return Settings(
        drivers=tuple(known["drivers"]),
        fake_hosts=known["fake_hosts"],
        host=known["host"],
        namespace=known["namespace"],
        has_uplink=known.get("has_uplink", True),
        ports=DEFAULT_PORTS | known["ports"],
    )


def save(file: Path, settings: Settings) -> None:
    """Remember them."""
    write(file, json.dumps(asdict(settings), indent=2) + "\n")


def merged(
    before: Settings | None,
    fresh: Settings,
    *,
    drivers: Sequence[str],
    fake_hosts: int | None,
    ports: Mapping[str, int],
    uplink: bool | None = None,
) -> Settings:
    """What holds from now on: `before` (else `fresh`) with what was asked for this time.

    A driver is added to those that a cloud has, never taken away: its servers would be lost.
    """
    base = before or fresh
    asked = tuple(drivers) or base.drivers
    kept = before.drivers if before else ()
    return replace(
        base,
        drivers=tuple(d for d in DRIVERS if d in asked or d in kept),
        fake_hosts=fake_hosts or base.fake_hosts,
        has_uplink=base.has_uplink if uplink is None else uplink,
        ports=dict(base.ports) | dict(ports),
    )


def parse_drivers(text: str) -> tuple[str, ...]:
    """`libvirt`, `lxc`, `fake`, several with commas between, or `both`. Raises: Failed."""
    asked = _BOTH if text == "both" else tuple(part.strip() for part in text.split(","))
    unknown = [name for name in asked if name not in DRIVERS]
    if unknown:
        names = ", ".join(DRIVERS)
        raise Failed(f"--driver {text}: there is no driver {unknown[0]!r}; {names} or both")
    return asked


def parse_ports(texts: Sequence[str]) -> dict[str, int]:
    """`NAME=PORT` each. Raises: Failed."""
    ports: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in DEFAULT_PORTS or not number.isdigit() or not 0 < int(number) < 65536:
            names = ", ".join(DEFAULT_PORTS)
            raise Failed(f"--port {text}: give NAME=PORT, NAME one of {names}")
        ports[name] = int(number)
    return ports
