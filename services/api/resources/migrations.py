# SPDX-License-Identifier: Apache-2.0
"""`/os-migrations` and `/servers/{id}/migrations`: servers that moved, or are on their way."""

from datetime import datetime
from typing import Any

from common.clock import iso_microseconds, moment_of
from common.errors import Forbidden, Invalid
from common.objects.migration import (
    IN_PROGRESS,
    Migration,
    MigrationFilters,
    MigrationProgress,
    MigrationType,
)
from common.rpc.conductor.moves import Moves
from services.api.actions import Act, Actions
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY, LIMIT, Query
from services.api.declare.types import (
    DATE_TIME,
    INTEGER,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    Array,
    Field,
    Plain,
    Record,
    enum,
)
from services.api.declare.view import ABSENT, Listing, One, Shown, View
from services.api.period import check_period
from services.api.resources.servers import bodies
from services.api.responder import responder

_RULE = "os_compute_api:os-migrations:index"
_SERVER_RULE = "os_compute_api:servers:migrations:"
_LINK = Record([Field("rel", TEXT), Field("href", TEXT)])
_COUNT_OR_NULL = Plain({"type": ["integer", "null"]})


def _sees_hosts(call: ApiCall) -> bool:
    return call.allows(_RULE + ":host")


def _sees_server_hosts(call: ApiCall) -> bool:
    return call.allows(_SERVER_RULE + "index:host")


def _created(migration: Migration, call: ApiCall) -> str:
    return iso_microseconds(migration.created_at)


def _updated(migration: Migration, call: ApiCall) -> str | None:
    return iso_microseconds(migration.updated_at) if migration.updated_at else None


def _touched(migration: Migration, call: ApiCall) -> str:
    return iso_microseconds(migration.updated_at or migration.created_at)


def _links(migration: Migration, call: ApiCall) -> Any:
    """Only what can still be asked for at `/servers/{id}/migrations` has a link to it."""
    if migration.type != MigrationType.LIVE or migration.status not in IN_PROGRESS:
        return ABSENT
    return call.links.both(f"servers/{migration.instance_uuid}/migrations", str(migration.id))


def _hosts(allowed: Any) -> list[Shown]:
    def hidden(name: str) -> Any:
        return lambda migration, call: getattr(migration, name) if allowed(call) else None

    return [
        Shown("source_compute", TEXT_OR_NULL, hidden("source_host")),
        Shown("source_node", TEXT_OR_NULL, hidden("source_node")),
        Shown("dest_compute", TEXT_OR_NULL, hidden("dest_host")),
        Shown("dest_node", TEXT_OR_NULL, hidden("dest_node")),
        # The address of the host: deployments of ours have none that clients could use.
        Shown("dest_host", TEXT_OR_NULL, lambda migration, call: None),
    ]


MIGRATION = View("migration", [
    Shown("id", INTEGER, "id"),
    Shown("uuid", UUID, "uuid", since="2.59"),
    Shown("instance_uuid", UUID, "instance_uuid"),
    Shown("status", TEXT, "status"),
    *_hosts(_sees_hosts),
    Shown("old_instance_type_id", INTEGER, "old_flavor.id"),
    Shown("new_instance_type_id", INTEGER, "new_flavor.id"),
    Shown("created_at", TEXT, _created),
    Shown("updated_at", TEXT_OR_NULL, _updated),
    Shown("migration_type", enum(*(str(kind) for kind in MigrationType)), "type", since="2.23"),
    Shown("links", Array(_LINK), _links, since="2.23"),
    Shown("user_id", TEXT, "user_id", since="2.80"),
    Shown("project_id", TEXT, "project_id", since="2.80"),
])  # fmt: skip


def _figure(name: str) -> Any:
    # A zero stands for nothing known: the contract's figures begin at 1.
    return lambda shown, call: getattr(shown[1], name) or None


def _of(name: str) -> Any:
    return lambda shown, call: getattr(shown[0], name)


def _server_hosts() -> list[Shown]:
    return [
        Shown(field.name, field.type, _inner(field.source)) for field in _hosts(_sees_server_hosts)
    ]


def _inner(source: Any) -> Any:
    return lambda shown, call: source(shown[0], call)


SERVER_MIGRATION = View("server-migration", [
    Shown("id", INTEGER, _of("id")),
    Shown("uuid", UUID, _of("uuid"), since="2.59"),
    Shown("server_uuid", UUID, _of("instance_uuid")),
    Shown("status", TEXT, _of("status")),
    *_server_hosts(),
    Shown("created_at", TEXT, lambda shown, call: _created(shown[0], call)),
    Shown("updated_at", TEXT, lambda shown, call: _touched(shown[0], call)),
    *(Shown(name, _COUNT_OR_NULL, _figure(name)) for name in (
        "memory_total_bytes", "memory_processed_bytes", "memory_remaining_bytes",
        "disk_total_bytes", "disk_processed_bytes", "disk_remaining_bytes",
    )),
    Shown("user_id", TEXT, _of("user_id"), since="2.80"),
    Shown("project_id", TEXT, _of("project_id"), since="2.80"),
])  # fmt: skip
_INTERESTING = ("hidden", "host", "instance_uuid", "source_compute", "status", "migration_type")
LIST = Query(
    "migration-list",
    [Field(name, TEXT) for name in _INTERESTING],
    once=[
        Field("limit", LIMIT, since="2.59"),
        Field("marker", TEXT, since="2.59"),
        Field("changes-since", DATE_TIME, since="2.59"),
        Field("changes-before", DATE_TIME, since="2.66"),
        Field("user_id", TEXT, since="2.80"),
        Field("project_id", TEXT, since="2.80"),
    ],
    strict_since="2.59",
)


class Migrations:
    """`/os-migrations`."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    @responder(
        policy=_RULE,
        query=LIST,
        returns=Listing(
            "migrations", MIGRATION, paged_since="2.59", marker=lambda found, call: found.uuid
        ),
    )
    def on_get(self, call: ApiCall) -> list[Migration]:
        """List migrations."""
        return self._moves.list_migrations(call.caller, _filters(call))


def _filters(call: ApiCall) -> MigrationFilters:
    everywhere = call.allows(_RULE + ":all_projects")
    project = call.single("project_id")
    if project is not None and project != call.caller.project_id and not everywhere:
        raise Forbidden("Only administrators may list migrations of other projects.")
    check_period(call.single("changes-since"), call.single("changes-before"))
    return MigrationFilters(
        instance_uuid=call.single("instance_uuid"),
        host=call.single("host"),
        source_host=call.single("source_compute"),
        status=call.single("status"),
        type=call.single("migration_type"),
        project_id=project if everywhere else call.caller.project_id,
        user_id=call.single("user_id"),
        changes_since=_moment(call, "changes-since"),
        changes_before=_moment(call, "changes-before"),
        marker=call.single("marker"),
        limit=call.page_limit() if call.at_least(59) else None,
    )


def _moment(call: ApiCall, key: str) -> datetime | None:
    text = call.single(key)
    if text is None:
        return None
    try:
        return moment_of(text)
    except ValueError as malformed:
        raise Invalid(f"Invalid time: {text}") from malformed


class ServerMigrations:
    """`/servers/{server_id}/migrations`."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    @responder(
        policy=_SERVER_RULE + "index",
        query=ANY_QUERY,
        returns=Listing("migrations", SERVER_MIGRATION),
        since="2.23",
    )
    def on_get(self, call: ApiCall, server_id: str) -> list[tuple[Migration, MigrationProgress]]:
        """List a server's live migrations that are in progress."""
        found = self._moves.server_migrations(call.caller, server_id)
        return [(migration, MigrationProgress()) for migration in found]


class ServerMigrationById:
    """`/servers/{server_id}/migrations/{migration_id}`."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    @responder(
        policy=_SERVER_RULE + "show",
        query=ANY_QUERY,
        returns=One("migration", SERVER_MIGRATION),
        since="2.23",
    )
    def on_get(
        self, call: ApiCall, server_id: str, migration_id: str
    ) -> tuple[Migration, MigrationProgress]:
        """Show a live migration that is in progress."""
        return self._moves.server_migration(call.caller, server_id, migration_id)

    @responder(policy=_SERVER_RULE + "delete", status=202, since="2.24")
    def on_delete(self, call: ApiCall, server_id: str, migration_id: str) -> None:
        """Give a live migration up."""
        self._moves.abort_migration(call.caller, server_id, migration_id, early=call.at_least(65))


class ServerMigrationActions:
    """`/servers/{server_id}/migrations/{migration_id}/action`."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    def actions(self) -> Actions:
        """The responder of the path."""
        table: dict[str, Act] = {"force_complete": self.force_complete}
        return Actions(table)

    @responder(
        policy=_SERVER_RULE + "force_complete",
        body=bodies.FORCE_COMPLETE,
        status=202,
        since="2.22",
    )
    def force_complete(self, call: ApiCall, server_id: str, migration_id: str) -> None:
        """Have a live migration end soon."""
        self._moves.force_complete(call.caller, server_id, migration_id)
