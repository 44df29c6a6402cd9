# SPDX-License-Identifier: Apache-2.0
"""A compute daemon as a process, a real broker, and in the conductor's place a note-taker."""

import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from textwrap import dedent

import pytest

from common import config
from common.context import service_context
from common.objects.operation import Operation
from common.rpc.compute import Compute
from common.rpc.conductor.hosts import Hosts
from common.rpc.conductor.reports import Reports
from common.rpc.transport import Bus
from tests.contracts.drivers.contract import wait_until
from tests.ports import free_ports

pytestmark = pytest.mark.functional
SOON_S = 30


class NotedReports(Reports):
    """Keeps what hosts report, and what they still owe."""

    def __init__(self):
        self.changed = threading.Condition()
        self.reports, self.power, self.pending = [], [], {}

    def operation_done(self, ctx, report):
        with self.changed:
            self.reports.append(report)
            self.pending.pop(report.operation_id, None)
            self.changed.notify_all()

    def pending_operations(self, ctx, hosts):
        return [o for o in self.pending.values() if o.host in hosts]

    def power_states(self, ctx, host, states):
        self.power.append((host, states))

    def instances_of(self, ctx, host):
        return {}

    def strays(self, ctx, host, states):
        """Nothing is done about them."""

    def host_booted(self, ctx, host):
        return 0

    def report_of(self, operation_id):
        """The first report of an operation; waits for it."""

        def found():
            return next((r for r in self.reports if r.operation_id == operation_id), None)

        with self.changed:
            assert self.changed.wait_for(lambda: found() is not None, SOON_S)
            return found()


class NotedHosts(Hosts):
    """Keeps host reports and heartbeats."""

    def __init__(self):
        self.reported, self.alive = {}, set()

    def report(self, ctx, reports):
        self.reported |= {r.host: r for r in reports}

    def heartbeat(self, ctx, binary, hosts):
        self.alive |= {(binary, host) for host in hosts}


class Scene:
    """The daemon with its configuration, and both ends of the bus."""

    def __init__(self, folder, transport_url, **fake):
        self.health_port = free_ports(1)[0]
        self.folder = folder
        self.state_file = folder / "guests"
        options = "\n".join(f"{name} = {value}" for name, value in fake.items())
        self.config_file = folder / "kilonova.conf"
        self.config_file.write_text(
            dedent(
                f"""
                [DEFAULT]
                host = node
                state_path = {folder}
                log_dir = {folder}
                log_file = compute.log
                debug = true
                transport_url = {transport_url}
                heartbeat_interval_s = 1
                [compute]
                driver = fake
                health_port = {self.health_port}
                pending_interval_s = 1
                [service_user]
                auth_type = password
                auth_url = http://127.0.0.1:9/
                [fake]
                state_file = {self.state_file}
                """
            )
            + options
        )
        self.bus = Bus(config.load("test", ["--config-file", str(self.config_file)], []))
        self.reports, self.hosts = NotedReports(), NotedHosts()
        self.compute = Compute.client(self.bus, "node")
        self.process = None

    def serve_conductor(self):
        """Answer in the conductor's place from now on."""
        self.bus.serve(Reports.topic, "conductor", [self.reports, self.hosts]).start()

    def start(self):
        """Start the daemon and wait until it says that all is well."""
        self.launch()
        wait_until(self.is_healthy, SOON_S)

    def launch(self):
        """Start the daemon."""
        code = "import sys; from services.compute.daemon import main; sys.exit(main())"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--config-file", str(self.config_file)]
        )

    def is_healthy(self):
        return self.problems() == ""

    def problems(self):
        """What the daemon says is wrong, "" when all is well; None while it says nothing yet."""
        try:
            url = f"http://127.0.0.1:{self.health_port}/healthz"
            with urllib.request.urlopen(url, timeout=5):
                return ""
        except urllib.error.HTTPError as unwell:
            return unwell.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def send(self, operation_id, method, host, instance, **arguments):
        """Ask for an operation, as the conductor's journal does: noted as owed, then cast."""
        payload = Compute.encode_arguments(
            method, op=operation_id, host=host, instance=instance, **arguments
        )
        ctx = service_context()
        self.reports.pending[operation_id] = Operation(
            id=operation_id, host=host, rpc_server="node", instance_uuid=instance.uuid,
            method=method, payload=payload, context=ctx,
        )  # fmt: skip
        getattr(self.compute, method)(ctx, operation_id, host, instance, **arguments)

    def ask_again(self, operation_id, method, host, instance):
        """Owe the host an operation that it has reported as failed."""
        self.reports.pending[operation_id] = Operation(
            id=operation_id, host=host, rpc_server="node", instance_uuid=instance.uuid,
            method=method, context=service_context(), again=True,
            payload=Compute.encode_arguments(method, op=operation_id, host=host, instance=instance),
        )  # fmt: skip

    def wait_until_under_way(self, method, times=1):
        """Until the daemon has begun an operation, that many times."""
        log = self.folder / "compute.log"
        wait_until(lambda: log.read_text().count(f"{method} begins") >= times, SOON_S)

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        self.process.wait(SOON_S)

    def terminate(self):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SOON_S)

    def guests(self):
        """Uuids of the guests that are there, by the state file."""
        there = set()
        for line in self.state_file.read_text().splitlines():
            _, uuid, state = line.split()
            (there.add if state != "0" else there.discard)(uuid)
        return there

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.bus.close()


@pytest.fixture
def make_scene(tmp_path, new_vhost):
    """Makes a Scene, with who answers as `conductor`; others are options of [fake]."""
    scenes = []

    def make(*, conductor=True, **fake):
        scenes.append(Scene(tmp_path, new_vhost(), **fake))
        if conductor:
            scenes[-1].serve_conductor()
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.close()
