# SPDX-License-Identifier: Apache-2.0
"""Moves: instances that change their flavor or their host, and the record of it."""

from common.context import RequestContext
from common.objects.migration import Migration, MigrationFilters, MigrationProgress
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Moves(Interface, topic=TOPIC, namespace="moves", version="1.0"):
    """Operations return when they are accepted: state, migration, task and action are committed.

    Each raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady.

    1.0  first release
    """

    @call()
    def resize(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        flavorid: str,
        disk_config: str | None = None,
    ) -> None:
        """Accept to move the instance to another flavor.

        Raises: Invalid (no such flavor, the same, a smaller disk), QuotaExceeded, HostDown.
        """

    @call()
    def migrate(self, ctx: RequestContext, instance: str, *, host: str | None = None) -> None:
        """Accept to move the instance to another host (None: one that is chosen).

        Raises: Invalid (no such host, or the one it is on), HostDown.
        """

    @call()
    def confirm_resize(self, ctx: RequestContext, instance: str) -> None:
        """Accept that it stays. Raises: Invalid (nothing to confirm)."""

    @call()
    def revert_resize(self, ctx: RequestContext, instance: str) -> None:
        """Accept that it goes back. Raises: Invalid (nothing to revert)."""

    @call()
    def live_migrate(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        host: str | None = None,
        block_migration: bool | None = None,
        forced: bool = False,
        check_first: bool = False,
    ) -> None:
        """Accept to move the running instance; `block_migration` None: as its disks need it.

        `forced`: to `host`, past the scheduler. `check_first`: refuse what no host can take, which
        is found out after the acceptance otherwise.
        Raises: Invalid (no such host, or the one it is on; no host can take it), HostUnsuited.
        """

    @call()
    def evacuate(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        host: str | None = None,
        admin_password: str | None = None,
        stopped: bool = False,
        forced: bool = False,
    ) -> None:
        """Accept to build the instance anew where its host is down; `stopped`: and to leave it off;
        `forced`: on `host`, past the scheduler.

        Raises: Invalid (its host is up; it is the host asked for), HostNotFound (no such host).
        """

    @call()
    def list_migrations(self, ctx: RequestContext, filters: MigrationFilters) -> list[Migration]:
        """Migrations, newest first. Raises: Invalid (unknown marker)."""

    @call()
    def server_migrations(self, ctx: RequestContext, instance: str) -> list[Migration]:
        """The instance's live migrations that are in progress."""

    @call(timeout_s=20)
    def server_migration(
        self, ctx: RequestContext, instance: str, migration_id: str
    ) -> tuple[Migration, MigrationProgress]:
        """One of them, by id, with how far it is. Raises: NotFound."""

    @call(timeout_s=20)
    def force_complete(self, ctx: RequestContext, instance: str, migration_id: str) -> None:
        """Have a running live migration end soon. Raises: Invalid (it is not running), NotFound."""

    @call()
    def abort_migration(
        self, ctx: RequestContext, instance: str, migration_id: str, *, early: bool = False
    ) -> None:
        """Give a running live migration up; `early`: also one that is only prepared.

        Raises: Invalid (it is in another state), NotFound.
        """
