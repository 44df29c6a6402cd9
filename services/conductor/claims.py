# SPDX-License-Identifier: Apache-2.0
"""Claims: taking what an instance needs from a host, and giving it back.

The capacity is the condition of the one statement that takes: two conductors cannot both win what
is there once, and claims that both fit do not hinder one another. Each change lets the host's
generation grow; callers tell `Deltas.changed` of it after their commit.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from common.objects.request_spec import Candidate
from common.objects.resources import Resources

_TAKE = text("""
WITH taken AS (
    UPDATE compute_nodes
    SET vcpus_claimed = vcpus_claimed + :vcpus,
        memory_claimed_mib = memory_claimed_mib + :memory_mib,
        disk_claimed_gib = disk_claimed_gib + :disk_gib,
        instances = instances + 1,
        generation = generation + 1
    WHERE uuid = :host_uuid
      AND vcpus_claimed + :vcpus <= vcpus_capacity
      AND memory_claimed_mib + :memory_mib <= memory_capacity_mib
      AND disk_claimed_gib + :disk_gib <= disk_capacity_gib
    RETURNING uuid, failed_builds
), recorded AS (
    INSERT INTO allocations (instance_uuid, host_uuid, vcpus, memory_mib, disk_gib)
    SELECT :instance, uuid, :vcpus, :memory_mib, :disk_gib FROM taken
)
SELECT failed_builds FROM taken
""")

_FITS = text("""
SELECT 1 FROM compute_nodes
WHERE uuid = :host_uuid
  AND vcpus_claimed + :vcpus <= vcpus_capacity
  AND memory_claimed_mib + :memory_mib <= memory_capacity_mib
  AND disk_claimed_gib + :disk_gib <= disk_capacity_gib
""")

_RELEASE = text("""
WITH given_back AS (
    DELETE FROM allocations WHERE instance_uuid = :instance RETURNING *
)
UPDATE compute_nodes
SET vcpus_claimed = vcpus_claimed - given_back.vcpus,
    memory_claimed_mib = memory_claimed_mib - given_back.memory_mib,
    disk_claimed_gib = disk_claimed_gib - given_back.disk_gib,
    instances = instances - 1,
    failed_builds = failed_builds + :failures,
    generation = generation + 1
FROM given_back WHERE compute_nodes.uuid = given_back.host_uuid
RETURNING compute_nodes.uuid
""")

_HAND_OVER = text("UPDATE allocations SET instance_uuid = :to WHERE instance_uuid = :giver")

_FORGET_FAILURES = text("""
UPDATE compute_nodes SET failed_builds = 0, generation = generation + 1
WHERE uuid = :host_uuid AND failed_builds > 0
""")


@dataclass(frozen=True)
class Taken:
    """A claim that was won; `failed_builds` is how often in a row the host failed before."""

    failed_builds: int


def take(conn: Connection, instance: str, host: Candidate, need: Resources) -> Taken | None:
    """Take `need` from `host` for `instance`; None when it does not fit (any more)."""
    row = conn.execute(_TAKE, {"instance": instance, **_figures(host, need)}).one_or_none()
    return None if row is None else Taken(row.failed_builds)


def fits(conn: Connection, host: Candidate, need: Resources) -> bool:
    """Whether `take` would have taken `need` just now."""
    return conn.execute(_FITS, _figures(host, need)).first() is not None


def _figures(host: Candidate, need: Resources) -> dict[str, Any]:
    return {
        "host_uuid": host.host_uuid,
        "vcpus": need.vcpus,
        "memory_mib": need.memory_mib,
        "disk_gib": need.disk_gib,
    }


def release(conn: Connection, instance: str, *, build_failed: bool = False) -> list[str]:
    """Give everything back that `instance` holds; the compute nodes that have more now.

    Again: nothing. `build_failed` counts against the host where the scheduler weighs it.
    """
    return list(
        conn.execute(_RELEASE, {"instance": instance, "failures": int(build_failed)}).scalars()
    )


def hand_over(conn: Connection, giver: str, to: str) -> None:
    """Let `to` hold what `giver` holds: an instance that moves leaves the claim on its old host to
    its migration, and takes it back if it returns. The hosts' figures stay. Again: nothing.
    """
    conn.execute(_HAND_OVER, {"giver": giver, "to": to})


def forget_failures(conn: Connection, host_uuid: str) -> None:
    """The host builds again: earlier failures count no more."""
    conn.execute(_FORGET_FAILURES, {"host_uuid": host_uuid})
