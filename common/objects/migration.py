# SPDX-License-Identifier: Apache-2.0
"""Migration: an instance's way from one host to another, and what people ask about such ways."""

from datetime import datetime
from enum import StrEnum

from common.objects.flavor import Flavor
from common.objects.versioned import Versioned


class MigrationType(StrEnum):
    """Why an instance moves; the words are the API's."""

    MIGRATION = "migration"
    RESIZE = "resize"
    LIVE = "live-migration"
    EVACUATION = "evacuation"


class MigrationStatus(StrEnum):
    """How far it has come; the words are the API's."""

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
    DONE = "done"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ERROR = "error"


# Live migrations that users see below their server.
IN_PROGRESS = frozenset((
    MigrationStatus.QUEUED, MigrationStatus.PREPARING, MigrationStatus.RUNNING,
    MigrationStatus.POST_MIGRATING,
))  # fmt: skip


class Migration(Versioned, frozen=True, kw_only=True):
    """A move of an instance. `*_compute` are hosts, `dest_host` is the destination's address.

    `old_vm_state` is what the instance was before. With `holds_source` the source still has a claim
    (under the migration's uuid) and may have disks: until a resize is confirmed, for instance.
    """

    id: int = 0
    uuid: str
    instance_uuid: str
    project_id: str
    user_id: str
    migration_type: str
    status: str
    source_compute: str
    source_node: str | None = None
    dest_compute: str | None = None
    dest_node: str | None = None
    dest_host: str | None = None
    old_flavor: Flavor
    new_flavor: Flavor
    old_vm_state: str
    holds_source: bool = False
    cancel_requested: bool = False
    created_at: datetime
    updated_at: datetime | None = None

    @property
    def is_live_and_in_progress(self) -> bool:
        """Whether users find it below its server."""
        return self.migration_type == MigrationType.LIVE and self.status in IN_PROGRESS


class MigrationFilters(Versioned, frozen=True, kw_only=True):
    """Which migrations a list has; None does not restrict. `host` is either end of the way.

    `marker` is the uuid of the last one seen; times are ISO texts.
    """

    instance_uuid: str | None = None
    host: str | None = None
    source_compute: str | None = None
    status: str | None = None
    migration_type: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    changes_since: datetime | None = None
    changes_before: datetime | None = None
    limit: int | None = None
    marker: str | None = None


class MigrationProgress(Versioned, frozen=True, kw_only=True):
    """How far the copy of a running live migration has come, in bytes."""

    memory_total_bytes: int = 0
    memory_processed_bytes: int = 0
    memory_remaining_bytes: int = 0
    disk_total_bytes: int = 0
    disk_processed_bytes: int = 0
    disk_remaining_bytes: int = 0
