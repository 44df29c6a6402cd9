# SPDX-License-Identifier: Apache-2.0
"""The tables of the one database, as SQLAlchemy Core describes them.

The journal's own tables stand in `journal_tables.py` on the same `metadata`. What is only ever
read and written whole (a flavor's copy, interfaces, disks) is JSONB: the JSON of its object in
common/objects. Columns that queries decide by are columns. Ids of objects are text: a malformed
one then finds nothing instead of being an error.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(kind: type[Integer] = Integer) -> Column[int]:
    return Column("id", kind, primary_key=True, autoincrement=True)


def _text(name: str, default: str | None = None) -> Column[str]:
    """A text that is always there."""
    return Column(
        name, Text, nullable=False, server_default=None if default is None else text(f"'{default}'")
    )


def _maybe(name: str) -> Column[str | None]:
    """A text that may be missing."""
    return Column(name, Text)


def _count(name: str, kind: type[Integer] = Integer) -> Column[int]:
    return Column(name, kind, nullable=False, server_default=text("0"))


def _flag(name: str, default: str = "false") -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text(default))


def _json(name: str, default: str) -> Column[Any]:
    """A JSON value that is always there: an object or a list."""
    return Column(name, JSONB, nullable=False, server_default=text(f"'{default}'"))


def _maybe_json(name: str) -> Column[Any]:
    """A JSON value that may be missing: SQL NULL then, never JSON null."""
    return Column(name, JSONB(none_as_null=True))


def _time(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True))


def _created() -> Column[Any]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


services = Table(
    "services",
    metadata,
    _id(),
    _text("uuid"),
    _text("host"),
    _text("binary"),
    _text("rpc_server", ""),
    _flag("disabled"),
    _maybe("disabled_reason"),
    _flag("forced_down"),
    _time("last_seen_at"),
    # What the scheduler was told last: a sweep publishes where it differs from the truth.
    _flag("is_up_published"),
    _text("release", ""),
    _created(),
    _time("updated_at"),
    UniqueConstraint("uuid"),
    UniqueConstraint("host", "binary"),
)

compute_nodes = Table(
    "compute_nodes",
    metadata,
    _id(),
    _text("uuid"),
    Column("service_id", ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    _text("host"),
    _text("node"),
    _json("report", "{}"),
    # Capacities are (total - reserved) * ratio, computed once when a host reports.
    _count("vcpus_capacity"),
    _count("memory_capacity_mib", BigInteger),
    _count("disk_capacity_gib", BigInteger),
    _count("vcpus_claimed"),
    _count("memory_claimed_mib", BigInteger),
    _count("disk_claimed_gib", BigInteger),
    _count("instances"),
    _count("generation", BigInteger),
    _count("failed_builds"),
    _created(),
    _time("updated_at"),
    UniqueConstraint("uuid"),
    UniqueConstraint("host", "node"),
    Index(None, "service_id"),
)

allocations = Table(
    "allocations",
    metadata,
    Column("instance_uuid", Text, primary_key=True),
    Column("host_uuid", Text, primary_key=True),
    _count("vcpus"),
    _count("memory_mib", BigInteger),
    _count("disk_gib", BigInteger),
    _created(),
    Index(None, "host_uuid"),
)

instances = Table(
    "instances",
    metadata,
    _id(BigInteger),
    _text("uuid"),
    _text("project_id"),
    _text("user_id"),
    _text("name"),
    _text("hostname"),
    _maybe("description"),
    _text("vm_state"),
    _maybe("task_state"),
    _count("power_state"),
    _json("flavor", "{}"),
    _text("flavorid"),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", BigInteger, nullable=False),
    _maybe_json("image"),
    _maybe("image_id"),
    _text("kernel_id", ""),
    _text("ramdisk_id", ""),
    _maybe("host"),
    _maybe("node"),
    _maybe("launched_on"),
    _maybe("availability_zone"),
    _maybe("pinned_availability_zone"),
    _count("launch_index"),
    _text("reservation_id", ""),
    _maybe("key_name"),
    _maybe_json("keypair"),
    _maybe("user_data"),
    _flag("config_drive"),
    _json("metadata", "{}"),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    _json("system_metadata", "{}"),
    _json("vifs", "[]"),
    _json("block_devices", "[]"),
    _json("shares", "[]"),
    _json("security_groups", "[]"),
    _text("root_device_name", "/dev/vda"),
    _maybe("access_ip_v4"),
    _maybe("access_ip_v6"),
    _text("disk_config", "MANUAL"),
    _maybe("locked_by"),
    _maybe("locked_reason"),
    _count("progress"),
    _maybe_json("fault"),
    _maybe_json("trusted_certs"),
    _json("scheduler_hints", "{}"),
    _maybe("guest_password"),
    _created(),
    _time("updated_at"),
    _time("launched_at"),
    _time("terminated_at"),
    _time("deleted_at"),
    UniqueConstraint("uuid"),
)

_live = text("deleted_at IS NULL")
# No index holds vm_state, task_state or updated_at: they change at every step, and an update that
# touches no indexed column stays within its page.
Index(
    "ix_instances_by_project",
    instances.c.project_id,
    instances.c.created_at.desc(),
    instances.c.id.desc(),
    postgresql_where=_live,
)
Index(
    "ix_instances_by_age",
    instances.c.created_at.desc(),
    instances.c.id.desc(),
    postgresql_where=_live,
)
Index("ix_instances_by_host", instances.c.host, postgresql_where=_live)
Index("ix_instances_by_reservation", instances.c.reservation_id, postgresql_where=_live)
Index("ix_instances_by_tag", instances.c.tags, postgresql_using="gin", postgresql_where=_live)
# A JSON array of texts: one look into its index finds the instances of any number of addresses.
fixed_addresses = func.jsonb_path_query_array(
    instances.c.vifs, literal_column("'$[*].fixed_ips[*].address'::jsonpath"), type_=JSONB
)
Index(
    "ix_instances_by_fixed_address", fixed_addresses, postgresql_using="gin", postgresql_where=_live
)

instance_actions = Table(
    "instance_actions",
    metadata,
    _id(BigInteger),
    _text("instance_uuid"),
    _text("action"),
    _text("request_id"),
    _maybe("user_id"),
    _maybe("project_id"),
    # Events of an action are the steps of its task; an action without a task has none.
    _maybe("task_uuid"),
    Column("start_time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _time("updated_at"),
    _maybe("message"),
    Index(None, "instance_uuid", "start_time"),
    Index("ix_instance_actions_by_task", "task_uuid"),
)

flavors = Table(
    "flavors",
    metadata,
    _id(),
    _text("flavorid"),
    _text("name"),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", BigInteger, nullable=False),
    Column("root_gib", Integer, nullable=False),
    _count("ephemeral_gib"),
    _count("swap_mib"),
    Column("rxtx_factor", Float, nullable=False, server_default=text("1.0")),
    _flag("is_public", "true"),
    _flag("disabled"),
    _maybe("description"),
    _json("extra_specs", "{}"),
    _created(),
    _time("updated_at"),
    UniqueConstraint("flavorid"),
    UniqueConstraint("name"),
)

flavor_projects = Table(
    "flavor_projects",
    metadata,
    Column("flavor_id", ForeignKey("flavors.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Text, primary_key=True),
)

keypairs = Table(
    "keypairs",
    metadata,
    _id(),
    _text("user_id"),
    _text("name"),
    _text("type", "ssh"),
    _text("fingerprint"),
    _text("public_key"),
    _created(),
    UniqueConstraint("user_id", "name"),
)

quotas = Table(
    "quotas",
    metadata,
    Column("project_id", Text, primary_key=True),
    # The empty user stands for the project as a whole: a key takes no NULL.
    Column("user_id", Text, primary_key=True, server_default=text("''")),
    Column("resource", Text, primary_key=True),
    Column("limit", Integer, nullable=False),
)

quota_classes = Table(
    "quota_classes",
    metadata,
    Column("class_name", Text, primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("limit", Integer, nullable=False),
)

aggregates = Table(
    "aggregates",
    metadata,
    _id(),
    _text("uuid"),
    _text("name"),
    _json("metadata", "{}"),
    _created(),
    _time("updated_at"),
    UniqueConstraint("uuid"),
    UniqueConstraint("name"),
)

aggregate_hosts = Table(
    "aggregate_hosts",
    metadata,
    Column("aggregate_id", ForeignKey("aggregates.id", ondelete="CASCADE"), primary_key=True),
    Column("host", Text, primary_key=True),
    Index(None, "host"),
)
