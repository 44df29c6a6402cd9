# SPDX-License-Identifier: Apache-2.0
"""Placing: what flows have in common that bring an instance, which is on no host, onto one."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Text, bindparam, select
from sqlalchemy.engine import Connection

from common.errors import (
    GroupForbidsHost,
    HostFull,
    HostUnsuited,
    ImageNotFound,
    ImageUnacceptable,
    KilonovaError,
    NoValidHost,
)
from common.guest_hardware.topology import isolates_emulator
from common.objects.compute_node import HostReport
from common.objects.flavor import Flavor
from common.objects.instance import Instance
from common.objects.network import RequestedNetwork, VirtualInterface
from common.objects.request_spec import Candidate, RequestSpec, Selection
from common.objects.resources import Resources
from common.objects.scheduler_hints import as_lists
from common.objects.server_group import GroupSpec
from common.objects.versioned import Versioned
from common.objects.volume import VolumeConnection
from services.conductor import claims
from services.conductor.db import compute_nodes, instances, server_groups
from services.conductor.db.aggregates import zone_of
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Flow, HostStep
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.storage import (
    Storage,
    connect_and_complete,
    connections_of,
    storage_of,
    with_connections,
)

_ZONE = select(zone_of(bindparam("host", type_=Text)))
_MIB_PER_GIB = 1024
# A claim lost to others says nothing about a host: choose again, but not for ever.
_LOST_CLAIMS = 20


class PlacingParams(Versioned, frozen=True, kw_only=True):
    """What every placing task has among its parameters.

    `chosen`: hosts that were chosen before the task was accepted; with `forced`, the one that
    somebody insists on, past the scheduler.
    """

    spec: RequestSpec
    chosen: tuple[Candidate, ...] = ()
    forced: bool = False


class Claimed(Versioned, frozen=True, kw_only=True):
    """The host that was claimed, the instance's volumes, which are to be connected to it, and its
    ports, to be bound there: what it has at that moment, not when the task was accepted.
    """

    candidate: Candidate
    zone: str
    failed_builds: int = 0
    storage: Storage = Storage()
    ports: tuple[RequestedNetwork, ...] = ()


class Tried(Versioned, frozen=True, kw_only=True):
    """A host that failed to build the instance, and why."""

    host: str
    reason: str


def spec_of(instance: Instance, **changes: Any) -> RequestSpec:
    """The spec that places `instance` as it is; `changes` are fields of RequestSpec.

    Its zone is the one that it is pinned to. A move excludes its host (`excluded_hosts`), goes to
    one that was asked for (`requested_host`), or needs room for another flavor (`need`).
    """
    fields: dict[str, Any] = {
        "instance_uuids": (instance.uuid,),
        "project_id": instance.project_id,
        "need": need_of(instance.flavor, boots_from_volume=instance.is_volume_backed),
        "availability_zone": instance.pinned_availability_zone,
        "image_properties": instance.image.properties if instance.image else {},
        "image_id": instance.image.id if instance.image else None,
        "extra_specs": instance.flavor.extra_specs,
        "flavor_name": instance.flavor.name,
        "scheduler_hints": as_lists(instance.scheduler_hints),
    }
    return RequestSpec(**fields | changes)


def need_of(flavor: Flavor, *, boots_from_volume: bool) -> Resources:
    """What a flavor takes of a host: disks are root, ephemeral, and swap in whole GiB.

    The root disk of what boots from a volume is not the host's. A CPU that only the hypervisor's
    threads run on is one more than the guest sees.
    """
    root_gib = 0 if boots_from_volume else flavor.root_gib
    disk_gib = root_gib + flavor.ephemeral_gib - (-flavor.swap_mib // _MIB_PER_GIB)
    vcpus = flavor.vcpus + isolates_emulator(flavor)
    return Resources(vcpus=vcpus, memory_mib=flavor.memory_mib, disk_gib=disk_gib)


class Placing(Flow):
    """Steps to choose a host and claim room on it, and what to do when the host fails to build.

    A flow has them under these names, and `build` for the step that a host may fail at.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    # --- what a flow says of itself ---

    def shown_when_claimed(self, task: Task) -> dict[str, Any]:
        """Columns to set with the host."""
        return {}

    def shown_when_released(self, task: Task) -> dict[str, Any]:
        """Columns to set when the host is given up."""
        return {}

    def _claimed(self, conn: Connection, task: Task, candidate: Candidate, failed: int) -> Claimed:
        """The claimed host, and what the instance brings there."""
        instance = self._ground.instance(conn, task)
        return Claimed(
            candidate=candidate,
            zone=zone_of_host(conn, candidate.host),
            failed_builds=failed,
            storage=storage_of(conn, instance, host=candidate.host),
            ports=ports_of(instance),
        )

    # --- steps ---

    def choose_host(self, task: Task) -> Selection:
        """Ask the scheduler for a host and alternates, unless that was done before.

        Again: it may choose others.
        """
        params = _params(task)
        if params.chosen and (params.forced or not _has_failed(task)):
            return Selection(candidates=(params.chosen,))
        spec = params.spec
        excluded = (*spec.excluded_hosts, *(tried.host for tried in _tried(task)))
        spec = msgspec.structs.replace(spec, excluded_hosts=excluded)
        selection = self._ground.scheduler.select(task.context, spec)
        if not selection.candidates or not selection.candidates[0]:
            raise NoValidHost(reason=selection.reason)
        return selection

    def claim(self, conn: Connection, task: Task) -> Claimed:
        """Take room on the first of the chosen hosts that still has it.

        Again: cannot be, its commit is also its record.
        """
        claimed = self._take(conn, task)
        candidate, zone = claimed.candidate, claimed.zone
        instances.change(
            conn,
            task.instance_uuid,
            host=candidate.host,
            node=candidate.node,
            launched_on=candidate.host,
            availability_zone=zone,
            **self.shown_when_claimed(task),
        )
        task.after(lambda: self._ground.hosts_changed([candidate.host_uuid]))
        return claimed

    def _take(self, conn: Connection, task: Task, holder: str | None = None) -> Claimed:
        """Claim the first of the chosen hosts that still has room, for `holder` or the instance.

        Members of a server group are placed one after the other: its row is locked until the
        commit. Raises: HostFull; GroupForbidsHost, with what the scheduler did not know yet;
        HostUnsuited (a forced one).
        """
        params = _params(task)
        spec, need = params.spec, params.spec.need
        candidates = task.result("choose_host", Selection).candidates[0]
        if "group" in spec.scheduler_hints:
            candidates = _allowed(server_groups.spec_for(conn, task.instance_uuid), candidates)
        if params.forced:
            check_forced(conn, spec, candidates[0], down_after_s=self._ground.limits.down_after_s)
        for candidate in candidates:
            taken = claims.take(conn, holder or task.instance_uuid, candidate, need)
            if taken is not None:
                return self._claimed(conn, task, candidate, taken.failed_builds)
        raise HostFull(host=", ".join(c.host for c in candidates))

    def connect_volumes(self, task: Task) -> list[VolumeConnection]:
        """Let the claimed host reach the instance's volumes. Again: they are connected anew."""
        storage = claimed_by(task).storage
        return connect_and_complete(
            self._ground, task.instance_uuid, storage.connector, storage.volumes
        )

    def bind_ports(self, task: Task) -> list[VirtualInterface]:
        """Bind the instance's ports to the claimed host. Again: they are."""
        claimed = claimed_by(task)
        return self._bind(task, claimed.candidate.host, claimed.zone)

    def _bind(self, task: Task, host: str, zone: str) -> list[VirtualInterface]:
        ports = claimed_by(task).ports
        return bind(self._ground, task, _params(task).spec.project_id, host, zone, ports)

    def release(self, conn: Connection, task: Task) -> None:
        """Give the room back and leave the host. Again: nothing is left to give."""
        freed = claims.release(
            conn, task.instance_uuid, build_failed=bool(task.results.get("host_failed"))
        )
        leaves = {"host": None, "node": None, "launched_on": None, "availability_zone": None}
        instances.change(conn, task.instance_uuid, **leaves, **self.shown_when_released(task))
        task.after(lambda: self._ground.hosts_changed(freed))

    def destroy(self, conn: Connection, task: Task) -> HostStep:
        """Have the host remove what there may be of the guest. Again: nothing to remove is fine."""
        instance = self._ground.instance(conn, task)
        there = with_connections(instance, connections_of(task, "connect_volumes"))
        return self._ground.order(
            conn,
            "destroy",
            msgspec.structs.replace(instance, block_devices=there),
            host=claimed_by(task).candidate.host,
            deadline_s=self._ground.limits.operation_timeout_s,
            owable=True,
        )

    def praise(self, conn: Connection, task: Task) -> None:
        """The claimed host has built the guest: earlier failures of it count no more."""
        claimed = claimed_by(task)
        if claimed.failed_builds:
            claims.forget_failures(conn, claimed.candidate.host_uuid)
            task.after(lambda: self._ground.hosts_changed([claimed.candidate.host_uuid]))

    # --- when a step fails ---

    def rewind(self, task: Task, step: str, error: KilonovaError) -> str | None:
        """Another host may do what one could not; a bad image is bad everywhere.

        Who insists on a host gets no other one.
        """
        if _params(task).forced:
            return None
        if step == "claim" and isinstance(error, HostFull):
            lost = task.results["lost_claims"] = task.results.get("lost_claims", 0) + 1
            return "choose_host" if lost <= _LOST_CLAIMS else None
        if step != "build":
            task.results["host_failed"] = False
            return None
        task.results["host_failed"] = not isinstance(error, ImageUnacceptable | ImageNotFound)
        another = self.try_another(task, error)
        return another if task.results["host_failed"] else None

    def try_another(self, task: Task, error: KilonovaError) -> str | None:
        """Note why the claimed host did not do; where to go on, unless enough were tried."""
        tried = Tried(host=claimed_by(task).candidate.host, reason=str(error))
        task.results["tried"] = [*task.results.get("tried", ()), msgspec.to_builtins(tried)]
        return "choose_host" if len(_tried(task)) < self._ground.limits.build_attempts else None


def check_forced(
    conn: Connection, spec: RequestSpec, candidate: Candidate, *, down_after_s: float
) -> None:
    """What the scheduler would have looked at that nobody can do without.

    Raises: HostUnsuited.
    """
    nodes = compute_nodes.some(conn, [candidate.host_uuid], down_after_s=down_after_s)
    reason = None
    if not nodes or not nodes[0].is_up:
        reason = "its compute service is unavailable at this time"
    elif candidate.host in spec.excluded_hosts:
        reason = "it still has to remove what an earlier move left there"
    elif spec.hypervisor_type is not None:
        reason = _unlike(nodes[0].report, spec)
    if reason is not None:
        raise HostUnsuited(host=candidate.host, reason=reason)


def _unlike(report: HostReport, spec: RequestSpec) -> str | None:
    if report.hypervisor_type != spec.hypervisor_type:
        return (
            f"its hypervisor is {report.hypervisor_type}, and the guest runs on "
            f"{spec.hypervisor_type}"
        )
    if report.hypervisor_version < spec.hypervisor_version:
        return (
            f"its hypervisor has the version {report.hypervisor_version}, older than the guest's "
            f"({spec.hypervisor_version})"
        )
    return None


def zone_of_host(conn: Connection, host: str) -> str:
    """The availability zone that a host is in."""
    zone: str = conn.execute(_ZONE, {"host": host}).scalar_one()
    return zone


def rebound(
    before: Iterable[VirtualInterface], bound: Iterable[VirtualInterface]
) -> tuple[VirtualInterface, ...]:
    """Interfaces as they are bound now; who made their ports stays known."""
    made = {vif.port_id: vif.created for vif in before}
    return tuple(
        msgspec.structs.replace(vif, created=made[vif.port_id])
        for vif in bound
        if vif.port_id in made
    )


def ports_of(instance: Instance) -> tuple[RequestedNetwork, ...]:
    """The instance's ports, to be bound to another host."""
    return tuple(RequestedNetwork(port_id=vif.port_id, tag=vif.tag) for vif in instance.vifs)


def bind(
    ground: Ground,
    task: Task,
    project_id: str,
    host: str,
    zone: str,
    ports: tuple[RequestedNetwork, ...],
) -> list[VirtualInterface]:
    """Bind ports of the task's instance to a host. Again: they are."""
    if not ports:
        return []
    return list(
        ground.ports.plug(
            instance=task.instance_uuid,
            project_id=project_id,
            host=host,
            zone=zone,
            requested=ports,
            security_groups=(),
        )
    )


def claimed_by(task: Task) -> Claimed:
    """What the step `claim` gave."""
    return task.result("claim", Claimed)


def has_volumes(task: Task) -> bool:
    """Whether volumes are to be connected to the claimed host."""
    return bool(task.results["claim"].get("storage", {}).get("volumes"))


def why(task: Task) -> str:
    """The last error, and the hosts that were tried when they are more than one."""
    reason = str(task.results.get("error", {}).get("message") or task.reason)
    tried = _tried(task)
    if not tried:
        return reason
    if len(tried) == 1 and tried[0].reason == reason:
        return f"{reason} (on {tried[0].host})"
    return f"{reason} Tried: " + "; ".join(f"{one.host}: {one.reason}" for one in tried)


def _allowed(group: GroupSpec | None, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Those that the group allows now. Raises: GroupForbidsHost (none of them)."""
    if group is None:
        return candidates
    allowed = tuple(each for each in candidates if group.allows(each.host))
    if not allowed:
        raise GroupForbidsHost(
            name=group.name,
            policy=group.policy,
            host=", ".join(each.host for each in candidates),
        )
    return allowed


def _has_failed(task: Task) -> bool:
    """Whether a host could not be claimed, or not build."""
    return bool(task.results.get("lost_claims") or _tried(task))


def _params(task: Task) -> PlacingParams:
    return msgspec.convert(task.params, PlacingParams)


def _tried(task: Task) -> list[Tried]:
    return msgspec.convert(task.results.get("tried", []), list[Tried])
