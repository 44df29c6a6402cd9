# SPDX-License-Identifier: Apache-2.0
"""A conductor in memory, behind the real interfaces: what API tests talk to."""

from typing import Any

from common.clients.session import Refused
from common.errors import InstanceNotFound, KeypairNotFound, ServiceNotFound, Unavailable
from common.objects.aggregate import ZoneService, ZoneView
from common.objects.daemon_status import DaemonHealth
from common.objects.image import ImageMeta
from common.objects.new_server import CreatedServers
from common.objects.quota import QuotaSet
from common.objects.task import StepRecord, TaskRecord
from common.rpc.conductor.catalog import Catalog
from common.rpc.conductor.hosts import Hosts
from common.rpc.conductor.power import Power
from common.rpc.conductor.quotas import Quotas
from common.rpc.conductor.servers import Servers
from common.rpc.conductor.tasks import Tasks
from common.rpc.conductor.volumes import Volumes
from tests import factories

LIMITS = {
    "instances": 10, "cores": 20, "ram": 51200, "metadata_items": 128, "injected_files": 5,
    "injected_file_content_bytes": 10240, "injected_file_path_bytes": 255, "key_pairs": 100,
    "server_groups": 10, "server_group_members": 10,
}  # fmt: skip


class _Nobody:
    """The bus of a test that asks nothing of the interfaces behind it."""

    def call(self, address, ctx, payload, timeout_s):
        raise Unavailable(f"{address.namespace}.{address.method}: nobody answers in this test")

    def cast(self, address, ctx, payload, *, fanout):
        raise Unavailable(f"{address.namespace}.{address.method}: nobody listens in this test")


NOBODY = _Nobody()


class MemoryServers(Servers):
    """One server; remembers what was asked of it."""

    def __init__(self) -> None:
        self.instance = factories.make_instance()
        self.asked: list[tuple[str, Any]] = []

    def _note(self, what: str, *details: Any) -> None:
        self.asked.append((what, details))

    def create(self, ctx, request):
        self._note("create", request)
        return CreatedServers(uuids=request.uuids, reservation_id=request.reservation_id)

    def would_accept(self, ctx, request):
        self._note("would_accept", request)
        return len(request.uuids)

    def get(self, ctx, instance, *, any_project=False):
        if instance != self.instance.uuid:
            raise InstanceNotFound(instance=instance)
        return self.instance

    def list_servers(self, ctx, filters, *, brief=False):
        self._note("list", filters, brief)
        return [self.instance]

    def update(self, ctx, instance, changes):
        self._note("update", changes)
        return self.get(ctx, instance)

    def delete(self, ctx, instance, *, force=False):
        self._note("delete", instance)

    def console_output(self, ctx, instance, *, lines=None):
        return "line\x00 one\n"

    def metadata(self, ctx, instance):
        return {"a": "b"}

    def change_metadata(self, ctx, instance, *, set_items, delete_keys, replace=False):
        self._note("metadata", set_items, delete_keys, replace)
        return set_items if replace else {"a": "b"} | set_items

    def tags(self, ctx, instance):
        return ["t"]

    def change_tags(self, ctx, instance, *, add, remove, replace=False):
        self._note("tags", add, remove, replace)
        return sorted(add)

    def actions(self, ctx, instance, *, limit=None, marker=None, changes_since=None,
                changes_before=None):  # fmt: skip
        return [factories.make_action()]

    def action(self, ctx, instance, request_id):
        return factories.make_action()


class MemoryPower(Power):
    """Accepts everything."""

    def start(self, ctx, instance):
        """Nothing happens."""

    def stop(self, ctx, instance):
        """Nothing happens."""

    def reboot(self, ctx, instance, *, hard):
        """Nothing happens."""


class MemoryCatalog(Catalog):
    """One flavor, one key pair."""

    def flavors(self, ctx, **_):
        return [factories.make_flavor()]

    def flavor(self, ctx, flavorid):
        return factories.make_flavor(flavorid=flavorid)

    def create_flavor(self, ctx, flavor):
        return flavor

    def update_flavor(self, ctx, flavorid, *, description):
        return factories.make_flavor(description=description)

    def delete_flavor(self, ctx, flavorid):
        return None

    def change_extra_specs(self, ctx, flavorid, *, set_items, delete_keys):
        return set_items

    def flavor_access(self, ctx, flavorid):
        return [factories.PROJECT]

    def change_flavor_access(self, ctx, flavorid, *, project_id, grant, even_public=False):
        return [project_id]

    def keypairs(self, ctx, *, user_id, limit=None, marker=None):
        return [factories.make_keypair(user_id=user_id)]

    def keypair(self, ctx, *, user_id, name):
        if name != "mine":
            raise KeypairNotFound(name=name, user=user_id)
        return factories.make_keypair(user_id=user_id)

    def create_keypair(self, ctx, keypair):
        return keypair

    def delete_keypair(self, ctx, *, user_id, name):
        self.keypair(ctx, user_id=user_id, name=name)


class MemoryHosts(Hosts):
    """One compute host."""

    def __init__(self) -> None:
        self.changes: list[dict[str, Any]] = []

    def services(self, ctx, *, host=None, binary=None):
        return [factories.make_service()]

    def update_service(self, ctx, **changes):
        self.changes.append(changes)
        if changes.get("host") == "nowhere":
            raise ServiceNotFound(service="nowhere")
        return factories.make_service(disabled=bool(changes.get("disabled")))

    def delete_service(self, ctx, service):
        return None

    def compute_nodes(self, ctx, *, hostname_pattern=None, limit=None, marker=None):
        found = hostname_pattern is None or hostname_pattern in "host1"
        return [factories.make_node()] if found else []

    def compute_node(self, ctx, node):
        return factories.make_node()

    def instances_on(self, ctx, hosts):
        return {host: [[factories.INSTANCE, "server"]] for host in hosts}

    def zones(self, ctx):
        service = ZoneService(available=True, active=True, updated_at=factories.NOW)
        return [
            ZoneView(name="internal", available=True, hosts={"c": {"nova-conductor": service}}),
            ZoneView(name="nova", available=True, hosts={"host1": {"nova-compute": service}}),
        ]

    def health(self, ctx):
        return [DaemonHealth(binary="nova-conductor", host="c", latency_ms=1.5)]


class MemoryQuotas(Quotas):
    """The defaults, a little of it used."""

    def quota_set(self, ctx, *, project_id, user_id=None, with_usage=False):
        return QuotaSet(scope=project_id, limits=LIMITS, in_use={"instances": 1, "cores": 1})

    def defaults(self, ctx):
        return QuotaSet(scope="default", limits=LIMITS)

    def update(self, ctx, *, project_id, user_id=None, limits, force=False):
        return QuotaSet(scope=project_id, limits=LIMITS | limits)

    def delete(self, ctx, *, project_id, user_id=None):
        return None


class MemoryTasks(Tasks):
    """One task under way."""

    def list_tasks(self, ctx, *, active_only=True, instance=None, limit=100):
        return [self.show(ctx, "t")]

    def show(self, ctx, task):
        step = StepRecord(step="build", started_at=factories.NOW)
        return TaskRecord(
            uuid=task, flow="boot", instance_uuid=factories.INSTANCE, project_id="p",
            request_id="r", state="waiting", created_at=factories.NOW, steps=(step,),
        )  # fmt: skip


class MemoryVolumes(Volumes):
    """Accepts everything but what `refusal` is for; a volume is reserved when asked twice."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refusals: dict[str, Exception] = {}

    def _note(self, what: str, **details: Any) -> None:
        self.asked.append((what, details))
        if what in self.refusals:
            raise self.refusals[what]

    def attach(self, ctx, instance, *, wanted, shelved_too=True):
        self._note("attach", instance=instance, wanted=wanted, shelved_too=shelved_too)
        return "task"

    def attached(self, ctx, instance, *, task):
        self._note("attached", task=task)
        return "/dev/vdb" if self.asked[-2][0] == "attached" else None

    def detach(self, ctx, instance, *, volume_id, shelved_too=True):
        self._note("detach", instance=instance, volume_id=volume_id, shelved_too=shelved_too)
        return "task"

    def detaching(self, ctx, instance, *, task):
        return True

    def swap(self, ctx, instance, *, volume_id, wanted):
        self._note("swap", instance=instance, volume_id=volume_id, wanted=wanted)

    def update(self, ctx, instance, *, volume_id, delete_on_termination):
        self._note("update", volume_id=volume_id, delete_on_termination=delete_on_termination)

    def snapshot_assisted(self, ctx, *, volume_id, snapshot_id, new_file):
        self._note("snapshot", volume_id=volume_id, snapshot_id=snapshot_id, new_file=new_file)

    def drop_assisted_snapshot(self, ctx, *, volume_id, snapshot_id, delete_info):
        self._note("drop", volume_id=volume_id, snapshot_id=snapshot_id, delete_info=delete_info)


class MemoryLookups:
    """Every image and network is there."""

    def image(self, call, image_id, *, missing=None):
        return ImageMeta(id=image_id) if image_id else None

    def networks(self, call, asked):
        return None

    def security_groups(self, call, names):
        return names


class MemoryImages:
    """One image in the image service's own words."""

    image = {
        "id": factories.IMAGE, "name": "guest", "status": "active", "size": 5, "min_ram": 0,
        "min_disk": 0, "created_at": "2026-11-23T10:00:00Z", "updated_at": "2026-11-23T10:00:00Z",
        "hw_disk_bus": "virtio", "visibility": "public", "owner": "p", "tags": [],
        "protected": False,
    }  # fmt: skip

    def request(self, token, method, path, **options):
        if path.startswith("/images/") and factories.IMAGE not in path:
            raise Refused("No image found", status=404)
        document = {"images": [self.image]} if path == "/images" else self.image
        return _Response(None if method == "DELETE" else document)


class _Response:
    def __init__(self, document: Any) -> None:
        self.content = b"" if document is None else b"x"
        self._document = document

    def json(self) -> Any:
        return self._document


class MemoryIdentity:
    """Projects called `missing` are not there."""

    def project_exists(self, project_id: str) -> bool:
        return project_id != "missing"
