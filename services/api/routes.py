# SPDX-License-Identifier: Apache-2.0
"""Every URL of the API in one table. Paths stand below `/v2.1` and `/v2`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from common.clients.identity import IdentityClient
from common.clients.image import UserImageClient
from common.clients.network import UserNetworkClient
from common.clients.share import UserShareClient
from common.clients.volume import UserVolumeClient
from common.clock import SystemClock
from common.rpc.conductor.aggregates import Aggregates
from common.rpc.conductor.catalog import Catalog
from common.rpc.conductor.consoles import Consoles
from common.rpc.conductor.external_events import ExternalEvents
from common.rpc.conductor.guest import Guest
from common.rpc.conductor.host_power import HostPower
from common.rpc.conductor.hosts import Hosts
from common.rpc.conductor.idempotency import Idempotency
from common.rpc.conductor.interfaces import Interfaces
from common.rpc.conductor.moves import Moves
from common.rpc.conductor.power import Power
from common.rpc.conductor.quotas import Quotas
from common.rpc.conductor.repair import Repair
from common.rpc.conductor.server_groups import ServerGroups
from common.rpc.conductor.servers import Servers as ServersRpc
from common.rpc.conductor.shares import Shares
from common.rpc.conductor.shelving import Shelving
from common.rpc.conductor.snapshots import Snapshots
from common.rpc.conductor.state import State
from common.rpc.conductor.tasks import Tasks
from common.rpc.conductor.usage import Usage
from common.rpc.conductor.volumes import Volumes
from services.api import gone
from services.api.actions import Act, Actions
from services.api.console_urls import ConsoleUrls
from services.api.lookups import Lookups
from services.api.network_gateway import NetworkGateway
from services.api.old_names import OldName, old_actions
from services.api.resources import (
    aggregates,
    assisted_snapshots,
    availability_zones,
    baremetal_nodes,
    consoles,
    extensions,
    external_events,
    flavors,
    floating_ips,
    hosts,
    hypervisors,
    images,
    interfaces,
    journal,
    keypairs,
    migrations,
    networks,
    quota_classes,
    quota_sets,
    security_groups,
    server_groups,
    services,
    shares,
    usage,
    usage_audit_log,
    versions,
    volume_attachments,
    volumes,
)
from services.api.resources.servers import belongings, inside, resource
from services.api.resources.servers.actions.console import ConsoleActions
from services.api.resources.servers.actions.deletion import DeletionActions
from services.api.resources.servers.actions.guest import GuestActions
from services.api.resources.servers.actions.moves import MoveActions
from services.api.resources.servers.actions.networking import NetworkingActions
from services.api.resources.servers.actions.power import PowerActions
from services.api.resources.servers.actions.repair import RepairActions
from services.api.resources.servers.actions.shelving import ShelvingActions
from services.api.resources.servers.actions.snapshots import SnapshotActions
from services.api.resources.servers.actions.state import StateActions
from services.api.snapshot_images import SnapshotImages
from services.api.volume_gateway import VolumeGateway
from services.api.volume_images import VolumeImages

_VOLUMES_BOOT_ACTIONS = (
    "confirmResize", "revertResize", "reboot", "resize", "rebuild", "createImage", "os-start",
    "os-stop", "trigger_crash_dump",
)  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What resources are made from."""

    servers: ServersRpc
    power: Power
    guest: Guest
    interfaces: Interfaces
    external_events: ExternalEvents
    state: State
    repair: Repair
    snapshots: Snapshots
    shelving: Shelving
    moves: Moves
    consoles: Consoles
    catalog: Catalog
    hosts: Hosts
    host_power: HostPower
    aggregates: Aggregates
    server_groups: ServerGroups
    quotas: Quotas
    usage: Usage
    volumes: Volumes
    shares: Shares
    tasks: Tasks
    idempotency: Idempotency
    lookups: Lookups
    images: UserImageClient
    networks: UserNetworkClient
    volume_service: UserVolumeClient
    share_service: UserShareClient
    identity: IdentityClient
    console_urls: ConsoleUrls
    show_password: bool
    max_limit: int


@dataclass(frozen=True)
class Route:
    """A path and what serves it; `suffix` picks `on_get_<suffix>` and its like."""

    path: str
    resource: Any
    suffix: str | None = None


def routes(parts: Parts) -> list[Route]:
    """The table."""
    return [
        Route("/versions/{version_id}", versions.VersionById()),
        *_servers(parts),
        *_flavors(parts.catalog, parts.identity),
        *_projects(parts),
        *_hosts(parts.hosts, parts.host_power, parts.usage),
        *_aggregates(parts.aggregates),
        *_proxies(parts),
        *_assisted_snapshots(parts.volumes),
        Route("/os-migrations", migrations.Migrations(parts.moves)),
        Route(
            "/os-server-external-events",
            external_events.ServerExternalEvents(parts.external_events),
        ),
        Route("/os-console-auth-tokens/{token}", consoles.ConsoleAuthToken(parts.consoles)),
        Route("/kilonova/tasks", journal.TaskList(parts.tasks)),
        Route("/kilonova/tasks/{task_id}", journal.TaskById(parts.tasks)),
        Route("/kilonova/status", journal.Status(parts.hosts)),
        *(Route(path, gone.Removed(methods)) for path, methods in gone.OPERATIONS.items()),
        *(Route(path, gone.removed_actions(names)) for path, names in gone.ACTIONS.items()),
    ]


def _servers(parts: Parts) -> Iterator[Route]:
    servers = parts.servers
    storage = VolumeGateway(parts.volume_service)
    many = resource.Servers(servers, parts.lookups, storage, show_password=parts.show_password)
    snapshot_images = SnapshotImages(parts.images)
    gateway = NetworkGateway(parts.networks)
    opener = consoles.ConsoleOpener(parts.consoles, parts.console_urls)
    actions = (
        PowerActions(parts.power),
        ConsoleActions(servers, opener),
        GuestActions(parts.guest),
        StateActions(parts.state, servers),
        NetworkingActions(servers, parts.interfaces, gateway),
        DeletionActions(servers),
        SnapshotActions(
            parts.snapshots,
            snapshot_images,
            VolumeImages(parts.snapshots, snapshot_images, storage),
        ),
        ShelvingActions(parts.shelving, parts.snapshots, snapshot_images),
        RepairActions(parts.repair, parts.lookups, show_password=parts.show_password),
        MoveActions(parts.moves, show_password=parts.show_password),
    )
    one = "/servers/{server_id}"
    single = resource.ServerById(servers)
    yield Route("/servers", many)
    yield Route("/servers/detail", many, "detail")
    yield Route(one, single)
    table = {name: act for family in actions for name, act in family.table().items()}
    yield Route(f"{one}/action", Actions(table))
    yield from _volumes_boot(many, single, table)
    yield Route(f"{one}/metadata", belongings.Metadata(servers))
    yield Route(f"{one}/metadata/{{key}}", belongings.MetadataItem(servers))
    yield Route(f"{one}/tags", belongings.Tags(servers))
    yield Route(f"{one}/tags/{{tag}}", belongings.Tag(servers))
    yield Route(f"{one}/ips", belongings.Addresses(servers))
    yield Route(f"{one}/ips/{{network}}", belongings.NetworkAddresses(servers))
    attachments = interfaces.InterfaceAttachments(servers, parts.interfaces, gateway, parts.lookups)
    yield Route(f"{one}/os-interface", attachments)
    attachment = interfaces.InterfaceAttachment(servers, parts.interfaces, gateway)
    yield Route(f"{one}/os-interface/{{port_id}}", attachment)
    attached = volume_attachments.VolumeAttachments(servers, parts.volumes, storage)
    yield Route(f"{one}/os-volume_attachments", attached)
    attached_one = volume_attachments.VolumeAttachment(servers, parts.volumes, storage)
    yield Route(f"{one}/os-volume_attachments/{{volume_id}}", attached_one)
    groups = security_groups.ServerSecurityGroups(servers, gateway)
    yield Route(f"{one}/os-security-groups", groups)
    shared = shares.ServerShares(servers, parts.shares, parts.share_service)
    yield Route(f"{one}/shares", shared)
    yield Route(f"{one}/shares/{{share_id}}", shares.ServerShareById(servers, parts.shares))
    yield Route(f"{one}/remote-consoles", consoles.RemoteConsoles(opener))
    yield Route(f"{one}/diagnostics", inside.ServerDiagnostics(parts.guest))
    yield Route(f"{one}/topology", inside.ServerTopology(servers, parts.guest))
    yield Route(f"{one}/os-server-password", inside.ServerPassword(parts.guest))
    move = f"{one}/migrations/{{migration_id}}"
    yield Route(f"{one}/migrations", migrations.ServerMigrations(parts.moves))
    yield Route(move, migrations.ServerMigrationById(parts.moves))
    yield Route(f"{move}/action", migrations.ServerMigrationActions(parts.moves).actions())
    yield Route(f"{one}/os-instance-actions", belongings.InstanceActions(servers))
    yield Route(f"{one}/os-instance-actions/{{request_id}}", belongings.InstanceActionById(servers))


def _volumes_boot(
    many: resource.Servers, single: resource.ServerById, actions: dict[str, Act]
) -> Iterator[Route]:
    """What servers were called, too, when they should boot from volumes."""
    names: dict[str, str] = {"old": "/os-volumes_boot", "new": "/servers", "until": "2.102"}
    all_of_them = OldName(many, **names)
    one = "/os-volumes_boot/{server_id}"
    yield Route("/os-volumes_boot", all_of_them)
    yield Route("/os-volumes_boot/detail", all_of_them, "detail")
    yield Route(one, OldName(single, **names))
    kept = {name: actions[name] for name in _VOLUMES_BOOT_ACTIONS}
    yield Route(f"{one}/action", old_actions(kept, **names))


def _flavors(catalog: Catalog, identity: IdentityClient) -> Iterator[Route]:
    many = flavors.Flavors(catalog)
    acts = flavors.FlavorActions(catalog, identity)
    one = "/flavors/{flavorid}"
    yield Route("/flavors", many)
    yield Route("/flavors/detail", many, "detail")
    yield Route(one, flavors.FlavorById(catalog))
    yield Route(
        f"{one}/action",
        Actions(
            {
                "addTenantAccess": acts.add_tenant_access,
                "removeTenantAccess": acts.remove_tenant_access,
            }
        ),
    )
    yield Route(f"{one}/os-extra_specs", flavors.ExtraSpecs(catalog))
    yield Route(f"{one}/os-extra_specs/{{key}}", flavors.ExtraSpec(catalog))
    yield Route(f"{one}/os-flavor-access", flavors.FlavorAccess(catalog))


def _projects(parts: Parts) -> Iterator[Route]:
    quota, clock = quota_sets.QuotaSetOf(parts.quotas, parts.identity), SystemClock()
    yield Route("/os-keypairs", keypairs.Keypairs(parts.catalog, clock))
    yield Route("/os-keypairs/{name}", keypairs.KeypairByName(parts.catalog))
    yield Route("/os-quota-sets/{project_id}", quota)
    yield Route("/os-quota-sets/{project_id}/defaults", quota, "defaults")
    yield Route("/os-quota-sets/{project_id}/detail", quota, "detail")
    groups = parts.server_groups
    yield Route("/os-server-groups", server_groups.ServerGroups(groups))
    yield Route("/os-server-groups/{group_id}", server_groups.ServerGroupById(groups))
    classes = quota_classes.QuotaClassSet(parts.quotas)
    yield Route("/os-quota-class-sets/{class_name}", classes)
    yield Route("/limits", quota_sets.Limits(parts.quotas))
    yield Route("/os-simple-tenant-usage", usage.TenantUsages(parts.usage, clock))
    yield Route("/os-simple-tenant-usage/{project_id}", usage.TenantUsageOf(parts.usage, clock))


def _hosts(of_conductor: Hosts, power: HostPower, shares: Usage) -> Iterator[Route]:
    named = hosts.HostByName(of_conductor, power, shares)
    yield Route("/os-hosts", hosts.Hosts(of_conductor))
    yield Route("/os-hosts/{host_name}", named)
    for action in ("reboot", "shutdown", "startup"):
        yield Route(f"/os-hosts/{{host_name}}/{action}", named, action)
    many = hypervisors.Hypervisors(of_conductor)
    one = hypervisors.HypervisorById(of_conductor)
    zones = availability_zones.AvailabilityZones(of_conductor)
    yield Route("/os-services", services.Services(of_conductor))
    yield Route("/os-services/{service_id}", services.ServiceById(of_conductor))
    yield Route("/os-hypervisors", many)
    yield Route("/os-hypervisors/detail", many, "detail")
    yield Route("/os-hypervisors/statistics", many, "statistics")
    yield Route("/os-hypervisors/{hypervisor_id}", one)
    yield Route("/os-hypervisors/{hypervisor_id}/uptime", one, "uptime")
    yield Route("/os-hypervisors/{hypervisor_id}/search", one, "search")
    yield Route("/os-hypervisors/{hypervisor_id}/servers", one, "servers")
    log = usage_audit_log.UsageAuditLogs(shares, SystemClock())
    yield Route("/os-instance_usage_audit_log", log)
    before = usage_audit_log.UsageAuditLogBefore(shares)
    yield Route("/os-instance_usage_audit_log/{before}", before)
    yield Route("/os-availability-zone", zones)
    yield Route("/os-availability-zone/detail", zones, "detail")


def _aggregates(of_conductor: Aggregates) -> Iterator[Route]:
    one = "/os-aggregates/{aggregate_id}"
    yield Route("/os-aggregates", aggregates.Aggregates(of_conductor))
    yield Route(one, aggregates.AggregateById(of_conductor))
    actions = aggregates.AggregateActions(of_conductor)
    yield Route(f"{one}/action", Actions(actions.table()))
    yield Route(f"{one}/images", aggregates.AggregateImages(of_conductor))


def _assisted_snapshots(of_conductor: Volumes) -> Iterator[Route]:
    path = "/os-assisted-volume-snapshots"
    one = assisted_snapshots.AssistedSnapshotById(of_conductor)
    yield Route(path, assisted_snapshots.AssistedSnapshots(of_conductor))
    yield Route(f"{path}/{{snapshot_id}}", one)


def _proxies(parts: Parts) -> Iterator[Route]:
    many = images.Images(parts.images)
    yield Route("/images", many)
    yield Route("/images/detail", many, "detail")
    yield Route("/images/{image_id}", images.ImageById(parts.images))
    yield Route("/images/{image_id}/metadata", images.ImageMetadata(parts.images))
    yield Route("/images/{image_id}/metadata/{key}", images.ImageMetadataItem(parts.images))
    yield from _networks(NetworkGateway(parts.networks))
    yield from _volumes(VolumeGateway(parts.volume_service))
    node = baremetal_nodes.BaremetalNodeById()
    change = dict.fromkeys(("add_interface", "remove_interface"), node.change_interfaces)
    yield Route("/os-baremetal-nodes", baremetal_nodes.BaremetalNodes())
    yield Route("/os-baremetal-nodes/{node_id}", node)
    yield Route("/os-baremetal-nodes/{node_id}/action", Actions(change))
    yield Route("/extensions", extensions.Extensions())
    yield Route("/extensions/{alias}", extensions.ExtensionByAlias())


def _networks(gateway: NetworkGateway) -> Iterator[Route]:
    yield Route("/os-networks", networks.Networks(gateway))
    yield Route("/os-networks/{network_id}", networks.NetworkById(gateway))
    yield Route("/os-tenant-networks", networks.TenantNetworks(gateway))
    yield Route("/os-tenant-networks/{network_id}", networks.TenantNetworkById(gateway))
    yield Route("/os-floating-ip-pools", floating_ips.FloatingIpPools(gateway))
    yield Route("/os-floating-ips", floating_ips.FloatingIps(gateway))
    yield Route("/os-floating-ips/{floating_ip_id}", floating_ips.FloatingIpById(gateway))
    yield Route("/os-security-groups", security_groups.SecurityGroups(gateway))
    yield Route("/os-security-groups/{group_id}", security_groups.SecurityGroupById(gateway))
    rules = security_groups.SecurityGroupRules(gateway)
    yield Route("/os-security-group-rules", rules)
    rule = security_groups.SecurityGroupRuleById(gateway)
    yield Route("/os-security-group-rules/{rule_id}", rule)


def _volumes(gateway: VolumeGateway) -> Iterator[Route]:
    many, snapshots = volumes.Volumes(gateway), volumes.Snapshots(gateway)
    yield Route("/os-volumes", many)
    yield Route("/os-volumes/detail", many, "detail")
    yield Route("/os-volumes/{volume_id}", volumes.VolumeById(gateway))
    yield Route("/os-snapshots", snapshots)
    yield Route("/os-snapshots/detail", snapshots, "detail")
    yield Route("/os-snapshots/{snapshot_id}", volumes.SnapshotById(gateway))


def collections(table: list[Route]) -> frozenset[str]:
    """First segments of every path: what is no project id."""
    return frozenset(route.path.split("/")[1] for route in table)
