# SPDX-License-Identifier: Apache-2.0
"""A companion with a real data plane in a namespace of its own, and guests that are namespaces.

A guest is a veth pair: its host side is named as a port's tap and joins the network's bridge, as
a hypervisor would do it.
"""

import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.companion.app import make_companion
from services.companion.identity.bootstrap import bootstrap
from services.companion.identity.passwords import Hasher
from services.companion.network import names
from services.companion.network.plane import keeper
from services.companion.settings import Bootstrap, PlaneSettings, Settings
from tests import ours
from tests.unit.companion.conftest import CHEAP, ENDPOINTS, PASSWORDS, Cloud, FakeClock
from tests.waiting import Looking

HOST = "plane-host"
METADATA_PORT = 8775
OUTSIDE, GATE = "198.51.100.2", "198.51.100.1"

needed = ("ip", "nft", "dnsmasq", "nsenter", "busybox", "ping")
missing = [name for name in needed if shutil.which(name) is None]


def pytest_collection_modifyitems(items):
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.integration)
            if os.getuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root"))
            elif missing:
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))


def sh(*command, check=True, stdin=None):
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done


def until(condition, timeout_s=60):
    """Wait for a condition; its value."""
    deadline, looking = time.monotonic() + timeout_s, Looking()
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        looking.pause()


class Namespace:
    """A network namespace of the test's own."""

    def __init__(self, name):
        self.name = name
        self.processes = []

    def run(self, *command, check=True, stdin=None):
        return sh("nsenter", f"--net=/run/netns/{self.name}", *command, check=check, stdin=stdin)

    def python(self, code, *arguments):
        """A Python program, running in the namespace; it prints `ready` when it is."""
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.name}", sys.executable, "-u", "-c", code,
             *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.processes.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        sh("ip", "netns", "del", self.name, check=False)


# busybox's udhcpc says what it got in the environment.
DHCP_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
ip link set $interface mtu $mtu
set -- $staticroutes
while [ -n "$2" ]; do
  if [ "$1" = 0.0.0.0/0 ]; then ip route add default via $2; else ip route add $1 via $2; fi
  shift 2
done
env > $LEASE
"""

UDP_LISTENER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", int(sys.argv[1])))
print("ready")
while True:
    data, peer = s.recvfrom(100)
    print(data.decode(), peer[0], flush=True)
"""

HTTP_LISTENER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("0.0.0.0", int(sys.argv[1])), Handler)
print("ready")
server.serve_forever()
"""

HTTP_GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())
"""


class Guest(Namespace):
    """A guest on a port."""

    def __init__(self, name, plane, port):
        super().__init__(name)
        self.port = port
        self.ip = port["fixed_ips"][0]["ip_address"]
        self.tap = names.tap(port["id"])
        bridge = names.bridge(port["network_id"])
        sh("ip", "netns", "add", name)
        sh("ip", "link", "add", self.tap, "netns", plane.name, "type", "veth",
           "peer", "name", "eth0", "netns", name)  # fmt: skip
        self.run("ip", "link", "set", "eth0", "address", port["mac_address"], "up")
        plane.run("ip", "link", "set", self.tap, "master", bridge, "up")

    def dhcp(self, folder):
        """Ask for a lease; what came with it."""
        script, lease = Path(folder, "udhcpc"), Path(folder, f"lease-{self.name}")
        script.write_text(DHCP_SCRIPT)
        script.chmod(0o755)
        done = self.run("env", f"LEASE={lease}", "busybox", "udhcpc", "-i", "eth0", "-f", "-q",
                        "-n", "-t", "5", "-T", "1", "-O", "staticroutes", "-O", "mtu",
                        "-s", str(script), check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(line.split("=", 1) for line in lease.read_text().splitlines() if "=" in line)

    def pings(self, address, source=None):
        source_options = ["-I", source] if source else []
        done = self.run("ping", "-c", "1", "-W", "1", *source_options, address, check=False)
        return done.returncode == 0

    def get(self, url):
        done = self.run(sys.executable, "-c", HTTP_GET, url, check=False)
        return done.stdout.strip()


class PlaneCloud(Cloud):
    """A companion with a data plane, and what its guests need."""

    def boot(self, network, **attributes):
        """A guest on a new port, as compute would plug it."""
        body = {"network_id": network["id"], "binding:host_id": HOST, "device_id": "vm",
                **attributes}  # fmt: skip
        made = self.post("/network/v2.0/ports", {"port": body})
        assert made.status_code == 201, made.text
        port = made.json["port"]
        bridge = names.bridge(network["id"])
        assert until(lambda: self.plane.run("ip", "link", "show", bridge, check=False).stdout)
        guest = Guest(f"kn-g{next(self.numbers)}-{self.suffix}", self.plane, port)
        self.guests.append(guest)
        assert until(lambda: f"from_{guest.tap}" in self.rules())
        return guest

    def network(self, cidr, **attributes):
        """A network with a subnet."""
        net = self.post("/network/v2.0/networks", {"network": {}}).json["network"]
        body = {"network_id": net["id"], "cidr": cidr, "ip_version": 4, **attributes}
        made = self.post("/network/v2.0/subnets", {"subnet": body})
        assert made.status_code == 201, made.text
        return net

    def group(self, *rules):
        """A security group with ingress rules."""
        body = {"security_group": {"name": "g"}}
        group = self.post("/network/v2.0/security-groups", body).json["security_group"]
        for rule in rules:
            self.allow(group["id"], **rule)
        return group["id"]

    def allow(self, group_id, **rule):
        body = {"security_group_id": group_id, "direction": "ingress", **rule}
        path = "/network/v2.0/security-group-rules"
        made = self.post(path, {"security_group_rule": body})
        assert made.status_code == 201, made.text
        return made.json["security_group_rule"]

    def rules(self):
        return self.plane.run("nft", "list", "ruleset").stdout

    def restart(self):
        self.companion.stop()
        self.companion = make_companion(self.settings, self.clock)
        super().__post_init__()

    def dnsmasq_pids(self):
        mark = str(self.settings.plane.run_path)
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().split("\0")
            except OSError:
                continue
            if words[0].endswith("dnsmasq") and any(mark in word for word in words):
                found.append(int(path.parent.name))
        return found


@pytest.fixture
def cloud(tmp_path):
    suffix = ours.note(secrets.token_hex(6))
    run_path = ours.folder("plane")
    run_path.chmod(0o755)
    plane = PlaneSettings(run_path, frozenset((HOST,)), f"kn-plane-{suffix}", METADATA_PORT)
    settings = Settings(tmp_path / "data", "http://c.test", password_cost=CHEAP, plane=plane)
    clock = FakeClock()
    companion = make_companion(settings, clock)
    bootstrap(companion.store, Bootstrap(PASSWORDS, endpoints=ENDPOINTS), Hasher(CHEAP))
    made = PlaneCloud(settings, clock, companion)
    made.plane, made.guests = Namespace(plane.namespace), []
    made.suffix, made.numbers = suffix, itertools.count(1)
    try:
        yield made
    finally:
        for guest in made.guests:
            guest.close()
        made.companion.stop()
        keeper.purge(plane)
        made.plane.close()
        shutil.rmtree(run_path)


@pytest.fixture
def outside(cloud):
    """A namespace that the plane's namespace has a way to, with a default route nowhere."""
    made = Namespace(f"kn-out-{cloud.suffix}")
    assert until(lambda: Path("/run/netns", cloud.plane.name).exists())
    sh("ip", "netns", "add", made.name)
    sh("ip", "link", "add", "up0", "netns", cloud.plane.name, "type", "veth",
       "peer", "name", "eth0", "netns", made.name)  # fmt: skip
    cloud.plane.run("ip", "addr", "add", f"{GATE}/24", "dev", "up0")
    cloud.plane.run("ip", "link", "set", "up0", "up")
    made.run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", "eth0")
    made.run("ip", "link", "set", "eth0", "up")
    yield made
    made.close()


@pytest.fixture
def links(cloud):
    """The plane's links, by name."""
    return lambda: {
        link["ifname"]: link for link in json.loads(cloud.plane.run("ip", "-j", "addr").stdout)
    }
