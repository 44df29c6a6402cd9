# SPDX-License-Identifier: Apache-2.0
"""Servers: what the API asks about instances, and what it has done to them.

Every method that names an instance looks it up within the caller's project, in any project for
an administrator, and raises InstanceNotFound otherwise. Methods that start a long operation
return when it is accepted: rows, quota and task are committed.
"""

from typing import Any

from common.context import RequestContext
from common.objects.action import InstanceAction
from common.objects.instance import Instance
from common.objects.json_list import JsonList
from common.objects.new_server import CreatedServers, NewServers, ServerFilters
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Servers(Interface, topic=TOPIC, namespace="servers", version="1.0"):
    """What the API asks about instances, and what it has done to them.

    1.0  first release
    """

    @call()
    def create(self, ctx: RequestContext, request: NewServers) -> CreatedServers:
        """Accept new servers: check flavor, keypair and quota, insert rows and boot tasks.

        Again with the same uuids: answers as the first time.
        Raises: FlavorNotFound, KeypairNotFound, Invalid, ImageUnacceptable, QuotaExceeded.
        """

    @call()
    def would_accept(self, ctx: RequestContext, request: NewServers) -> int:
        """How many servers `create` would make now, as far as flavor and quota go; nothing is made.

        For those who have something to make before. Raises: as `create`.
        """

    @call()
    def get(self, ctx: RequestContext, instance: str, *, any_project: bool = False) -> Instance:
        """One instance, with its fault and the state of its host."""

    @call(timeout_s=10)
    def list_servers(
        self, ctx: RequestContext, filters: ServerFilters, *, brief: bool = False
    ) -> JsonList[Instance]:
        """Instances in order, without what lists do not show.

        That is keypair, system metadata, shares, server group, where it was launched, and all of
        the image but its id and properties. `brief` leaves out all but uuid, name, and what links
        need.

        Raises: Invalid (unknown marker, bad regular expression).
        """

    @call()
    def update(self, ctx: RequestContext, instance: str, changes: dict[str, Any]) -> Instance:
        """Change name, description, hostname, access addresses, disk_config or zone pin.

        `changes` has Instance's field names; what is absent stays.
        """

    @call()
    def delete(self, ctx: RequestContext, instance: str, *, force: bool = False) -> None:
        """Accept the deletion; an operation under way is given up first.

        Where deleted servers can be restored for a while, `force` deletes for good.
        """

    @call()
    def restore(self, ctx: RequestContext, instance: str) -> None:
        """Accept to bring a soft-deleted instance back.

        Raises: InstanceInvalidState, InstanceLocked, QuotaExceeded.
        """

    @call(timeout_s=40)
    def console_output(
        self, ctx: RequestContext, instance: str, *, lines: int | None = None
    ) -> str:
        """The last `lines` lines of the serial log (None: all that is kept).

        Raises: InstanceNotReady, HostDown.
        """

    @call()
    def metadata(self, ctx: RequestContext, instance: str) -> dict[str, str]:
        """The instance's metadata."""

    @call()
    def change_metadata(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        set_items: dict[str, str],
        delete_keys: list[str],
        replace: bool = False,
    ) -> dict[str, str]:
        """Set and delete items (`replace`: all others go too); the metadata afterwards.

        Raises: NotFound (a key to delete is not there), QuotaExceeded, InstanceInvalidState.
        """

    @call()
    def tags(self, ctx: RequestContext, instance: str) -> list[str]:
        """The instance's tags, sorted."""

    @call()
    def change_tags(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        add: list[str],
        remove: list[str],
        replace: bool = False,
    ) -> list[str]:
        """Add and remove tags (`replace`: all others go too); the tags afterwards.

        Raises: NotFound (a tag to remove is not there), Invalid (over 50 tags),
        InstanceInvalidState.
        """

    @call()
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
        """The instance's actions, newest first, without events; also of a deleted instance."""

    @call()
    def action(self, ctx: RequestContext, instance: str, request_id: str) -> InstanceAction:
        """One action with its events. Raises: NotFound."""
