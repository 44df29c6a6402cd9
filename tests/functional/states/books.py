# SPDX-License-Identifier: Apache-2.0
"""The conductor's books, read from its database: what is claimed must be what is allocated."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import create_engine, text

from tests.functional.cloud import Cloud

_CLAIMED = """
SELECT n.host, n.vcpus_claimed, n.memory_claimed_mib, n.disk_claimed_gib, n.instances,
       coalesce(sum(a.vcpus), 0), coalesce(sum(a.memory_mib), 0), coalesce(sum(a.disk_gib), 0),
       count(DISTINCT a.instance_uuid)
FROM compute_nodes n LEFT JOIN allocations a ON a.host_uuid = n.uuid
GROUP BY n.id
"""
_ALLOCATED = """
SELECT i.uuid, i.vm_state, count(a.host_uuid)
FROM instances i LEFT JOIN allocations a ON a.instance_uuid = i.uuid
WHERE i.deleted_at IS NULL GROUP BY i.uuid, i.vm_state
"""
# What no living instance holds: a migration that waits for its confirmation may hold it.
_HELD_BY_OTHERS = """
SELECT a.instance_uuid, m.instance_uuid, moved.vm_state
FROM allocations a
LEFT JOIN instances i ON i.uuid = a.instance_uuid AND i.deleted_at IS NULL
LEFT JOIN migrations m ON m.uuid = a.instance_uuid
LEFT JOIN instances moved ON moved.uuid = m.instance_uuid AND moved.deleted_at IS NULL
WHERE i.uuid IS NULL
"""
_DISKS = """
SELECT i.uuid, i.host, disk ->> 'volume_id', disk ->> 'attachment_id'
FROM instances i, jsonb_array_elements(i.block_devices) disk
WHERE i.deleted_at IS NULL AND disk ->> 'volume_id' IS NOT NULL
"""
_UNFINISHED = "SELECT count(*) FROM tasks WHERE state IN ('queued', 'runnable', 'waiting')"


class Disk(NamedTuple):
    """A disk of a living instance that is a volume."""

    instance: str
    host: str | None
    volume_id: str
    attachment_id: str | None


class Books:
    """Reads the database of a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._engine = create_engine(cloud.database_url)

    def close(self) -> None:
        self._engine.dispose()

    def unfinished(self) -> int:
        """How many tasks are not at their end."""
        with self._engine.begin() as conn:
            return int(conn.execute(text(_UNFINISHED)).scalar_one())

    def disks(self) -> list[Disk]:
        """The volumes that instances have."""
        with self._engine.begin() as conn:
            return [Disk(*row) for row in conn.execute(text(_DISKS))]

    def mistakes(self, *, reset: Collection[str] = ()) -> list[str]:
        """What does not add up while nothing is under way.

        Servers in `reset` were said to be in a state; they may lack the host that goes with it.
        """
        with self._engine.begin() as conn:
            wrong = [
                f"{host}: claims {claimed}, allocations {allocated}"
                for host, *figures in conn.execute(text(_CLAIMED))
                if (claimed := figures[:4]) != (allocated := figures[4:])
            ]
            for uuid, vm_state, count in conn.execute(text(_ALLOCATED)):
                on_no_host = vm_state == "shelved_offloaded"
                wanted = {0} if on_no_host else {0, 1} if uuid in reset else {1}
                if vm_state != "error" and count not in wanted:
                    wrong.append(f"{uuid} is {vm_state} with {count} allocations")
            wrong += [
                f"{holder} holds a claim: migration of {moved}, which is {vm_state}"
                for holder, moved, vm_state in conn.execute(text(_HELD_BY_OTHERS))
                if vm_state is None or (vm_state != "resized" and moved not in reset)
            ]
        return wrong
