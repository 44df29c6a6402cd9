# SPDX-License-Identifier: Apache-2.0
"""kilonova-compute: wiring."""

import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oslo_config import cfg

from common import config, daemon
from common.clients.image import ImageClient
from common.clients.session import ServiceSession
from common.clock import SystemClock
from common.context import service_context
from common.ids import new_uuid
from common.objects.operation import OperationReport
from common.objects.resources import Resources
from common.observability import log
from common.presence import ControlEndpoint
from common.rpc.compute import Compute
from common.rpc.conductor.hosts import Hosts as HostsRpc
from common.rpc.conductor.reports import Reports
from common.rpc.control import Control
from common.rpc.transport import Bus
from services.compute.endpoint import ComputeEndpoint
from services.compute.finished import Finished, FinishedInMemory, FinishedOnDisk
from services.compute.host_boot import HostBoot, Revival
from services.compute.hosts import Host, Hosts, Offer, lasting_uuid
from services.compute.lanes import Lanes
from services.compute.operations import Operations
from services.compute.outbox import Outbox
from services.compute.power_watch import PowerWatch
from services.compute.reporter import BINARY, Intervals, Reporter
from services.compute.snapshots import Uploads
from services.compute.virt.fake.director import Behaviour, Director
from services.compute.virt.fake.driver import FakeDriver
from services.compute.virt.fake.memory import GuestMemory
from services.compute.warming import Warming

_PROGRAM = "kilonova-compute"
# One thread keeps messages in order: a destroy must not overtake the build before it. None of them
# takes long: they only start operations, or read the end of a log.
_RPC_THREADS = 1
# Fake hosts keep their uuid across restarts without a file for each.
_FAKE_HOSTS = uuid.UUID("6f1f44a0-7a53-4c0c-9d57-2f4a0f9ac3a1")


class ComputeDaemon:
    """A compute daemon's life, for `common.daemon.run`."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        is_fake = conf.compute.driver == "fake"
        self._stop_grace_s = conf.stop_grace_s
        self._bus = Bus(conf)
        self._to_reports = Reports.client(self._bus)
        self._outbox = Outbox()
        self._hosts = Hosts(
            fake_hosts(conf) if is_fake else [libvirt_host(conf)],
            rpc_server=conf.host,
            offer=offer(conf, is_fake=is_fake),
        )
        self._lanes = Lanes(conf.compute.operation_threads)
        self._operations = Operations(self._lanes, finished(conf, is_fake), self._send_report)
        self._power_watch = PowerWatch(
            self._hosts,
            is_busy=self._operations.is_busy,
            tell=self._send_power_states,
            tell_strays=self._send_strays,
            recorded=lambda host: self._to_reports.instances_of(service_context(), host),
            first=None if is_fake else self._revival(conf),
        )
        images = ImageClient(ServiceSession(conf))
        self._warming = Warming(self._hosts, self._lanes, images)
        endpoint = ComputeEndpoint(
            self._hosts, self._operations, self._power_watch, Uploads(images), self._warming
        )
        self._reporter = Reporter(
            self._hosts,
            to_hosts=HostsRpc.client(self._bus),
            to_reports=self._to_reports,
            run=endpoint.run,
            power_watch=self._power_watch,
            clock=SystemClock(),
            intervals=intervals(conf, is_fake=is_fake),
        )
        control = ControlEndpoint(BINARY, conf.host, self.health)
        self._servers = [
            self._bus.serve(Compute.topic, conf.host, [endpoint], threads=_RPC_THREADS),
            self._bus.serve(Control.topic, f"{BINARY}.{conf.host}", [control], threads=2),
        ]

    def start(self) -> None:
        """Connect to the hypervisor, then take messages, then say so."""
        for host in self._hosts:
            host.driver.start(self._power_watch.sink(host.name))
        self._outbox.start()
        self._power_watch.start()
        for server in self._servers:
            server.start()
        self._reporter.start()

    def stop(self) -> None:
        """Take nothing new; what can stop at a checkpoint stops and runs again after the start."""
        self._reporter.stop()
        # Side by side: each waits seconds for its consumer to leave the broker.
        with ThreadPoolExecutor(len(self._servers)) as leaving:
            list(leaving.map(lambda server: server.stop(), self._servers))
        self._operations.cancel_everything("the compute daemon stops")
        self._warming.stop()
        self._lanes.close()
        self._power_watch.stop()
        self._outbox.stop(within_s=self._stop_grace_s)
        for host in self._hosts:
            host.driver.stop()
        self._bus.close()

    def health(self) -> dict[str, str]:
        """The conductor must know this host, get its reports, and the hypervisor must answer."""
        problems = {"conductor": self._reporter.problem(), "reports": self._outbox.problem()}
        problems |= {f"hypervisor of {h.name}": h.driver.health() for h in self._hosts}
        return {subject: problem for subject, problem in problems.items() if problem}

    def _send_strays(self, host: str, states: dict[str, int]) -> None:
        self._outbox.put(lambda: self._to_reports.strays(service_context(), host, states))

    def _revival(self, conf: cfg.ConfigOpts) -> Revival:
        return Revival(
            HostBoot(Path(conf.state_path) / "compute" / "boot_id"),
            self._hosts.names,
            revives=conf.compute.resume_guests_state_on_host_boot,
            ask=lambda host: self._to_reports.host_booted(service_context(), host),
        )

    def _send_report(self, report: OperationReport) -> None:
        self._outbox.put(lambda: self._to_reports.operation_done(service_context(), report))

    def _send_power_states(self, host: str, states: dict[str, int]) -> None:
        self._outbox.put(lambda: self._to_reports.power_states(service_context(), host, states))


def fake_hosts(conf: cfg.ConfigOpts) -> list[Host]:
    """The hosts that `[fake]` describes. Raises: ValueError (a fault that cannot be read)."""
    fake = conf.fake
    director = Director(
        Behaviour.parse(fake.delays_ms, fake.faults),
        control_file=Path(fake.control_file) if fake.control_file else None,
    )
    state_path = Path(conf.state_path)
    folders = {"snapshots": state_path / "snapshots", "images": state_path / "images"}
    memory = GuestMemory(Path(fake.state_file) if fake.state_file else None)
    total = Resources(vcpus=fake.vcpus, memory_mib=fake.memory_mib, disk_gib=fake.disk_gib)
    prefix = fake.host_prefix or f"{conf.host}-"
    names = [f"{prefix}{number}" for number in range(1, fake.hosts + 1)]
    if fake.hosts == 1 and not fake.host_prefix:
        names = [conf.host]
    return [
        Host(
            name,
            str(uuid.uuid5(_FAKE_HOSTS, name)),
            FakeDriver(name, total=total, director=director, memory=memory, **folders),
        )
        for name in names
    ]


def libvirt_host(conf: cfg.ConfigOpts) -> Host:
    """The one real host of this daemon."""
    # Imported only here: a machine for fake hosts has no libvirt.
    from services.compute.virt.libvirt.wiring import make_driver

    state_path = Path(conf.state_path)
    return Host(
        conf.host, lasting_uuid(state_path / "compute" / "host_uuid", new_uuid), make_driver(conf)
    )


def finished(conf: cfg.ConfigOpts, is_fake: bool) -> Finished:
    """Where reports are remembered: as long as the guests are."""
    if is_fake:
        return FinishedInMemory()
    return FinishedOnDisk(Path(conf.state_path) / "operations")


def offer(conf: cfg.ConfigOpts, *, is_fake: bool) -> Offer:
    """What of its hosts the operator gives away; a fake host needs nothing for itself."""
    options = conf.compute
    reserved = Resources(
        vcpus=options.reserved_vcpus,
        memory_mib=options.reserved_memory_mib,
        disk_gib=options.reserved_disk_gib,
    )
    return Offer(
        reserved=Resources() if is_fake else reserved,
        cpu_ratio=options.cpu_ratio,
        memory_ratio=options.memory_ratio,
        disk_ratio=options.disk_ratio,
        host_ip=options.host_ip,
        traits=tuple(options.traits),
    )


def intervals(conf: cfg.ConfigOpts, *, is_fake: bool) -> Intervals:
    """The reporter's pace. Fake guests change behind nobody's back: no sweep at start."""
    return Intervals(
        report_s=conf.compute.report_interval_s,
        heartbeat_s=conf.heartbeat_interval_s,
        pending_s=conf.compute.pending_interval_s,
        sweep_s=conf.compute.power_sync_interval_s,
        sweep_at_start=not is_fake,
    )


def main() -> int:
    """The console script."""
    groups = [
        "compute", "libvirt", "fake", "metadata", "service_user", "volume",
        "vnc", "spice", "serial_console",
    ]  # fmt: skip
    conf = config.load(_PROGRAM, sys.argv[1:], groups)
    log.setup(conf, _PROGRAM)
    health = (conf.compute.health_host, conf.compute.health_port)
    return daemon.run(_PROGRAM, ComputeDaemon(conf), health_address=health if health[1] else None)
