# SPDX-License-Identifier: Apache-2.0
"""The way out of the guests' namespace, tried in a network namespace that plays the machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.bringup.paths import REPOSITORY
from tests import ours

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root"),
]
_DO = """
import sys
from deploy.bringup.paths import Paths
from deploy.bringup.uplink import Uplink
uplink = Uplink(Paths.below(sys.argv[1]), sys.argv[2], reached=["172.24.4.0/24"])
getattr(uplink, sys.argv[3])()
"""


class Machine:
    """A namespace as the machine, one for its guests, and one beyond it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "lib").mkdir()
        tag = ours.note(uuid4().hex[:8])
        self.host, self.guests, self.outside = (f"kn{role}-{tag}" for role in ("h", "g", "o"))
        for name in (self.host, self.guests, self.outside):
            subprocess.run(["ip", "netns", "add", name], check=True)
        self.on(self.host, "ip link add out type veth peer name in netns " + self.outside)
        self.on(self.host, "ip addr add 198.51.100.1/24 dev out")
        self.on(self.host, "ip link set out up")
        self.on(self.outside, "ip addr add 198.51.100.2/24 dev in")
        self.on(self.outside, "ip link set in up")

    def on(self, namespace: str, command: str) -> str:
        """Run a command there; what it says."""
        words = ["nsenter", f"--net=/run/netns/{namespace}", *command.split()]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20)
        return done.stdout

    def uplink(self, method: str) -> None:
        """Call a method of the uplink, as `deploy/up` on this machine would."""
        words = ["nsenter", f"--net=/run/netns/{self.host}", sys.executable, "-c", _DO]
        subprocess.run(
            [*words, self.folder, self.guests, method],
            check=True, timeout=20, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip

    def state(self) -> list[str]:
        """Everything of the machine that an uplink touches."""
        commands = (
            "ip -o link",
            "ip route",
            "nft list ruleset",
            "cat /proc/sys/net/ipv4/ip_forward",
        )
        return [self.on(self.host, command) for command in commands]

    def remove(self) -> None:
        for name in (self.host, self.guests, self.outside):
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.remove()


def test_guests_reach_the_outside_until_the_uplink_is_removed_without_a_trace(
    machine: Machine,
) -> None:
    before = machine.state()

    machine.uplink("ensure")
    machine.uplink("ensure")

    machine.on(machine.guests, "ping -c 1 -W 5 198.51.100.2")
    machine.uplink("remove")
    machine.uplink("remove")
    assert machine.state() == before


def test_nobody_outside_gets_in_through_the_uplink(machine: Machine) -> None:
    machine.uplink("ensure")
    address = machine.on(machine.guests, "ip -o -4 addr show dev uplink").split()[3].split("/")[0]
    machine.on(machine.outside, "ip route add default via 198.51.100.1")

    with pytest.raises(subprocess.CalledProcessError):
        machine.on(machine.outside, f"ping -c 1 -W 1 {address}")
