# SPDX-License-Identifier: Apache-2.0
"""A compute host with real guests: `python -m tests.benchmarks.host [--guests N]`, as root.

Starts a private libvirtd, PostgreSQL, RabbitMQ and a cloud whose one host is that libvirtd's, and
prints what a boot costs beyond what libvirt and QEMU take for it, how long it takes until ten
servers booted at once are ACTIVE, and what the compute daemon uses while its guests do nothing.
Guests are 512 bytes that greet and halt. Run it on a machine that does nothing else.

The aims: 300 ms; all ten ACTIVE; 100 MB resident and 1 % of a core with 20 guests.
"""

import argparse
import statistics
import subprocess
import sys
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import libvirt
import openstack

from services.conductor.db import revisions
from services.conductor.db.engine import Database
from tests.benchmarks import processes
from tests.functional.cloud import Cloud
from tests.functional.postgres import Postgres
from tests.functional.rabbitmq import RabbitMq, wait_until
from tests.integration.compute.conftest import IMAGE_BYTES
from tests.integration.libvirt_host import LibvirtHost
from tests.ports import free_ports

# As a user has them, where the cloud of tests is more hurried.
_USUAL = """
    [DEFAULT]
    heartbeat_interval_s = 10
    [conductor]
    host_down_after_s = 60
    build_timeout_s = 300
    operation_timeout_s = 60
    [compute]
    pending_interval_s = 30
"""
_TINY = {"ram": 32, "vcpus": 1, "disk": 1}
_PROGRAM = Path(sys.executable).parent / "kilonova-compute"


def main() -> None:
    """Run it once and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", type=int, default=20, help="guests of the idle daemon")
    parser.add_argument("--idle", type=float, default=60, help="seconds of idleness")
    options = parser.parse_args()
    with ExitStack() as stack:
        host = LibvirtHost()
        stack.callback(host.stop)
        host.start()
        cloud = stack.enter_context(_cloud())
        daemon = stack.enter_context(_compute(cloud, host))
        sdk = cloud.connect("admin")
        wait_until(lambda: bool(list(sdk.compute.hypervisors())), "the host is known")
        boots = Boots(sdk)
        boots.wait(boots.ask())  # the first one downloads the image
        _cost_of_a_boot(boots, host)
        _ten_at_once(boots)
        _idle(boots, daemon, options.guests, options.idle)


@contextmanager
def _cloud() -> Iterator[Cloud]:
    with ExitStack() as stack:
        broker, database = RabbitMq(), Postgres(durable=True)
        stack.callback(broker.remove)
        stack.callback(database.remove)
        database.start()
        broker.start()
        url = database.url(database.create())
        schema = Database(url)
        with schema.begin() as conn:
            revisions.upgrade(conn)
        schema.close()
        cloud = Cloud(database_url=url, transport_url=broker.vhost(), options=_USUAL)
        stack.callback(cloud.remove)
        cloud.start("companion", "conductor", "scheduler", "api")
        admin = cloud.connect("admin")
        admin.compute.create_flavor(name="tiny", id="1", **_TINY)
        admin.image.create_image(
            name="guest", data=IMAGE_BYTES, disk_format="raw", container_format="bare",
            visibility="public", wait=True, validate_checksum=False,
        )  # fmt: skip
        yield cloud


@contextmanager
def _compute(cloud: Cloud, host: LibvirtHost) -> Iterator["subprocess.Popen[bytes]"]:
    config = cloud.folder / "compute.conf"
    config.write_text(
        f"[compute]\ndriver = libvirt\nhealth_port = 0\nreserved_memory_mib = 0\ncpu_ratio = 64\n"
        f"[DEFAULT]\nhost = bench\nstate_path = {host.folder}/state\n"
        f"[libvirt]\nconnection_uri = {host.uri}\nvirt_type = qemu\n"
    )
    with (cloud.folder / "log" / "compute.out").open("ab") as out:
        process = subprocess.Popen(
            [_PROGRAM, "--config-file", cloud.config_file, "--config-file", config],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


class Boots:
    """Servers of the tiny image."""

    def __init__(self, sdk: openstack.connection.Connection) -> None:
        self._sdk = sdk
        self._image = next(iter(sdk.image.images())).id
        self.made: list[str] = []

    def ask(self, count: int = 1) -> list[str]:
        """Ask for servers; their ids."""
        before = {server.id for server in self._sdk.compute.servers(details=False)}
        self._sdk.compute.create_server(
            name="tiny", flavor_id="1", image_id=self._image, networks="none",
            min_count=count, max_count=count,
        )  # fmt: skip
        found = {server.id for server in self._sdk.compute.servers(details=False)}
        self.made += found - before
        return list(found - before)

    def wait(self, servers: list[str], *, timeout_s: float = 300) -> None:
        """Return when all of them are ACTIVE."""

        def states() -> set[str]:
            shown = {each.id: each for each in self._sdk.compute.servers()}
            failed = [shown[s].fault for s in servers if shown[s].status == "ERROR"]
            assert not failed, failed[0]
            return {shown[server].status for server in servers}

        wait_until(lambda: states() == {"ACTIVE"}, "all are ACTIVE", timeout_s=timeout_s)

    def delete(self) -> None:
        """Delete them all."""
        for server in self.made:
            self._sdk.compute.delete_server(server)
        wait_until(
            lambda: not list(self._sdk.compute.servers(details=False)), "all are gone",
            timeout_s=300,
        )  # fmt: skip
        self.made.clear()


def _cost_of_a_boot(boots: Boots, host: LibvirtHost) -> None:
    """A boot, and then libvirt's part of the same boot alone, by turns."""
    ours, floor = [], []
    connection = libvirt.open(host.uri)
    try:
        for _ in range(10):
            began = time.perf_counter()
            boots.wait(boots.ask())
            ours.append(time.perf_counter() - began)
            floor.append(_define_and_start(connection, boots.made[-1]))
        print(
            f"boot: POST to ACTIVE p50 {_ms(ours)} ms, of which libvirt's define and start take "
            f"p50 {_ms(floor)} ms: {float(_ms(ours)) - float(_ms(floor)):.0f} ms are ours"
        )
    finally:
        connection.close()
    boots.delete()


def _define_and_start(connection: "libvirt.virConnect", server: str) -> float:
    """Seconds that libvirt takes for a twin of a server's domain, on a copy of its disk."""
    domain = connection.lookupByName(f"kilonova-{server}")
    tree = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    twin = str(uuid.uuid4())
    copies = []
    for element in (tree.find("name"), tree.find("uuid")):
        element.text = f"twin-{twin}" if element.tag == "name" else twin
    for entry in tree.findall("sysinfo/system/entry[@name='uuid']"):
        entry.text = twin
    for source in tree.iter("source"):
        file = source.get("file")
        if file and Path(file).is_file():
            copies.append(Path(f"{file}.twin"))
            subprocess.run(["cp", "--sparse=always", file, copies[-1]], check=True)
            source.set("file", str(copies[-1]))
        elif source.get("mode") == "bind" and source.get("service"):
            source.set("service", str(free_ports(1)[0]))
        elif source.get("mode") == "bind":
            source.set("path", f"{source.get('path')}.twin")
    for log in tree.iter("log"):
        log.set("file", f"{log.get('file')}.twin")
    xml = ET.tostring(tree).decode()
    began = time.perf_counter()
    made = connection.defineXML(xml)
    made.create()
    took = time.perf_counter() - began
    made.destroy()
    made.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    for copy in copies:
        copy.unlink()
    return took


def _ten_at_once(boots: Boots) -> None:
    began = time.perf_counter()
    boots.wait(boots.ask(10))
    print(f"10 servers at once: all ACTIVE after {time.perf_counter() - began:.1f} s")
    boots.delete()


def _idle(boots: Boots, daemon: "subprocess.Popen[bytes]", guests: int, idle_s: float) -> None:
    for _ in range(guests // 5):
        boots.wait(boots.ask(5))
    before, began = processes.cpu_s(daemon.pid), time.monotonic()
    while time.monotonic() - began < idle_s:
        time.sleep(1)
    used = (processes.cpu_s(daemon.pid) - before) / (time.monotonic() - began)
    resident = processes.resident_mib(daemon.pid) * 1.048576
    print(
        f"compute daemon with {guests} guests: {resident:.0f} MB resident, {used:.2%} of a core "
        f"over {idle_s:.0f} s"
    )
    boots.delete()


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f}"


if __name__ == "__main__":
    main()
