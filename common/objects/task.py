# SPDX-License-Identifier: Apache-2.0
"""Task: one run of a flow, as operators see it (`kilonova op`)."""

from datetime import datetime

from common.objects.versioned import Versioned


class StepRecord(Versioned, frozen=True, kw_only=True):
    """A step that ran, or runs: which way, where, how often, how long, and how it ended."""

    step: str
    direction: str = "forward"
    attempt: int = 1
    host: str | None = None
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = None
    reason: str | None = None


class TaskRecord(Versioned, frozen=True, kw_only=True):
    """A task of the journal.

    `state`: queued (another task of the instance runs first), runnable, waiting (for a host),
    done, undone or failed. `step` is the current step, `deadline_at` when it is given up.
    """

    uuid: str
    flow: str
    instance_uuid: str
    project_id: str
    request_id: str
    state: str
    direction: str = "forward"
    step: str | None = None
    host: str | None = None
    attempts: int = 0
    lease_owner: str | None = None
    lease_until: datetime | None = None
    deadline_at: datetime | None = None
    reason: str | None = None
    created_at: datetime
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    steps: tuple[StepRecord, ...] = ()
