# SPDX-License-Identifier: Apache-2.0
"""A user over the bus, who repeats a request whose answer got lost, and counts what was left."""

import contextlib
import json
import time
import urllib.request
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from sqlalchemy import text

from common import config
from common.context import RequestContext
from common.errors import InstanceNotFound, Unavailable
from common.ids import new_request_id, new_uuid
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.objects.network import RequestedNetwork
from common.objects.new_server import NewServers
from common.rpc.conductor.catalog import Catalog
from common.rpc.conductor.servers import Servers
from common.rpc.transport import Bus
from services.conductor.db.engine import Database
from tests.functional.rabbitmq import wait_until

DAEMONS = ("companion", "conductor", "scheduler", "compute")
ADMIN = RequestContext(request_id="req-admin", user_id="root", project_id="root", is_admin=True)


class User:
    """A member of one project on a cloud of fake hosts."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.conf = config.load("test", ["--config-file", str(cloud.config_file)], ["database"])
        self.bus = Bus(self.conf)
        self.servers = Servers.client(self.bus)
        self.database = Database(self.conf.database.connection, pool_size=2)
        network = cloud.connect("admin").network
        self.network = network.create_network(name="private", shared=True).id
        network.create_subnet(network_id=self.network, ip_version=4, cidr="10.20.0.0/16")
        flavor = Flavor(flavorid="1", name="tiny", vcpus=1, memory_mib=64, root_gib=1)
        Catalog.client(self.bus).create_flavor(ADMIN, flavor)
        self._threads = ThreadPoolExecutor(max_workers=64)
        self.plain_config = cloud.config_file.read_text()

    def close(self):
        self._threads.shutdown(cancel_futures=True)
        self.bus.close()
        self.database.close()

    # --- requests ---

    def ctx(self):
        return RequestContext(request_id=new_request_id(), user_id="u", project_id="p")

    def boot(self):
        """Ask for a server with a network; its uuid once that is accepted."""
        request = NewServers(
            uuids=(new_uuid(),), name="chaos", flavorid="1", image=ImageMeta(id="image"),
            networks=(RequestedNetwork(network_id=self.network),), reservation_id="r-1",
            admin_password="hidden",
        )  # fmt: skip
        self.insist(lambda: self.servers.create(self.ctx(), request))
        return request.uuids[0]

    def delete(self, uuid):
        """Ask for a server's deletion."""

        def ask():
            with contextlib.suppress(InstanceNotFound):  # an answer was lost, not the deletion
                self.servers.delete(self.ctx(), uuid)

        self.insist(ask)

    def insist(self, ask):
        """What `ask` returns; asked again at once when a daemon died, maybe with the request."""
        asked, deadline = [self._threads.submit(ask)], time.monotonic() + 60
        while True:
            for one in wait(asked, timeout=0.1, return_when=FIRST_COMPLETED).done:
                asked.remove(one)
                if not isinstance(one.exception(), Unavailable):
                    return one.result()
            has_died = self.revive()
            if has_died or not asked:
                asked.append(self._threads.submit(ask))
            if has_died:
                deadline = time.monotonic() + 60
            assert time.monotonic() < deadline, "nobody answers"

    # --- outcomes ---

    def row(self, uuid):
        with self.database.begin() as conn:
            query = text("SELECT vm_state, task_state, host, fault FROM instances WHERE uuid = :u")
            return conn.execute(query, {"u": uuid}).one()

    def rests(self, uuid):
        """Whether nothing is being done to an instance."""
        with self.database.begin() as conn:
            query = text(
                "SELECT count(*) FROM tasks WHERE instance_uuid = :u AND finished_at IS NULL"
            )
            unfinished = conn.execute(query, {"u": uuid}).scalar_one()
        return unfinished == 0 and self.row(uuid).task_state is None

    def outcome(self, uuid, *, timeout_s=60):
        """active, deleted or error, once the server rests; dead daemons are started meanwhile."""

        def rests():
            self.revive()
            return self.rests(uuid)

        wait_until(rests, f"{uuid} rests: {self.row(uuid)}", timeout_s=timeout_s)
        return self.row(uuid).vm_state

    def step(self, uuid):
        """At which step the instance's task is."""
        with self.database.begin() as conn:
            query = text(
                "SELECT flow || ':' || step FROM tasks WHERE instance_uuid = :u"
                " AND finished_at IS NULL ORDER BY id LIMIT 1"
            )
            return conn.execute(query, {"u": uuid}).scalar_one_or_none()

    def leftovers(self):
        """Everything that no living server accounts for; waits for what is owed to be paid."""
        with self.database.begin() as conn:

            def column(query):
                return list(conn.execute(text(query)).scalars())

            alive = Counter(
                column("SELECT uuid FROM instances WHERE deleted_at IS NULL AND host IS NOT NULL")
            )
            ports = Counter(
                column("SELECT uuid FROM instances WHERE deleted_at IS NULL AND vifs <> '[]'")
            )
            found = {
                "tasks": column("SELECT uuid FROM tasks WHERE finished_at IS NULL"),
                "secrets": column("SELECT uuid FROM tasks WHERE secret IS NOT NULL"),
                "owed": column("SELECT id FROM owed_operations"),
                "allocations": _difference(
                    Counter(column("SELECT instance_uuid FROM allocations")), alive
                ),
                "claims": column(
                    "SELECT host FROM compute_nodes n WHERE (instances, vcpus_claimed) <>"
                    " (SELECT count(*), COALESCE(sum(vcpus), 0) FROM allocations"
                    " WHERE host_uuid = n.uuid)"
                ),
            }  # fmt: skip
        found["guests"] = _difference(self.guests(), alive)
        found["ports"] = _difference(self.ports(), ports)
        return {what: which for what, which in found.items() if which}

    def guests(self):
        """The guests of all hosts, as the fake driver's log of them says."""
        return Counter(uuid for (_, uuid), state in self.cloud.guests().items() if state)

    def ports(self):
        network = self.cloud.connect("admin").network
        return Counter(port.device_id for port in network.ports() if port.device_id)

    def assert_nothing_left(self, *, timeout_s=20):
        """Fails with what is left behind."""
        deadline = time.monotonic() + timeout_s
        while left := self.leftovers():
            assert time.monotonic() < deadline, left
            self.revive()
            time.sleep(0.1)

    # --- daemons ---

    def calm(self):
        """Every daemon runs, with the plain configuration and without faults."""
        self.cloud.faults()
        if self.cloud.config_file.read_text() != self.plain_config:
            self.cloud.config_file.write_text(self.plain_config)
            self.restart("conductor")
        self.revive()
        for name in DAEMONS:
            wait_until(lambda n=name: self.cloud.healthy(n), f"{name} is healthy", timeout_s=40)

    def crash_at(self, points):
        """From now on the conductor dies at each of these points, once."""
        options = f"[conductor]\ncrash_points = {','.join(points)}\n"
        self.cloud.config_file.write_text(self.plain_config + options)
        self.restart("conductor")

    def crashed_at(self):
        """The points at which the conductor has died."""
        record = self.cloud.folder / "state" / "crash_points_hit"
        return record.read_text().split() if record.exists() else []

    def has_crashed_at(self, points, *, within_s=2):
        """Whether the conductor has died at all of these points; the last death may be due."""
        deadline = time.monotonic() + within_s
        while not set(points) <= set(self.crashed_at()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def restart(self, name):
        self.cloud.kill(name)
        self.cloud.start(name)

    def revive(self):
        """Start what has died; whether anything had."""
        has_died = False
        for name in DAEMONS:
            try:
                if not self.cloud.has_died(name):
                    continue
                self.cloud.reap(name)
            except KeyError:
                pass  # a test has killed it
            has_died = True
            self.cloud.start(name, wait=False)
        return has_died

    def counters(self, name):
        """What a daemon counts."""
        url = f"http://127.0.0.1:{self.cloud.ports[name]}/healthz"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["counters"]


def _difference(have, want):
    return sorted((have - want).elements()) + sorted((want - have).elements())
