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
    ImageNotFound,
    ImageUnacceptable,
    KilonovaError,
    NoValidHost,
)
from common.objects.flavor import Flavor
from common.objects.instance import Instance
from common.objects.network import RequestedNetwork, VirtualInterface
from common.objects.request_spec import Candidate, RequestSpec, Selection
from common.objects.resources import Resources
from common.objects.server_group import GroupSpec
from common.objects.versioned import Versioned
from services.conductor import claims
from services.conductor.db import instances, server_groups
from services.conductor.db.aggregates import zone_of
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Flow, HostStep
from services.conductor.tasks.ground import Ground

_ZONE = select(zone_of(bindparam("host", type_=Text)))
_MIB_PER_GIB = 1024
# A claim lost to others says nothing about a host: choose again, but not for ever.
_LOST_CLAIMS = 20


class PlacingParams(Versioned, frozen=True, kw_only=True):
    """What every placing task has among its parameters."""

    spec: RequestSpec


class Claimed(Versioned, frozen=True, kw_only=True):
    """The host that was claimed."""

    candidate: Candidate
    zone: str
    failed_builds: int = 0


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
        "need": need_of(instance.flavor),
        "availability_zone": instance.pinned_availability_zone,
        "image_properties": instance.image.properties if instance.image else {},
        "extra_specs": instance.flavor.extra_specs,
        "scheduler_hints": instance.scheduler_hints,
    }
    return RequestSpec(**fields | changes)


def need_of(flavor: Flavor) -> Resources:
    """What a flavor takes of a host: disks are root, ephemeral, and swap in whole GiB."""
    disk_gib = flavor.root_gib + flavor.ephemeral_gib - (-flavor.swap_mib // _MIB_PER_GIB)
    return Resources(vcpus=flavor.vcpus, memory_mib=flavor.memory_mib, disk_gib=disk_gib)


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

    # --- steps ---

    def choose_host(self, task: Task) -> Selection:
        """Ask the scheduler for a host and alternates. Again: it may choose others."""
        spec = _params(task).spec
        excluded = (*spec.excluded_hosts, *(tried.host for tried in _tried(task)))
        spec = msgspec.structs.replace(spec, excluded_hosts=excluded, group=_group(task))
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
        commit. Raises: HostFull; GroupForbidsHost, with what the scheduler did not know yet.
        """
        spec = _params(task).spec
        need = spec.need
        candidates = task.result("choose_host", Selection).candidates[0]
        if "group" in spec.scheduler_hints:
            candidates = _allowed(server_groups.spec_for(conn, task.instance_uuid), candidates)
        for candidate in candidates:
            taken = claims.take(conn, holder or task.instance_uuid, candidate, need)
            if taken is not None:
                zone = zone_of_host(conn, candidate.host)
                return Claimed(candidate=candidate, zone=zone, failed_builds=taken.failed_builds)
        raise HostFull(host=", ".join(c.host for c in candidates))

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
        return self._ground.order(
            conn,
            "destroy",
            self._ground.instance(conn, task),
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
        """Another host may do what one could not; a bad image is bad everywhere."""
        if step == "claim" and isinstance(error, HostFull):
            if isinstance(error, GroupForbidsHost):
                task.results["group"] = error.details["group"]
            lost = task.results["lost_claims"] = task.results.get("lost_claims", 0) + 1
            return "choose_host" if lost <= _LOST_CLAIMS else None
        if step != "build":
            return None
        tried = Tried(host=claimed_by(task).candidate.host, reason=str(error))
        task.results["tried"] = [*task.results.get("tried", ()), msgspec.to_builtins(tried)]
        task.results["host_failed"] = not isinstance(error, ImageUnacceptable | ImageNotFound)
        if not task.results["host_failed"]:
            return None
        return "choose_host" if len(_tried(task)) < self._ground.limits.build_attempts else None


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


def claimed_by(task: Task) -> Claimed:
    """What the step `claim` gave."""
    return task.result("claim", Claimed)


def why(task: Task) -> str:
    """The last error, and the hosts that were tried when they are more than one."""
    reason = str(task.results.get("error", {}).get("message") or task.reason)
    tried = _tried(task)
    if not tried:
        return reason
    if len(tried) == 1 and tried[0].reason == reason:
        return f"{reason} (on {tried[0].host})"
    return f"{reason} Tried: " + "; ".join(f"{one.host}: {one.reason}" for one in tried)


def _group(task: Task) -> GroupSpec | None:
    """The server group as a lost claim found it, or as it was when the task was accepted."""
    found = task.results.get("group")
    return _params(task).spec.group if found is None else msgspec.convert(found, GroupSpec)


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
            group=msgspec.to_builtins(group),
        )
    return allowed


def _params(task: Task) -> PlacingParams:
    return msgspec.convert(task.params, PlacingParams)


def _tried(task: Task) -> list[Tried]:
    return msgspec.convert(task.results.get("tried", []), list[Tried])
