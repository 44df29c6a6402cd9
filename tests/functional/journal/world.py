# SPDX-License-Identifier: Apache-2.0
"""A conductor without a bus: a test is its scheduler and its hosts."""

import random

import msgspec
from sqlalchemy import text

from common.clients.session import Refused
from common.clock import SystemClock
from common.errors import ImageNotFound
from common.ids import new_uuid
from common.objects.image import ImageMeta
from common.objects.network import VirtualInterface
from common.objects.new_server import NewServers
from common.objects.operation import OperationReport
from common.objects.request_spec import Candidate, Selection
from common.rpc.scheduler import Scheduler
from services.conductor.accept.admission import Admission
from services.conductor.accept.create import Create
from services.conductor.accept.delete import AcceptDelete
from services.conductor.accept.guest import AcceptGuest
from services.conductor.accept.interfaces import AcceptInterfaces
from services.conductor.accept.moves import AcceptMoves
from services.conductor.accept.power import AcceptPower
from services.conductor.accept.repair import AcceptRepair
from services.conductor.accept.shelving import AcceptShelving
from services.conductor.accept.snapshots import AcceptSnapshots
from services.conductor.accept.state import AcceptState
from services.conductor.daemon import FLOWS
from services.conductor.db import flavors, instances
from services.conductor.db.journal import Lease
from services.conductor.journal import crashpoints
from services.conductor.journal.engine import Engine
from services.conductor.journal.runner import Runner
from services.conductor.journal.stepper import Patience, Stepper
from services.conductor.quota import Quota
from services.conductor.tasks.ground import Ground, Limits
from tests.functional.db.rows import TINY, add_hosts, caller, make_report
from tests.functional.db.test_quota import OPTIONS
from tests.functional.journal.toy import Hosts
from tests.functional.rabbitmq import wait_until

MEMBER, ADMIN = caller(), caller(project_id="admins", is_admin=True)
RECLAIM_AFTER_S = 3600


class TwoHosts(Scheduler):
    """Always the host whose `turn` it is; `reason` when it has none."""

    def __init__(self):
        self.reports = [make_report("host1"), make_report("host2")]
        self.turn, self.reason = 0, ""

    def select(self, ctx, spec):
        if self.reason:
            return Selection(candidates=((),), reason=self.reason)
        chosen = self.reports[self.turn]
        candidate = Candidate(host_uuid=chosen.uuid, host=chosen.host, node=chosen.host)
        return Selection(candidates=((candidate,),))


class Images:
    """The image service: what is in `known` is there."""

    def __init__(self):
        self.known: dict[str, ImageMeta] = {}

    def add(self, image_id, status="queued", **properties):
        self.known[image_id] = ImageMeta(id=image_id, status=status, properties=properties)
        return image_id

    def get(self, image_id):
        if image_id not in self.known:
            raise ImageNotFound(image=image_id)
        return self.known[image_id]

    def delete(self, image_id):
        if self.known.get(image_id) and self.known[image_id].properties.get("protected"):
            raise Refused("it is protected", status=403)
        self.known.pop(image_id, None)

    def find(self, *, status, **wanted):
        found = [i for i in self.known.values() if i.status == status]
        return [i for i in reversed(found) if wanted.items() <= i.properties.items()]


class Ports:
    """The network service: a port is (instance, key) for as long as it is plugged."""

    def __init__(self):
        self.plugged = {}

    def attach(self, *, instance, key, wanted, **where):
        vif = VirtualInterface(port_id=f"port-{key}", network_id=wanted.network_id, mac="m")
        self.plugged[vif.port_id] = instance
        return vif

    def unplug(self, instance):
        self.plugged = {port: of for port, of in self.plugged.items() if of != instance}

    def detach(self, instance, *, port_id=None, key=""):
        self.plugged.pop(port_id or f"port-{key}", None)


BIGGER = msgspec.structs.replace(TINY, flavorid="bigger", name="bigger", vcpus=TINY.vcpus + 1)


class World:
    """A conductor without a bus: a test is its scheduler and its hosts."""

    def __init__(self, database, *, runner=None, crash=None):
        self.database = database
        self.scheduler, self.hosts, self.images = TwoHosts(), Hosts(), Images()
        self.ports = Ports()
        add_hosts(database, *self.scheduler.reports)
        with database.begin() as conn:
            flavors.add(conn, TINY)
            flavors.add(conn, BIGGER)
        ground = Ground(
            scheduler=self.scheduler, ports=self.ports, images=self.images,
            hosts_changed=lambda _: None, limits=Limits(), clock=SystemClock(), new_uuid=new_uuid,
        )  # fmt: skip
        flows = {f.name: f(ground) for f in FLOWS}
        lease = Lease("me#1", 30, 10)
        self.runner = runner or Runner(database, lease, threads=2)
        self.engine = Engine(
            database,
            Stepper(flows, clock=SystemClock(), rng=random.Random(1), patience=Patience()),
            self.hosts, lease, crash or crashpoints.none(), self.runner.put,
        )  # fmt: skip
        self.runner.start(self.engine.run)
        quota = Quota(OPTIONS)
        self.create = Create(database, self.engine, quota, clock=SystemClock(), new_uuid=new_uuid)
        admission = Admission(
            database, self.engine, self.runner,
            clock=SystemClock(), new_uuid=new_uuid, down_after_s=60,
        )  # fmt: skip
        self.power, self.state = AcceptPower(admission), AcceptState(admission)
        self.delete = AcceptDelete(admission, quota).delete
        self.guest = AcceptGuest(admission)
        self.snapshots = AcceptSnapshots(admission, quota)
        self.shelving = {
            offload_after_s: AcceptShelving(
                admission, offload_after_s=offload_after_s, down_after_s=60
            )
            for offload_after_s in (-1, 0, 3600)
        }
        self.interfaces = AcceptInterfaces(admission, self.ports)
        self.repair = AcceptRepair(admission, quota)
        self.moves = AcceptMoves(
            admission, quota, clock=SystemClock(), new_uuid=new_uuid, down_after_s=60,
            same_host=True,
        )  # fmt: skip
        self.soft = AcceptDelete(admission, quota, reclaim_after_s=RECLAIM_AFTER_S)

    def boot(self, **values):
        """Ask for a server; answer as its host."""
        created = self.create(MEMBER, request(**values))
        self.report("build")
        return created.uuids[0]

    def report(self, method, power_state=1, error=None):
        """The host reports its next operation, which is `method`."""
        wait_until(lambda: bool(self.hosts.sent), f"{method} was sent")
        operation = self.hosts.sent.pop(0)
        assert operation.method == method
        self.engine.reported(
            OperationReport(
                operation_id=operation.id, host="host1", result={"power_state": power_state},
                error=error.to_wire() if error else None,
            )
        )  # fmt: skip
        return operation

    def new_uuid(self):
        return new_uuid()

    def get(self, uuid):
        with self.database.begin() as conn:
            return instances.get_even_deleted(conn, uuid, down_after_s=60)

    def scalars(self, query):
        with self.database.begin() as conn:
            return list(conn.execute(text(query)).scalars())


def request(**values):
    fields = {"uuids": (new_uuid(),), "name": "web", "flavorid": "1", "reservation_id": "r-1"}
    return NewServers(**{**fields, "image": ImageMeta(id="i"), **values})
