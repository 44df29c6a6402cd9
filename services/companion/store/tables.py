# SPDX-License-Identifier: Apache-2.0
"""Every table of the companion's store, by service.

Times are ISO 8601 text in UTC, as the APIs show them: text sorts as time does. Addresses carry a
`value` of 32 hexadecimal digits beside their usual form, so that both versions sort as numbers.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()


def _id() -> Column[str]:
    return Column("id", String, primary_key=True)


def _of(name: str, target: str, *, nullable: bool = False, key: bool = False) -> Column[str]:
    """A reference that goes with what it refers to."""
    return Column(
        name,
        String,
        ForeignKey(f"{target}.id", ondelete="CASCADE"),
        nullable=nullable,
        primary_key=key,
        index=not key,
    )


def _text(name: str, default: str = "") -> Column[str]:
    return Column(name, String, nullable=False, default=default)


def _flag(name: str, default: bool) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=default)


def _list(name: str) -> Column[list[object]]:
    return Column(name, JSON, nullable=False, default=list)


def _extra() -> Column[dict[str, object]]:
    return Column("extra", JSON, nullable=False, default=dict)


# --- identity --------------------------------------------------------------------------------

domains = Table(
    "domains", metadata,
    _id(), Column("name", String, nullable=False, unique=True), _text("description"),
    _flag("enabled", True), _extra(),
)  # fmt: skip

projects = Table(
    "projects", metadata,
    _id(), Column("name", String, nullable=False), _text("description"), _flag("enabled", True),
    _of("domain_id", "domains"), Column("parent_id", String), _list("tags"), _extra(),
    UniqueConstraint("domain_id", "name"),
)  # fmt: skip

users = Table(
    "users", metadata,
    _id(), Column("name", String, nullable=False), _text("description"), _flag("enabled", True),
    _of("domain_id", "domains"), Column("default_project_id", String), Column("email", String),
    Column("password_hash", String), _extra(),
    UniqueConstraint("domain_id", "name"),
)  # fmt: skip

roles = Table(
    "roles", metadata,
    _id(), Column("name", String, nullable=False), _text("description"), _extra(),
    _of("domain_id", "domains", nullable=True),
    UniqueConstraint("domain_id", "name"),
)  # fmt: skip

# `target_kind` project, domain or system; `target_id` of the system is "all".
grants = Table(
    "grants", metadata,
    _of("user_id", "users", key=True),
    Column("target_kind", String, primary_key=True),
    Column("target_id", String, primary_key=True),
    _of("role_id", "roles", key=True),
    Index("ix_grants_target", "target_kind", "target_id"),
)  # fmt: skip

regions = Table(
    "regions", metadata,
    _id(), _text("description"), Column("parent_region_id", String), _extra(),
)  # fmt: skip

services = Table(
    "services", metadata,
    _id(), Column("type", String, nullable=False), _text("name"), _text("description"),
    _flag("enabled", True), _extra(),
)  # fmt: skip

endpoints = Table(
    "endpoints", metadata,
    _id(), _of("service_id", "services"), Column("region_id", String),
    Column("interface", String, nullable=False), Column("url", String, nullable=False),
    _flag("enabled", True), _extra(),
)  # fmt: skip

application_credentials = Table(
    "application_credentials", metadata,
    _id(), Column("name", String, nullable=False), _text("description"),
    _of("user_id", "users"), _of("project_id", "projects"),
    Column("secret_hash", String, nullable=False), _list("role_ids"),
    Column("expires_at", String), _flag("unrestricted", False),
    UniqueConstraint("user_id", "name"),
)  # fmt: skip

# The token itself is never stored: `digest` is its SHA-256.
tokens = Table(
    "tokens", metadata,
    Column("digest", String, primary_key=True),
    _of("user_id", "users"),
    Column("target_kind", String), Column("target_id", String),
    _list("methods"), _list("audit_ids"),
    _of("application_credential_id", "application_credentials", nullable=True),
    Column("issued_at", String, nullable=False),
    Column("expires_at", String, nullable=False, index=True),
)  # fmt: skip

# --- image -----------------------------------------------------------------------------------

images = Table(
    "images", metadata,
    _id(), Column("name", String), Column("status", String, nullable=False),
    Column("disk_format", String), Column("container_format", String),
    Column("size", Integer), Column("virtual_size", Integer), Column("checksum", String),
    Column("os_hash_algo", String), Column("os_hash_value", String),
    Column("min_disk", Integer, nullable=False, default=0),
    Column("min_ram", Integer, nullable=False, default=0),
    Column("owner", String, index=True), Column("visibility", String, nullable=False),
    _flag("protected", False), _flag("os_hidden", False),
    Column("created_at", String, nullable=False, index=True),
    Column("updated_at", String, nullable=False),
)  # fmt: skip

image_properties = Table(
    "image_properties", metadata,
    _of("image_id", "images", key=True), Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
    Index("ix_image_properties_value", "name", "value"),
)  # fmt: skip

image_tags = Table(
    "image_tags", metadata,
    _of("image_id", "images", key=True), Column("tag", String, primary_key=True),
)  # fmt: skip

image_members = Table(
    "image_members", metadata,
    _of("image_id", "images", key=True), Column("member_id", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("created_at", String, nullable=False), Column("updated_at", String, nullable=False),
    Index("ix_image_members_member", "member_id"),
)  # fmt: skip

# --- network ---------------------------------------------------------------------------------


def _standard() -> list[Column[str]]:
    """What every resource of the Network API has."""
    return [
        _id(),
        _text("name"),
        _text("description"),
        Column("project_id", String, nullable=False, index=True),
        Column("created_at", String, nullable=False),
        Column("updated_at", String, nullable=False),
    ]


networks = Table(
    "networks", metadata,
    *_standard(), _flag("admin_state_up", True), _flag("shared", False),
    _flag("router:external", False), _flag("port_security_enabled", True),
    Column("mtu", Integer, nullable=False), _flag("is_default", False), _text("dns_domain"),
)  # fmt: skip

subnets = Table(
    "subnets", metadata,
    *_standard(), _of("network_id", "networks"), Column("ip_version", Integer, nullable=False),
    Column("cidr", String, nullable=False), Column("gateway_ip", String),
    _flag("enable_dhcp", True), _list("allocation_pools"), _list("dns_nameservers"),
    _list("host_routes"), Column("ipv6_ra_mode", String), Column("ipv6_address_mode", String),
    # The address given out last: the next one is sought behind it, so a freed address rests.
    Column("cursor", String, nullable=False, default=""),
)  # fmt: skip

security_groups = Table(
    "security_groups", metadata,
    *_standard(), _flag("stateful", True), _flag("shared", False),
)  # fmt: skip

# One `default` group a project, whoever asks first.
Index(
    "ux_security_groups_default", security_groups.c.project_id,
    unique=True, sqlite_where=security_groups.c.name == "default",
)  # fmt: skip

security_group_rules = Table(
    "security_group_rules", metadata,
    _id(), _text("description"), Column("project_id", String, nullable=False, index=True),
    Column("created_at", String, nullable=False), Column("updated_at", String, nullable=False),
    _of("security_group_id", "security_groups"), Column("direction", String, nullable=False),
    Column("ethertype", String, nullable=False), Column("protocol", String),
    Column("port_range_min", Integer), Column("port_range_max", Integer),
    Column("remote_ip_prefix", String),
    _of("remote_group_id", "security_groups", nullable=True),
)  # fmt: skip

ports = Table(
    "ports", metadata,
    *_standard(), _of("network_id", "networks"), _flag("admin_state_up", True),
    Column("mac_address", String, nullable=False),
    Column("device_id", String, nullable=False, default="", index=True), _text("device_owner"),
    _text("dns_name"), _flag("port_security_enabled", True), _list("allowed_address_pairs"),
    _list("extra_dhcp_opts"), Column("binding:vnic_type", String, nullable=False),
    Column("propagate_uplink_status", Boolean),
    UniqueConstraint("network_id", "mac_address"),
)  # fmt: skip

port_addresses = Table(
    "port_addresses", metadata,
    _of("subnet_id", "subnets", key=True), Column("value", String, primary_key=True),
    Column("ip_address", String, nullable=False, index=True), _of("port_id", "ports"),
)  # fmt: skip

port_groups = Table(
    "port_groups", metadata,
    _of("port_id", "ports", key=True), _of("security_group_id", "security_groups", key=True),
    Index("ix_port_groups_group", "security_group_id"),
)  # fmt: skip

# At most one ACTIVE binding a port; a live migration has an INACTIVE one beside it.
port_bindings = Table(
    "port_bindings", metadata,
    _of("port_id", "ports", key=True), Column("host", String, primary_key=True),
    Column("status", String, nullable=False), Column("profile", JSON, nullable=False),
    Column("vnic_type", String, nullable=False),
    Index("ix_port_bindings_host", "host"),
)  # fmt: skip

routers = Table(
    "routers", metadata,
    *_standard(), _flag("admin_state_up", True), Column("external_gateway_info", JSON),
    _list("routes"),
)  # fmt: skip

# The network that a project got without saying more.
auto_allocated = Table(
    "auto_allocated", metadata,
    Column("project_id", String, primary_key=True), _of("network_id", "networks"),
    _of("router_id", "routers"),
)  # fmt: skip

floatingips = Table(
    "floatingips", metadata,
    *_standard(), _of("floating_network_id", "networks"),
    Column("floating_ip_address", String, nullable=False),
    _of("owner_port_id", "ports"),
    Column("port_id", String, ForeignKey("ports.id", ondelete="SET NULL"), index=True),
    Column("fixed_ip_address", String),
)  # fmt: skip

quotas = Table(
    "quotas", metadata,
    Column("project_id", String, primary_key=True), Column("resource", String, primary_key=True),
    Column("limit", Integer, nullable=False),
)  # fmt: skip

# --- volume ----------------------------------------------------------------------------------

volume_types = Table(
    "volume_types", metadata,
    _id(), Column("name", String, nullable=False, unique=True), Column("description", String),
    _flag("is_public", True), Column("extra_specs", JSON, nullable=False, default=dict),
    Column("created_at", String, nullable=False), Column("updated_at", String),
)  # fmt: skip

# Projects that may use a type which is not public.
volume_type_access = Table(
    "volume_type_access", metadata,
    _of("type_id", "volume_types", key=True), Column("project_id", String, primary_key=True),
)  # fmt: skip

# The type of a project's volumes when a request names none.
volume_default_types = Table(
    "volume_default_types", metadata,
    Column("project_id", String, primary_key=True), _of("type_id", "volume_types"),
)  # fmt: skip

# Sizes in GiB. `new_size` while it is extended: quota counts the larger.
volumes = Table(
    "volumes", metadata,
    _id(), Column("project_id", String, nullable=False, index=True),
    Column("user_id", String, nullable=False),
    Column("name", String), Column("description", String),
    Column("size", Integer, nullable=False), Column("new_size", Integer),
    Column("status", String, nullable=False),
    Column("type_id", String, ForeignKey("volume_types.id"), nullable=False, index=True),
    _flag("bootable", False), _flag("multiattach", False), Column("readonly", Boolean),
    Column("availability_zone", String, nullable=False),
    Column("image_id", String), Column("snapshot_id", String), Column("source_volid", String),
    Column("migration_status", String),
    Column("metadata", JSON, nullable=False, default=dict),
    Column("image_metadata", JSON, nullable=False, default=dict),
    Column("created_at", String, nullable=False, index=True), Column("updated_at", String),
)  # fmt: skip

volume_attachments = Table(
    "volume_attachments", metadata,
    _id(), _of("volume_id", "volumes"), Column("project_id", String, nullable=False, index=True),
    Column("instance_uuid", String, index=True), Column("attached_host", String),
    Column("mountpoint", String), Column("attach_mode", String, nullable=False),
    Column("status", String, nullable=False),
    Column("connector", JSON), Column("connection_info", JSON),
    Column("created_at", String, nullable=False), Column("attached_at", String),
)  # fmt: skip

volume_snapshots = Table(
    "volume_snapshots", metadata,
    _id(), Column("project_id", String, nullable=False, index=True),
    Column("user_id", String, nullable=False),
    Column("name", String), Column("description", String), _of("volume_id", "volumes"),
    Column("size", Integer, nullable=False), Column("status", String, nullable=False),
    Column("progress", String, nullable=False, default="0%"), _flag("bootable", False),
    Column("metadata", JSON, nullable=False, default=dict),
    Column("image_metadata", JSON, nullable=False, default=dict),
    Column("created_at", String, nullable=False, index=True), Column("updated_at", String),
)  # fmt: skip

# The key is never stored: `digest` is its SHA-256.
volume_transfers = Table(
    "volume_transfers", metadata,
    _id(), Column("name", String), _of("volume_id", "volumes"),
    Column("digest", String, nullable=False),
    Column("source_project_id", String, nullable=False),
    Column("destination_project_id", String), _flag("accepted", False),
    _flag("no_snapshots", False), Column("created_at", String, nullable=False),
)  # fmt: skip

# `owner` is a project's id, or CLASS for the limits of those without their own.
volume_quotas = Table(
    "volume_quotas", metadata,
    Column("owner", String, primary_key=True), Column("resource", String, primary_key=True),
    Column("limit", Integer, nullable=False),
)  # fmt: skip

# What went wrong in the background, for the user.
volume_messages = Table(
    "volume_messages", metadata,
    _id(), Column("project_id", String, nullable=False, index=True),
    Column("event_id", String, nullable=False), Column("user_message", String, nullable=False),
    Column("resource_type", String, nullable=False), Column("resource_uuid", String),
    Column("request_id", String), Column("created_at", String, nullable=False),
    Column("guaranteed_until", String, nullable=False, index=True),
)  # fmt: skip

# Work that goes on behind a request, oldest first. `source`: what else the work reads.
volume_jobs = Table(
    "volume_jobs", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False), Column("subject", String, nullable=False),
    Column("source", String), Column("params", JSON, nullable=False, default=dict),
    Column("request_id", String),
)  # fmt: skip

# --- share -----------------------------------------------------------------------------------

# Sizes in GiB.
shares = Table(
    "shares", metadata,
    _id(), Column("project_id", String, nullable=False, index=True),
    Column("user_id", String, nullable=False),
    Column("name", String), Column("description", String),
    Column("size", Integer, nullable=False), Column("share_proto", String, nullable=False),
    Column("status", String, nullable=False), _flag("is_public", False),
    Column("metadata", JSON, nullable=False, default=dict),
    Column("created_at", String, nullable=False, index=True), Column("updated_at", String),
)  # fmt: skip

share_access_rules = Table(
    "share_access_rules", metadata,
    _id(), _of("share_id", "shares"), Column("access_type", String, nullable=False),
    Column("access_to", String, nullable=False), Column("access_level", String, nullable=False),
    Column("state", String, nullable=False),
    Column("metadata", JSON, nullable=False, default=dict),
    Column("created_at", String, nullable=False), Column("updated_at", String),
    UniqueConstraint("share_id", "access_to"),
)  # fmt: skip

# `resource_id` is the share's, or that of one of its access rules.
share_locks = Table(
    "share_locks", metadata,
    _id(), _of("share_id", "shares"), Column("project_id", String, nullable=False, index=True),
    Column("user_id", String, nullable=False), Column("lock_context", String, nullable=False),
    Column("resource_type", String, nullable=False),
    Column("resource_id", String, nullable=False, index=True),
    Column("resource_action", String, nullable=False), Column("lock_reason", String),
    Column("created_at", String, nullable=False), Column("updated_at", String),
)  # fmt: skip
