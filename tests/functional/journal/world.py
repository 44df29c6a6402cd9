# SPDX-License-Identifier: Apache-2.0
"""A conductor without a bus: a test is its scheduler and its hosts."""

import random

import msgspec
from sqlalchemy import text

from common.clients.session import Refused
from common.clock import SystemClock
from common.errors import ImageNotFound, InvalidVolume, VolumeNotFound
from common.ids import new_uuid
from common.objects.image import ImageMeta
from common.objects.network import VirtualInterface
from common.objects.new_server import NewServers
from common.objects.operation import OperationReport
from common.objects.request_spec import Candidate, Selection
from common.objects.share_mapping import HOST_TRAIT
from common.objects.volume import Volume, VolumeConnection
from common.rpc.scheduler import Scheduler
from services.conductor.accept.admission import Admission
from services.conductor.accept.arrivals import AcceptArrivals
from services.conductor.accept.create import Create
from services.conductor.accept.delete import AcceptDelete
from services.conductor.accept.guest import AcceptGuest
from services.conductor.accept.interfaces import AcceptInterfaces
from services.conductor.accept.moves import AcceptMoves
from services.conductor.accept.power import AcceptPower
from services.conductor.accept.repair import AcceptRepair
from services.conductor.accept.revival import AcceptRevival
from services.conductor.accept.shares import AcceptShares
from services.conductor.accept.shelving import AcceptShelving
from services.conductor.accept.snapshots import AcceptSnapshots
from services.conductor.accept.state import AcceptState
from services.conductor.accept.volumes import AcceptVolumes
from services.conductor.choosing import Choosing
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
    """Always the host whose `turn` it is; `reason` when it has none. Keeps what it was `asked`."""

    def __init__(self):
        self.reports = [
            make_report(name, connector={"host": name, "ip": name}, traits=(HOST_TRAIT,))
            for name in ("host1", "host2")
        ]
        self.turn, self.reason, self.asked = 0, "", []

    def select(self, ctx, spec):
        self.asked.append(spec)
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
    """The network service: a port is `plugged` into an instance, and `bound` to a host.

    `slow` ports are DOWN when they are bound; `looks` has how many looks later each is ACTIVE.
    """

    def __init__(self):
        self.plugged, self.bound = {}, {}
        self.slow, self.looks = {}, {}
        self.when_looked_at = lambda: None

    def attach(self, *, instance, key, wanted, host, **where):
        vif = VirtualInterface(port_id=f"port-{key}", network_id=wanted.network_id, mac="m")
        self.plugged[vif.port_id], self.bound[vif.port_id] = instance, host
        return vif

    def plug(self, *, instance, host, requested, **where):
        ids = [each.port_id for each in requested]
        self.bound |= dict.fromkeys(ids, host)
        self.plugged |= dict.fromkeys(ids, instance)
        self.looks |= {each: self.slow[each] for each in ids if each in self.slow}
        return tuple(
            VirtualInterface(port_id=each, network_id="net", mac="m", active=each not in self.slow)
            for each in ids
        )

    def active_ports(self, instance):
        self.when_looked_at()
        ids = {port for port, of in self.plugged.items() if of == instance}
        for port in ids & self.looks.keys():
            self.looks[port] -= 1
        return {port for port in ids if self.looks.get(port, 0) <= 0}

    def unplug(self, instance):
        self.plugged = {port: of for port, of in self.plugged.items() if of != instance}

    def detach(self, instance, *, port_id=None, key=""):
        self.plugged.pop(port_id or f"port-{key}", None)


class Volumes:
    """The volume service: `attachments` are (instance, volume, host) by id, host None when kept.

    `busy` has what volumes are doing for the next looks at them; `renamed` is told when one volume
    becomes another.
    """

    def __init__(self):
        self.known = {}
        self.attachments = {}
        self.busy = {}
        self.detaching = set()
        self.snapshots = {}
        self.renamed = lambda old_id, new_id: None

    def add(self, volume_id, **values):
        self.known[volume_id] = Volume(
            **{"id": volume_id, "status": "available", "size_gib": 1, **values}
        )
        return volume_id

    def get(self, volume_id):
        if volume_id not in self.known:
            raise VolumeNotFound(volume=volume_id)
        if self.busy.get(volume_id):
            return msgspec.structs.replace(
                self.known[volume_id], status=self.busy[volume_id].pop(0)
            )
        return self.known[volume_id]

    def reserve(self, instance, volume_ids):
        return self._settle(instance, volume_ids, None)

    def reserve_anew(self, instance, volume_ids):
        self.release(instance, volume_ids)
        return self._settle(instance, volume_ids, None)

    def connect(self, instance, connector, volumes, *, keep=()):
        ids = [volume_id for volume_id, _ in volumes]
        old = [a for v in ids for a in self._of(instance, v) if a not in keep]
        made = tuple(self._attach(instance, each, connector["host"]) for each in ids)
        self.drop(old)
        return made

    def complete(self, attachment_ids):
        assert set(attachment_ids) <= set(self.attachments)

    def release(self, instance, volume_ids):
        for volume_id in volume_ids:
            self.drop(self._of(instance, volume_id))
        self.detaching -= set(volume_ids)

    def drop(self, attachment_ids):
        for each in attachment_ids:
            self.attachments.pop(each, None)

    def begin_detaching(self, volume_id):
        self.detaching.add(volume_id)

    def roll_detaching(self, volume_id):
        self.detaching.discard(volume_id)

    def reimage(self, volume_id, image_id):
        assert [self.attachments[a][2] for a in self._holders(volume_id)] == [None]
        self.busy[volume_id] = ["downloading"]

    def finish_migration(self, old_id, new_id, *, failed):
        if not self.known[old_id].is_migrating:
            raise InvalidVolume(reason="it does not migrate")
        self.known[old_id] = msgspec.structs.replace(self.known[old_id], is_migrating=False)
        self.known.pop(new_id)
        self.renamed(new_id, old_id)
        self.detaching.discard(old_id)
        for key in self._holders(new_id):
            instance, _, host = self.attachments[key]
            self.attachments[key] = (instance, old_id, host)
        return old_id

    def show_snapshot(self, snapshot_id, *, status, progress):
        self.snapshots[snapshot_id] = status

    def delete(self, volume_id):
        if self._holders(volume_id):
            raise InvalidVolume(reason="it is in use")
        if self.busy.get(volume_id):
            raise InvalidVolume(reason="something is being done to it")
        self.known.pop(volume_id, None)

    def held_by(self, instance):
        return {key: value[1:] for key, value in self.attachments.items() if value[0] == instance}

    def _settle(self, instance, volume_ids, host):
        return tuple(
            self._shown(key) if (key := next(iter(self._of(instance, each)), None))
            else self._attach(instance, each, host)
            for each in volume_ids
        )  # fmt: skip

    def _attach(self, instance, volume_id, host):
        if volume_id not in self.known:
            raise VolumeNotFound(volume=volume_id)
        others = {self.attachments[key][0] for key in self._holders(volume_id)} - {instance}
        if others and not self.known[volume_id].multiattach:
            raise InvalidVolume(reason=f"{volume_id} is in use")
        key = new_uuid()
        self.attachments[key] = (instance, volume_id, host)
        return self._shown(key)

    def _shown(self, key):
        _, volume_id, host = self.attachments[key]
        connection = {"driver_volume_type": "local", "data": {"host": host}} if host else None
        return VolumeConnection(volume_id=volume_id, attachment_id=key, connection=connection)

    def _of(self, instance, volume_id):
        return [k for k, v in self.attachments.items() if v[:2] == (instance, volume_id)]

    def _holders(self, volume_id):
        return [k for k, v in self.attachments.items() if v[1] == volume_id]


class Shares:
    """The shared file system service: `allowed` has (share, address) of hosts that may mount."""

    def __init__(self):
        self.allowed = set()
        self.refuse = None
        self.when_denied = lambda: None

    def allow(self, share_id, host_address):
        if self.refuse is not None:
            raise self.refuse
        self.allowed.add((share_id, host_address))
        return "rule"

    def deny(self, share_id, host_address):
        if self.refuse is not None:
            raise self.refuse
        self.when_denied()
        self.allowed.discard((share_id, host_address))


BIGGER = msgspec.structs.replace(TINY, flavorid="bigger", name="bigger", vcpus=TINY.vcpus + 1)


class World:
    """A conductor without a bus: a test is its scheduler and its hosts."""

    def __init__(self, database, *, runner=None, crash=None, limits=None):
        self.database = database
        self.scheduler, self.hosts, self.images = TwoHosts(), Hosts(), Images()
        self.ports, self.volumes, self.shares = Ports(), Volumes(), Shares()
        add_hosts(database, *self.scheduler.reports)
        with database.begin() as conn:
            flavors.add(conn, TINY)
            flavors.add(conn, BIGGER)
        choosing = Choosing(database, self.scheduler)
        ground = Ground(
            scheduler=choosing, ports=self.ports, images=self.images, volumes=self.volumes,
            shares=self.shares,
            hosts_changed=lambda _: None, limits=limits or Limits(), clock=SystemClock(),
            new_uuid=new_uuid,
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
        self.disks = AcceptVolumes(admission, new_uuid=new_uuid, down_after_s=60)
        self.mounts = AcceptShares(admission, new_uuid=new_uuid)
        self.repair = AcceptRepair(admission, quota, self.volumes)
        self.moves = AcceptMoves(
            admission, quota, choosing,
            clock=SystemClock(), new_uuid=new_uuid, down_after_s=60, same_host=True,
        )  # fmt: skip
        self.revival = AcceptRevival(database, self.engine, clock=SystemClock(), new_uuid=new_uuid)
        self.arrivals = AcceptArrivals(admission, down_after_s=60)
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
