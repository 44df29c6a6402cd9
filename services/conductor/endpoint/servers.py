# SPDX-License-Identifier: Apache-2.0
"""The `servers` interface: reads and small changes here, long operations by way of `accept`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.clock import moment_of
from common.context import RequestContext
from common.errors import (
    InstanceNotFound,
    InstanceNotReady,
    Invalid,
    NotFound,
)
from common.objects.action import ActionEvent, InstanceAction
from common.objects.instance import Instance
from common.objects.json_list import JsonList
from common.objects.new_server import CreatedServers, NewServers, ServerFilters
from common.rpc.conductor.servers import Servers
from services.conductor.accept.checks import check
from services.conductor.accept.create import Create
from services.conductor.accept.delete import AcceptDelete
from services.conductor.computes import Computes
from services.conductor.db import actions, instances
from services.conductor.db.engine import Database
from services.conductor.quota import Quota

MAX_TAGS = 50
# Fields that a caller may change without a task.
_CHANGEABLE = frozenset((
    "name", "description", "hostname", "access_ip_v4", "access_ip_v6", "disk_config",
    "pinned_availability_zone",
))  # fmt: skip


class ServersEndpoint(Servers):
    """Looks instances up where the caller may see them.

    `compute_of` makes the client of a compute daemon from the queue that it listens on; `events_of`
    reads the events of a task from the journal.
    """

    def __init__(
        self,
        database: Database,
        create: Create,
        delete: AcceptDelete,
        quota: Quota,
        *,
        computes: Computes,
        events_of: Callable[[Connection, str], tuple[ActionEvent, ...]],
        down_after_s: float,
    ) -> None:
        self._database = database
        self._create = create
        self._delete = delete
        self._quota = quota
        self._computes = computes
        self._events_of = events_of
        self._down_after_s = down_after_s

    # --- long operations ---

    def create(self, ctx: RequestContext, request: NewServers) -> CreatedServers:
        """Accept new servers."""
        return self._create(ctx, request)

    def would_accept(self, ctx: RequestContext, request: NewServers) -> int:
        """How many new servers would be accepted now."""
        return self._create.would_accept(ctx, request)

    def delete(self, ctx: RequestContext, instance: str, *, force: bool = False) -> None:
        """Accept a deletion."""
        self._delete.delete(ctx, instance, force=force)

    def restore(self, ctx: RequestContext, instance: str) -> None:
        """Accept to bring a soft-deleted instance back."""
        self._delete.restore(ctx, instance)

    # --- the instance itself ---

    def get(self, ctx: RequestContext, instance: str, *, any_project: bool = False) -> Instance:
        """One instance."""
        with self._database.read() as conn:
            if any_project:
                return instances.get(conn, instance, down_after_s=self._down_after_s)
            return self._find(conn, ctx, instance)

    def list_servers(
        self, ctx: RequestContext, filters: ServerFilters, *, brief: bool = False
    ) -> JsonList[Instance]:
        """Instances in order, page by page."""
        with self._database.read() as conn:
            return instances.list_servers(
                conn, filters, down_after_s=self._down_after_s, brief=brief
            )

    def update(self, ctx: RequestContext, instance: str, changes: dict[str, Any]) -> Instance:
        """Change what may be changed without a task. Raises: Invalid (another field)."""
        unknown = sorted(changes.keys() - _CHANGEABLE)
        if unknown:
            raise Invalid(f"Fields that cannot be changed: {', '.join(unknown)}")
        with self._database.begin() as conn:
            found = self._find(conn, ctx, instance, for_update=True)
            try:
                changed = msgspec.convert(msgspec.to_builtins(found) | changes, Instance)
            except msgspec.ValidationError as malformed:
                raise Invalid(str(malformed)) from malformed
            if not changes:
                return found
            updated_at = instances.change(conn, instance, **changes)
            return msgspec.structs.replace(changed, updated_at=updated_at)

    def console_output(
        self, ctx: RequestContext, instance: str, *, lines: int | None = None
    ) -> str:
        """The end of the serial log, from the instance's host."""
        with self._database.read() as conn:
            found = self._find(conn, ctx, instance)
            if found.host is None:
                raise InstanceNotReady(instance=instance)
            compute = self._computes.on(conn, found.host)
        text = compute.console_output(ctx, found.host, found)
        return text if lines is None else last_lines(text, lines)

    # --- metadata and tags ---

    def metadata(self, ctx: RequestContext, instance: str) -> dict[str, str]:
        """The instance's metadata."""
        return self.get(ctx, instance).metadata

    def change_metadata(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        set_items: dict[str, str],
        delete_keys: list[str],
        replace: bool = False,
    ) -> dict[str, str]:
        """Set and delete items; the metadata afterwards."""
        with self._database.begin() as conn:
            found = self._find(conn, ctx, instance, for_update=True)
            check(ctx, found, "update_metadata" if set_items or replace else "delete_metadata")
            if any(key not in found.metadata for key in delete_keys):
                raise NotFound("Metadata item was not found")
            kept = {} if replace else found.metadata
            after = {k: v for k, v in kept.items() if k not in delete_keys} | set_items
            if len(after) > len(found.metadata):
                self._quota.check_metadata(conn, found.project_id, found.user_id, len(after))
            instances.change(conn, instance, metadata=after)
        return after

    def tags(self, ctx: RequestContext, instance: str) -> list[str]:
        """The instance's tags, sorted."""
        return sorted(self.get(ctx, instance).tags)

    def change_tags(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        add: list[str],
        remove: list[str],
        replace: bool = False,
    ) -> list[str]:
        """Add and remove tags; the tags afterwards, sorted."""
        with self._database.begin() as conn:
            found = self._find(conn, ctx, instance, for_update=True)
            check(ctx, found, _tag_operation(add, remove, replace=replace))
            missing = [tag for tag in remove if tag not in found.tags]
            if missing:
                raise NotFound(f"Server {instance} has no tag '{missing[0]}'")
            kept = set() if replace else set(found.tags)
            after = sorted((kept - set(remove)) | set(add))
            if len(after) > MAX_TAGS:
                raise Invalid(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
            instances.change(conn, instance, tags=after)
        return after

    # --- actions ---

    def actions(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        limit: int | None = None,
        marker: str | None = None,
        changes_since: str | None = None,
        changes_before: str | None = None,
    ) -> list[InstanceAction]:
        """The instance's actions, newest first; also of a deleted one."""
        with self._database.read() as conn:
            self._ensure_known(conn, ctx, instance)
            return actions.list_actions(
                conn,
                instance,
                limit=limit,
                marker=marker,
                changes_since=_moment(changes_since),
                changes_before=_moment(changes_before),
            )

    def action(self, ctx: RequestContext, instance: str, request_id: str) -> InstanceAction:
        """One action with its events."""
        with self._database.read() as conn:
            self._ensure_known(conn, ctx, instance)
            found, task = actions.get(conn, instance, request_id)
            if task is None:
                return found
            events = tuple(
                msgspec.structs.replace(event, project_id=found.project_id)
                for event in self._events_of(conn, task)
            )
            return msgspec.structs.replace(found, events=events)

    def _ensure_known(self, conn: Connection, ctx: RequestContext, instance: str) -> None:
        if not actions.instance_is_known(conn, instance, project_id=_scope(ctx)):
            raise InstanceNotFound(instance=instance)

    def _find(
        self, conn: Connection, ctx: RequestContext, instance: str, *, for_update: bool = False
    ) -> Instance:
        return instances.get(
            conn,
            instance,
            down_after_s=self._down_after_s,
            project_id=_scope(ctx),
            for_update=for_update,
        )


def _scope(ctx: RequestContext) -> str | None:
    """The project whose instances the caller may see; None for all of them."""
    # A caller without a project sees nothing, not everything.
    return None if ctx.is_admin else ctx.project_id or ""


def _tag_operation(add: list[str], remove: list[str], *, replace: bool) -> str:
    """Which of ALLOWED's operations a change of tags is."""
    if replace:
        return "update_tags" if add else "delete_tags"
    return "delete_tag" if remove else "update_tag"


def last_lines(text: str, count: int) -> str:
    """The last `count` lines of `text`; all of it when it has fewer.

    What follows the last line feed counts as a line, also when it is empty: clients count so.
    """
    return "\n".join(text.split("\n")[-count:]) if count > 0 else ""


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return moment_of(text)
    except ValueError as malformed:
        raise Invalid(f"Invalid time: {text}") from malformed
