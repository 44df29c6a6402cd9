# SPDX-License-Identifier: Apache-2.0
"""What the Identity API keeps: each kind declared once, served by `collection`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, delete, select
from sqlalchemy.engine import Connection

from services.companion.identity.callers import Caller
from services.companion.store import tables
from services.companion.web.faults import Fault
from services.companion.web.fields import (
    Field,
    list_of,
    mapping,
    nullable,
    one_of,
    strict_flag,
    text,
)

Row = dict[str, Any]


def _nobody(_: Caller, __: Row) -> bool:
    return False


def _anybody(_: Caller, __: Row) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """One kind of resource.

    `mine` says whether a row is the caller's own to read; administrators and readers of the system
    see all. `check` raises a Fault when references of new values lead nowhere; `deleting` clears
    what refers to a row without a foreign key, and may refuse.
    """

    singular: str
    plural: str
    table: Table
    fields: tuple[Field, ...]
    filters: tuple[str, ...]
    mine: Callable[[Caller, Row], bool] = _nobody
    check: Callable[[Connection, Row], None] = lambda _conn, _values: None
    deleting: Callable[[Connection, Row], None] = lambda _conn, _row: None
    constants: tuple[tuple[str, Any], ...] = ()
    own_id: bool = False

    @property
    def mine_to_see(self) -> bool:
        """Whether there is anything of the kind that an ordinary user may read."""
        return self.mine is not _nobody


_NAME = Field("name", text(255, 1), required=True)
_DESCRIPTION = Field("description", nullable(text(65535)), default="")
_ENABLED = Field("enabled", strict_flag, default=True)
_OPTIONS = Field("options", mapping)
_DOMAIN_ID = Field("domain_id", text(64, 1), default="default")


def must_exist(conn: Connection, table: Table, what: str, wanted: str | None) -> None:
    """Raise Fault 404 when there is no such row."""
    if wanted is not None and not conn.scalar(select(table.c.id).where(table.c.id == wanted)):
        raise Fault(404, f"Could not find {what}: {wanted[:64]}.")


def _check_domain(conn: Connection, values: Row) -> None:
    must_exist(conn, tables.domains, "domain", values.get("domain_id"))


def _check_endpoint(conn: Connection, values: Row) -> None:
    must_exist(conn, tables.services, "service", values.get("service_id"))
    must_exist(conn, tables.regions, "region", values.get("region_id"))


def _forget_target(kind: str) -> Callable[[Connection, Row], None]:
    def forget(conn: Connection, row: Row) -> None:
        if kind == "domain" and row["enabled"]:
            raise Fault(403, "Cannot delete a domain that is enabled, please disable it first.")
        for table in (tables.grants, tables.tokens):
            c = table.c
            conn.execute(delete(table).where(c.target_kind == kind, c.target_id == row["id"]))

    return forget


def _region_in_use(conn: Connection, row: Row) -> None:
    e = tables.endpoints.c
    if conn.scalar(select(e.id).where(e.region_id == row["id"]).limit(1)):
        raise Fault(403, "Unable to delete a region that has endpoints.")


DOMAINS = Kind(
    "domain", "domains", tables.domains,
    (_NAME, _DESCRIPTION, _ENABLED, _OPTIONS),
    filters=("name", "enabled"),
    mine=lambda caller, row: bool(caller.token.user["domain"]["id"] == row["id"]),
    deleting=_forget_target("domain"),
    constants=(("tags", []), ("options", {})),
)  # fmt: skip

PROJECTS = Kind(
    "project", "projects", tables.projects,
    (
        _NAME, _DESCRIPTION, _ENABLED, _OPTIONS, _DOMAIN_ID,
        Field("parent_id", nullable(text(64, 1)), default=None, update=False),
        Field("is_domain", one_of()), Field("tags", list_of(text(255, 1), 80), default=list),
    ),
    filters=("name", "enabled", "domain_id", "parent_id"),
    mine=lambda caller, row: caller.project_id == row["id"],
    check=_check_domain,
    deleting=_forget_target("project"),
    constants=(("is_domain", False), ("options", {})),
)  # fmt: skip

USERS = Kind(
    "user", "users", tables.users,
    (
        _NAME, _DESCRIPTION, _ENABLED, _OPTIONS, _DOMAIN_ID,
        Field("password", nullable(text(4096))), Field("email", nullable(text(255)), default=None),
        Field("default_project_id", nullable(text(64)), default=None),
    ),
    filters=("name", "enabled", "domain_id"),
    mine=lambda caller, row: caller.user_id == row["id"],
    check=_check_domain,
    constants=(("password_expires_at", None), ("options", {})),
)  # fmt: skip

ROLES = Kind(
    "role", "roles", tables.roles,
    (
        _NAME, _DESCRIPTION, _OPTIONS,
        Field("domain_id", nullable(text(64, 1)), default=None, update=False),
    ),
    filters=("name", "domain_id"),
    check=_check_domain,
    constants=(("options", {}),),
)  # fmt: skip

SERVICES = Kind(
    "service", "services", tables.services,
    (
        Field("type", text(255, 1), required=True), Field("name", text(255), default=""),
        _DESCRIPTION, _ENABLED,
    ),
    filters=("type", "name"),
)  # fmt: skip

ENDPOINTS = Kind(
    "endpoint", "endpoints", tables.endpoints,
    (
        Field("service_id", text(64, 1), required=True),
        Field("region_id", nullable(text(255, 1)), default=None),
        Field("interface", one_of("public", "internal", "admin"), required=True),
        Field("url", text(2048, 1), required=True), _ENABLED,
    ),
    filters=("service_id", "interface", "region_id"),
    check=_check_endpoint,
)  # fmt: skip

REGIONS = Kind(
    "region", "regions", tables.regions,
    (
        Field("id", text(255, 1), update=False), _DESCRIPTION,
        Field("parent_region_id", nullable(text(255, 1)), default=None),
    ),
    filters=("parent_region_id",),
    mine=_anybody,
    check=lambda conn, values: must_exist(
        conn, tables.regions, "region", values.get("parent_region_id")
    ),
    deleting=_region_in_use,
    own_id=True,
)  # fmt: skip

KINDS = (DOMAINS, PROJECTS, USERS, ROLES, SERVICES, ENDPOINTS, REGIONS)
