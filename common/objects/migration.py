# SPDX-License-Identifier: Apache-2.0
"""Migration: an instance on its way from one host, or flavor, to another."""

import enum
from datetime import datetime

from common.objects.flavor import Flavor
from common.objects.versioned import Versioned


class MigrationType(enum.StrEnum):
    """Why an instance moves, by the API's words."""

    RESIZE = "resize"
    MIGRATION = "migration"
    LIVE = "live-migration"
    EVACUATION = "evacuation"


class MigrationStatus(enum.StrEnum):
    """How far it is, by the API's words (its contract lists which type has which)."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    PRE_MIGRATING = "pre-migrating"
    MIGRATING = "migrating"
    POST_MIGRATING = "post-migrating"
    FINISHED = "finished"
    CONFIRMING = "confirming"
    CONFIRMED = "confirmed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    COMPLETED = "completed"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ERROR = "error"


# Live migrations that users can still see and stop.
IN_PROGRESS = (
    MigrationStatus.QUEUED, MigrationStatus.PREPARING, MigrationStatus.RUNNING,
    MigrationStatus.POST_MIGRATING,
)  # fmt: skip


class MigrationProgress(Versioned, frozen=True, kw_only=True):
    """What a live migration has copied, in bytes; None where nothing is known yet."""

    memory_total_bytes: int | None = None
    memory_processed_bytes: int | None = None
    memory_remaining_bytes: int | None = None
    disk_total_bytes: int | None = None
    disk_processed_bytes: int | None = None
    disk_remaining_bytes: int | None = None


class Migration(Versioned, frozen=True, kw_only=True):
    """A move. `source_host` and `dest_host` are compute daemons' names, nodes the hypervisors'.

    `old_vm_state` is what a reverted instance returns to. While the instance waits for a
    confirmation, its new claim is recorded under the migration's `uuid`.
    """

    id: int = 0
    uuid: str
    instance_uuid: str
    type: str
    status: str = MigrationStatus.ACCEPTED
    source_host: str | None = None
    source_node: str | None = None
    dest_host: str | None = None
    dest_node: str | None = None
    old_flavor: Flavor
    new_flavor: Flavor
    old_vm_state: str
    project_id: str
    user_id: str
    created_at: datetime
    updated_at: datetime | None = None


class MigrationFilters(Versioned, frozen=True, kw_only=True):
    """Which migrations to list; None does not restrict. `host` is either end.

    Times bound `updated_at`. `marker` is the uuid of the last one of the page before.
    """

    instance_uuid: str | None = None
    host: str | None = None
    source_host: str | None = None
    status: str | None = None
    type: str | None = None
    project_id: str | None = None
    user_id: str | None = None
    changes_since: datetime | None = None
    changes_before: datetime | None = None
    marker: str | None = None
    limit: int | None = None
