# SPDX-License-Identifier: Apache-2.0
"""Instance actions and their events: the journal as its users read it."""

from datetime import datetime

from common.objects.versioned import Versioned


class ActionEvent(Versioned, frozen=True, kw_only=True):
    """A step of an action. `result` is Success, Error or None while it runs.

    `project_id`: that of the action, which the host is named to users by.
    """

    event: str
    start_time: datetime
    finish_time: datetime | None = None
    result: str | None = None
    host: str | None = None
    details: str | None = None
    traceback: str | None = None
    project_id: str | None = None


class InstanceAction(Versioned, frozen=True, kw_only=True):
    """Something that was asked of an instance; `message` is why it failed, if it did."""

    action: str
    instance_uuid: str
    request_id: str
    user_id: str | None = None
    project_id: str | None = None
    start_time: datetime
    updated_at: datetime | None = None
    message: str | None = None
    events: tuple[ActionEvent, ...] = ()
