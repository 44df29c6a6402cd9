# SPDX-License-Identifier: Apache-2.0
"""One request for every operation of the contract that is not gone.

`ASKED[method, path, action]` makes (path below /v2.1, body) from a world and a microversion; what
it takes from the world is fresh wherever the request uses it up.
"""

from collections.abc import Callable
from typing import Any

from tests.conformance.world import PUBLIC_KEY, Nowhere, World

Key = tuple[str, str, str | None]
Asked = tuple[str, Any]
Maker = Callable[[Any, int], Asked]
Things = World | Nowhere


def _get(path: str) -> Maker:
    return lambda w, v: (path, None)


def _of(path: Callable[[Any, int], str], body: Callable[[Any, int], Any] | None = None) -> Maker:
    return lambda w, v: (path(w, v), body(w, v) if body else None)


def _act(name: str, value: Any = None, status: str = "ACTIVE") -> Maker:
    def make(w: Any, v: int) -> Asked:
        held = value(w, v) if callable(value) else value
        return f"/servers/{w.server(status)}/action", {name: held}

    return make


def _on(name: str, server: Callable[[Any], str], value: Callable[[Any, int, str], Any]) -> Maker:
    def make(w: Any, v: int) -> Asked:
        chosen = server(w)
        return f"/servers/{chosen}/action", {name: value(w, v, chosen)}

    return make


def _kept(rest: str, body: Any = None) -> Maker:
    return lambda w, v: (f"/servers/{w.kept}{rest}", body)


def _new_server(w: Any, v: int) -> Any:
    body: dict[str, Any] = {"name": w.name("made"), "flavorRef": "1", "imageRef": w.image}
    if v >= 37:
        body["networks"] = "none"
    else:
        body["networks"] = [{"uuid": w.network}]
    if v >= 52:
        body["tags"] = ["t"]
    if v >= 90:
        body["hostname"] = "made"
    return {"server": body}


def _live(w: Any, v: int) -> Any:
    body: dict[str, Any] = {"host": None, "block_migration": "auto" if v >= 25 else False}
    if v < 25:
        body["disk_over_commit"] = False
    return body


def _evacuate(w: Any, v: int, server: str) -> Any:
    return {} if v >= 14 else {"onSharedStorage": False}


def _service_update(w: Any, v: int) -> Asked:
    if v >= 53:
        return f"/os-services/{w.service_of(w.host)}", {"status": "enabled"}
    return "/os-services/enable", {"host": w.host, "binary": "nova-compute"}


def _console(v: int) -> dict[str, str]:
    if v >= 99:
        return {"protocol": "spice", "type": "spice-direct"}
    return {"protocol": "vnc", "type": "novnc"}


def _group_body(w: Any, v: int) -> Any:
    body: dict[str, Any] = {"name": w.name("group")}
    if v >= 64:
        return {"server_group": body | {"policy": "anti-affinity"}}
    return {"server_group": body | {"policies": ["affinity"]}}


def _events(w: Any, v: int) -> Any:
    event = {"name": "network-changed", "server_uuid": w.kept, "tag": "x"}
    return {"events": [event]}


def _volume_to_attach(w: Any, v: int) -> Any:
    return {"volumeAttachment": {"volumeId": w.volume()}}


def _swap(w: Any, v: int) -> Asked:
    server, volume = w.attached()
    other = volume if v >= 85 else w.volume()
    if v < 85:
        w.move_volume(volume)
    body: dict[str, Any] = {"volumeId": other}
    if v >= 85:
        body["delete_on_termination"] = True
    return f"/servers/{server}/os-volume_attachments/{volume}", {"volumeAttachment": body}


def _detach(w: Any, v: int) -> Asked:
    server, volume = w.attached()
    return f"/servers/{server}/os-volume_attachments/{volume}", None


def _kept_volume(w: Any, v: int) -> Asked:
    server, volume = w.kept_attachment
    return f"/servers/{server}/os-volume_attachments/{volume}", None


def _unplug(w: Any, v: int) -> Asked:
    server = w.wired()
    shown = w.must("GET", f"/servers/{server}/os-interface") if isinstance(w, World) else None
    port = shown["interfaceAttachments"][0]["port_id"] if shown else w.port()
    return f"/servers/{server}/os-interface/{port}", None


def _migration(rest: str, body: Any = None) -> Maker:
    def make(w: Any, v: int) -> Asked:
        server, migration = w.migrating()
        return f"/servers/{server}/migrations/{migration}{rest}", body

    return make


def _remove_access(w: Any, v: int) -> Asked:
    flavor = w.private_flavor(opened=True)
    return f"/flavors/{flavor}/action", {"removeTenantAccess": {"tenant": w.project_id}}


def _remove_floating(w: Any, v: int) -> Asked:
    server, found = w.wired(), w.floating_ip()
    if isinstance(w, World):
        body = {"addFloatingIp": {"address": found.floating_ip_address}}
        w.must("POST", f"/servers/{server}/action", body, version=43)
    return f"/servers/{server}/action", {"removeFloatingIp": {"address": found.floating_ip_address}}


def _remove_group(w: Any, v: int) -> Asked:
    server, group = w.wired(), w.security_group()
    if isinstance(w, World):
        w.must("POST", f"/servers/{server}/action", {"addSecurityGroup": {"name": group}})
    return f"/servers/{server}/action", {"removeSecurityGroup": {"name": group}}


_ONE = "/servers/{id}"
_ACT = "/servers/{id}/action"

_SERVER_ACTIONS: dict[str, Maker] = {
    "confirmResize": _act("confirmResize", status="VERIFY_RESIZE"),
    "revertResize": _act("revertResize", status="VERIFY_RESIZE"),
    "reboot": _act("reboot", {"type": "HARD"}),
    "resize": _act("resize", {"flavorRef": "2"}),
    "rebuild": _act("rebuild", lambda w, v: {"imageRef": w.image}),
    "createImage": _act("createImage", lambda w, v: {"name": w.name("image")}),
    "os-start": _act("os-start", status="SHUTOFF"),
    "os-stop": _act("os-stop"),
    "trigger_crash_dump": _act("trigger_crash_dump"),
    "injectNetworkInfo": _act("injectNetworkInfo"),
    "os-resetState": _act("os-resetState", {"state": "active"}),
    "changePassword": _act("changePassword", {"adminPass": "secret"}),
    "os-getConsoleOutput": _act("os-getConsoleOutput", {"length": 10}),
    "createBackup": _act("createBackup", lambda w, v: {
        "name": w.name("backup"), "backup_type": "daily", "rotation": 1}),
    "restore": _act("restore", status="SOFT_DELETED"),
    "forceDelete": _act("forceDelete"),
    "evacuate": _on("evacuate", lambda w: w.stranded(), _evacuate),
    "addFloatingIp": _on("addFloatingIp", lambda w: w.wired(), lambda w, v, s: {
        "address": w.floating_ip().floating_ip_address}),
    "removeFloatingIp": _remove_floating,
    "lock": _act("lock"),
    "unlock": _act("unlock"),
    "migrate": _act("migrate"),
    "os-migrateLive": _act("os-migrateLive", _live),
    "addFixedIp": _on("addFixedIp", lambda w: w.wired(), lambda w, v, s: {"networkId": w.network}),
    "removeFixedIp": _on("removeFixedIp", lambda w: w.wired(), lambda w, v, s: {
        "address": w.address(s)}),
    "pause": _act("pause"),
    "unpause": _act("unpause", status="PAUSED"),
    "os-getVNCConsole": _act("os-getVNCConsole", {"type": "novnc"}),
    "os-getSPICEConsole": _act("os-getSPICEConsole", {"type": "spice-html5"}),
    "os-getRDPConsole": _act("os-getRDPConsole", {"type": "rdp-html5"}),
    "os-getSerialConsole": _act("os-getSerialConsole", {"type": "serial"}),
    "rescue": _act("rescue"),
    "unrescue": _act("unrescue", status="RESCUE"),
    "addSecurityGroup": _on("addSecurityGroup", lambda w: w.wired(), lambda w, v, s: {
        "name": w.security_group()}),
    "removeSecurityGroup": _remove_group,
    "shelve": _act("shelve"),
    "shelveOffload": _act("shelveOffload", status="SHELVED"),
    "unshelve": _act("unshelve", status="SHELVED_OFFLOADED"),
    "suspend": _act("suspend"),
    "resume": _act("resume", status="SUSPENDED"),
}  # fmt: skip

ASKED: dict[Key, Maker] = {
    ("GET", "//", None): _get("//"),
    ("GET", "/", None): _get("/"),
    ("GET", "/versions/{id}", None): _get("/versions/v2.1"),
    ("GET", "/extensions", None): _get("/extensions"),
    ("GET", "/extensions/{id}", None): _get("/extensions/OS-DCF"),
    # --- flavors ---
    ("GET", "/flavors", None): _get("/flavors"),
    ("POST", "/flavors", None): lambda w, v: ("/flavors", {
        "flavor": {"name": w.name("flavor"), "ram": 64, "vcpus": 1, "disk": 1}}),
    ("GET", "/flavors/detail", None): _get("/flavors/detail"),
    ("GET", "/flavors/{id}", None): _get("/flavors/1"),
    ("PUT", "/flavors/{id}", None): lambda w, v: ("/flavors/1", {"flavor": {"description": "d"}}),
    ("DELETE", "/flavors/{id}", None): _of(lambda w, v: f"/flavors/{w.flavor()}"),
    ("POST", "/flavors/{id}/action", "addTenantAccess"): lambda w, v: (
        f"/flavors/{w.private_flavor()}/action", {"addTenantAccess": {"tenant": w.project_id}}),
    ("POST", "/flavors/{id}/action", "removeTenantAccess"): _remove_access,
    ("GET", "/flavors/{flavor_id}/os-extra_specs", None): _get("/flavors/1/os-extra_specs"),
    ("POST", "/flavors/{flavor_id}/os-extra_specs", None): lambda w, v: (
        f"/flavors/{w.flavor()}/os-extra_specs", {"extra_specs": {"hw:numa_nodes": "1"}}),
    ("GET", "/flavors/{flavor_id}/os-extra_specs/{id}", None): _of(
        lambda w, v: f"/flavors/{w.flavor_with_specs()}/os-extra_specs/hw:numa_nodes"),
    ("PUT", "/flavors/{flavor_id}/os-extra_specs/{id}", None): lambda w, v: (
        f"/flavors/{w.flavor()}/os-extra_specs/hw:numa_nodes", {"hw:numa_nodes": "2"}),
    ("DELETE", "/flavors/{flavor_id}/os-extra_specs/{id}", None): _of(
        lambda w, v: f"/flavors/{w.flavor_with_specs()}/os-extra_specs/hw:numa_nodes"),
    ("GET", "/flavors/{flavor_id}/os-flavor-access", None): _of(
        lambda w, v: f"/flavors/{w.private_flavor(opened=True)}/os-flavor-access"),
    # --- images, as a proxy ---
    ("GET", "/images", None): _get("/images"),
    ("GET", "/images/detail", None): _get("/images/detail"),
    ("GET", "/images/{id}", None): _of(lambda w, v: f"/images/{w.image}"),
    ("DELETE", "/images/{id}", None): _of(lambda w, v: f"/images/{w.own_image()}"),
    ("GET", "/images/{image_id}/metadata", None): _of(lambda w, v: f"/images/{w.image}/metadata"),
    ("POST", "/images/{image_id}/metadata", None): lambda w, v: (
        f"/images/{w.own_image()}/metadata", {"metadata": {"k": "v"}}),
    ("PUT", "/images/{image_id}/metadata", None): lambda w, v: (
        f"/images/{w.own_image()}/metadata", {"metadata": {"k": "v"}}),
    ("GET", "/images/{image_id}/metadata/{id}", None): _of(
        lambda w, v: f"/images/{w.own_image()}/metadata/k"),
    ("PUT", "/images/{image_id}/metadata/{id}", None): lambda w, v: (
        f"/images/{w.own_image()}/metadata/k", {"meta": {"k": "w"}}),
    ("DELETE", "/images/{image_id}/metadata/{id}", None): _of(
        lambda w, v: f"/images/{w.own_image()}/metadata/k"),
    # --- projects ---
    ("GET", "/limits", None): _get("/limits"),
    ("GET", "/os-keypairs", None): _of(lambda w, v: f"/os-keypairs?{'' if w.keypair() else ''}"),
    ("POST", "/os-keypairs", None): lambda w, v: (
        "/os-keypairs", {"keypair": {"name": w.name("key"), "public_key": PUBLIC_KEY}}),
    ("GET", "/os-keypairs/{id}", None): _of(lambda w, v: f"/os-keypairs/{w.keypair()}"),
    ("DELETE", "/os-keypairs/{id}", None): _of(lambda w, v: f"/os-keypairs/{w.keypair()}"),
    ("GET", "/os-quota-class-sets/{id}", None): _get("/os-quota-class-sets/default"),
    ("PUT", "/os-quota-class-sets/{id}", None): lambda w, v: (
        "/os-quota-class-sets/some", {"quota_class_set": {"instances": 11}}),
    ("GET", "/os-quota-sets/{id}", None): _of(lambda w, v: f"/os-quota-sets/{w.project_id}"),
    ("PUT", "/os-quota-sets/{id}", None): lambda w, v: (
        f"/os-quota-sets/{w.project_id}", {"quota_set": {"instances": 9999}}),
    ("DELETE", "/os-quota-sets/{id}", None): _of(lambda w, v: f"/os-quota-sets/{w.project_id}"),
    ("GET", "/os-quota-sets/{id}/detail", None): _of(
        lambda w, v: f"/os-quota-sets/{w.project_id}/detail"),
    ("GET", "/os-quota-sets/{id}/defaults", None): _of(
        lambda w, v: f"/os-quota-sets/{w.project_id}/defaults"),
    ("GET", "/os-server-groups", None): _get("/os-server-groups"),
    ("POST", "/os-server-groups", None): lambda w, v: ("/os-server-groups", _group_body(w, v)),
    ("GET", "/os-server-groups/{id}", None): _of(
        lambda w, v: f"/os-server-groups/{w.server_group()}"),
    ("DELETE", "/os-server-groups/{id}", None): _of(
        lambda w, v: f"/os-server-groups/{w.server_group()}"),
    ("GET", "/os-simple-tenant-usage", None): _get("/os-simple-tenant-usage?detailed=1"),
    ("GET", "/os-simple-tenant-usage/{id}", None): _of(
        lambda w, v: f"/os-simple-tenant-usage/{w.project_id}"),
    # --- hosts ---
    ("GET", "/os-aggregates", None): _of(
        lambda w, v: "/os-aggregates" if w.aggregate(w.host) else ""),
    ("POST", "/os-aggregates", None): lambda w, v: (
        "/os-aggregates", {"aggregate": {"name": w.name("aggregate"), "availability_zone": None}}),
    ("GET", "/os-aggregates/{id}", None): _of(lambda w, v: f"/os-aggregates/{w.aggregate(w.host)}"),
    ("PUT", "/os-aggregates/{id}", None): lambda w, v: (
        f"/os-aggregates/{w.aggregate()}", {"aggregate": {"name": w.name("aggregate")}}),
    ("DELETE", "/os-aggregates/{id}", None): _of(lambda w, v: f"/os-aggregates/{w.aggregate()}"),
    ("POST", "/os-aggregates/{id}/action", "add_host"): lambda w, v: (
        f"/os-aggregates/{w.aggregate()}/action", {"add_host": {"host": w.host}}),
    ("POST", "/os-aggregates/{id}/action", "remove_host"): lambda w, v: (
        f"/os-aggregates/{w.aggregate(w.host)}/action", {"remove_host": {"host": w.host}}),
    ("POST", "/os-aggregates/{id}/action", "set_metadata"): lambda w, v: (
        f"/os-aggregates/{w.aggregate()}/action", {"set_metadata": {"metadata": {"k": "v"}}}),
    ("POST", "/os-aggregates/{id}/images", None): lambda w, v: (
        f"/os-aggregates/{w.aggregate(w.host)}/images", {"cache": [{"id": w.image}]}),
    ("GET", "/os-availability-zone", None): _get("/os-availability-zone"),
    ("GET", "/os-availability-zone/detail", None): _get("/os-availability-zone/detail"),
    ("GET", "/os-baremetal-nodes", None): _get("/os-baremetal-nodes"),
    ("POST", "/os-baremetal-nodes", None): lambda w, v: ("/os-baremetal-nodes", {"node": {}}),
    ("GET", "/os-baremetal-nodes/{id}", None): _get("/os-baremetal-nodes/1"),
    ("DELETE", "/os-baremetal-nodes/{id}", None): _get("/os-baremetal-nodes/1"),
    ("POST", "/os-baremetal-nodes/{id}/action", "add_interface"): lambda w, v: (
        "/os-baremetal-nodes/1/action", {"add_interface": {}}),
    ("POST", "/os-baremetal-nodes/{id}/action", "remove_interface"): lambda w, v: (
        "/os-baremetal-nodes/1/action", {"remove_interface": {}}),
    ("GET", "/os-console-auth-tokens/{id}", None): _of(
        lambda w, v: f"/os-console-auth-tokens/{w.console_token()}"),
    ("GET", "/os-hosts", None): _get("/os-hosts"),
    ("GET", "/os-hosts/{id}", None): _of(lambda w, v: f"/os-hosts/{w.host}"),
    ("PUT", "/os-hosts/{id}", None): lambda w, v: (f"/os-hosts/{w.host}", {"status": "enable"}),
    ("GET", "/os-hosts/{id}/reboot", None): _of(lambda w, v: f"/os-hosts/{w.dark_host()}/reboot"),
    ("GET", "/os-hosts/{id}/shutdown", None): _of(
        lambda w, v: f"/os-hosts/{w.dark_host()}/shutdown"),
    ("GET", "/os-hosts/{id}/startup", None): _of(lambda w, v: f"/os-hosts/{w.dark_host()}/startup"),
    ("GET", "/os-hypervisors", None): _get("/os-hypervisors"),
    ("GET", "/os-hypervisors/detail", None): _get("/os-hypervisors/detail"),
    ("GET", "/os-hypervisors/statistics", None): _get("/os-hypervisors/statistics"),
    ("GET", "/os-hypervisors/{id}", None): _of(
        lambda w, v: f"/os-hypervisors/{w.hypervisor(version=v)}"),
    ("GET", "/os-hypervisors/{id}/search", None): _get("/os-hypervisors/fake/search"),
    ("GET", "/os-hypervisors/{id}/servers", None): _get("/os-hypervisors/fake/servers"),
    ("GET", "/os-hypervisors/{id}/uptime", None): _of(
        lambda w, v: f"/os-hypervisors/{w.hypervisor(version=v)}/uptime"),
    ("GET", "/os-instance_usage_audit_log", None): _get("/os-instance_usage_audit_log"),
    ("GET", "/os-instance_usage_audit_log/{id}", None): _get(
        "/os-instance_usage_audit_log/2026-01-01%2000:00:00"),
    ("GET", "/os-migrations", None): _get("/os-migrations"),
    ("GET", "/os-services", None): _get("/os-services"),
    ("PUT", "/os-services/{id}", None): _service_update,
    ("DELETE", "/os-services/{id}", None): _of(
        lambda w, v: f"/os-services/{w.spare_service(version=v)}"),
    ("POST", "/os-server-external-events", None): lambda w, v: (
        "/os-server-external-events", _events(w, v)),
    ("POST", "/os-assisted-volume-snapshots", None): lambda w, v: (
        "/os-assisted-volume-snapshots", {"snapshot": {
            "volume_id": w.kept_attachment[1],
            "create_info": {"snapshot_id": "s", "type": "qcow2", "new_file": "f"}}}),
    ("DELETE", "/os-assisted-volume-snapshots/{id}", None): _of(
        lambda w, v: "/os-assisted-volume-snapshots/s?delete_info="
        f'{{"volume_id":"{w.kept_attachment[1]}"}}'),
    # --- networks, as a proxy ---
    ("GET", "/os-floating-ip-pools", None): _of(
        lambda w, v: "/os-floating-ip-pools" if w.external else ""),
    ("GET", "/os-floating-ips", None): _get("/os-floating-ips"),
    ("POST", "/os-floating-ips", None): lambda w, v: ("/os-floating-ips", {
        "pool": "outside" if w.external else ""}),
    ("GET", "/os-floating-ips/{id}", None): _of(
        lambda w, v: f"/os-floating-ips/{w.floating_ip().id}"),
    ("DELETE", "/os-floating-ips/{id}", None): _of(
        lambda w, v: f"/os-floating-ips/{w.floating_ip().id}"),
    ("GET", "/os-networks", None): _get("/os-networks"),
    ("GET", "/os-networks/{id}", None): _of(lambda w, v: f"/os-networks/{w.network}"),
    ("GET", "/os-tenant-networks", None): _get("/os-tenant-networks"),
    ("GET", "/os-tenant-networks/{id}", None): _of(lambda w, v: f"/os-tenant-networks/{w.network}"),
    ("GET", "/os-security-groups", None): _get("/os-security-groups"),
    ("POST", "/os-security-groups", None): lambda w, v: ("/os-security-groups", {
        "security_group": {"name": w.name("group"), "description": "d"}}),
    ("GET", "/os-security-groups/{id}", None): _of(
        lambda w, v: f"/os-security-groups/{w.security_group()}"),
    ("PUT", "/os-security-groups/{id}", None): lambda w, v: (
        f"/os-security-groups/{w.security_group()}",
        {"security_group": {"name": w.name("group"), "description": "d"}}),
    ("DELETE", "/os-security-groups/{id}", None): _of(
        lambda w, v: f"/os-security-groups/{w.security_group()}"),
    ("POST", "/os-security-group-rules", None): lambda w, v: ("/os-security-group-rules", {
        "security_group_rule": {
            "parent_group_id": w.security_group(), "ip_protocol": "tcp", "from_port": 22,
            "to_port": 22, "cidr": "10.0.0.0/24"}}),
    ("DELETE", "/os-security-group-rules/{id}", None): _of(
        lambda w, v: f"/os-security-group-rules/{w.security_group_rule()}"),
    # --- volumes, as a proxy ---
    ("GET", "/os-volumes", None): _get("/os-volumes"),
    ("POST", "/os-volumes", None): lambda w, v: ("/os-volumes", {
        "volume": {"size": 1, "display_name": w.name("volume")}}),
    ("GET", "/os-volumes/detail", None): _get("/os-volumes/detail"),
    ("GET", "/os-volumes/{id}", None): _of(lambda w, v: f"/os-volumes/{w.volume()}"),
    ("DELETE", "/os-volumes/{id}", None): _of(lambda w, v: f"/os-volumes/{w.volume()}"),
    ("GET", "/os-snapshots", None): _get("/os-snapshots"),
    ("POST", "/os-snapshots", None): lambda w, v: ("/os-snapshots", {
        "snapshot": {"volume_id": w.volume(), "display_name": w.name("snapshot")}}),
    ("GET", "/os-snapshots/detail", None): _get("/os-snapshots/detail"),
    ("GET", "/os-snapshots/{id}", None): _of(lambda w, v: f"/os-snapshots/{w.snapshot()}"),
    ("DELETE", "/os-snapshots/{id}", None): _of(lambda w, v: f"/os-snapshots/{w.snapshot()}"),
    # --- servers ---
    ("GET", "/servers", None): _of(lambda w, v: "/servers" if w.kept else ""),
    ("POST", "/servers", None): lambda w, v: ("/servers", _new_server(w, v)),
    ("GET", "/servers/detail", None): _of(lambda w, v: "/servers/detail" if w.kept else ""),
    ("GET", _ONE, None): _kept(""),
    ("PUT", _ONE, None): _kept("", {"server": {"name": "kept"}}),
    ("DELETE", _ONE, None): _of(lambda w, v: f"/servers/{w.server()}"),
    **{("POST", _ACT, name): maker for name, maker in _SERVER_ACTIONS.items()},
    # --- what belongs to a server ---
    ("GET", "/servers/{server_id}/diagnostics", None): _kept("/diagnostics"),
    ("GET", "/servers/{server_id}/ips", None): _kept("/ips"),
    ("GET", "/servers/{server_id}/ips/{id}", None): _kept("/ips/private"),
    ("GET", "/servers/{server_id}/metadata", None): _kept("/metadata"),
    ("POST", "/servers/{server_id}/metadata", None): _kept("/metadata", {"metadata": {"k": "v"}}),
    ("PUT", "/servers/{server_id}/metadata", None): _kept("/metadata", {
        "metadata": {"a": "b", "k": "v"}}),
    ("GET", "/servers/{server_id}/metadata/{id}", None): _kept("/metadata/a"),
    ("PUT", "/servers/{server_id}/metadata/{id}", None): _kept("/metadata/a", {"meta": {"a": "b"}}),
    ("DELETE", "/servers/{server_id}/metadata/{id}", None): _of(
        lambda w, v: f"/servers/{w.boot(metadata={'a': 'b'})}/metadata/a"),
    ("GET", "/servers/{server_id}/migrations", None): _of(
        lambda w, v: f"/servers/{w.migrating()[0]}/migrations"),
    ("GET", "/servers/{server_id}/migrations/{id}", None): _migration(""),
    ("DELETE", "/servers/{server_id}/migrations/{id}", None): _migration(""),
    ("POST", "/servers/{server_id}/migrations/{id}/action", "force_complete"): _migration(
        "/action", {"force_complete": None}),
    ("GET", "/servers/{server_id}/os-instance-actions", None): _kept("/os-instance-actions"),
    ("GET", "/servers/{server_id}/os-instance-actions/{id}", None): _of(
        lambda w, v: f"/servers/{w.kept}/os-instance-actions/{w.request_id}"),
    ("GET", "/servers/{server_id}/os-interface", None): _kept("/os-interface"),
    ("POST", "/servers/{server_id}/os-interface", None): lambda w, v: (
        f"/servers/{w.server()}/os-interface", {"interfaceAttachment": {"port_id": w.port()}}),
    ("GET", "/servers/{server_id}/os-interface/{id}", None): _of(
        lambda w, v: f"/servers/{w.kept}/os-interface/{w.kept_port}"),
    ("DELETE", "/servers/{server_id}/os-interface/{id}", None): _unplug,
    ("GET", "/servers/{server_id}/os-server-password", None): _kept("/os-server-password"),
    ("DELETE", "/servers/{server_id}/os-server-password", None): _kept("/os-server-password"),
    ("GET", "/servers/{server_id}/os-volume_attachments", None): _of(
        lambda w, v: f"/servers/{w.kept_attachment[0]}/os-volume_attachments"),
    ("POST", "/servers/{server_id}/os-volume_attachments", None): lambda w, v: (
        f"/servers/{w.server()}/os-volume_attachments", _volume_to_attach(w, v)),
    ("GET", "/servers/{server_id}/os-volume_attachments/{id}", None): _kept_volume,
    ("PUT", "/servers/{server_id}/os-volume_attachments/{id}", None): _swap,
    ("DELETE", "/servers/{server_id}/os-volume_attachments/{id}", None): _detach,
    ("POST", "/servers/{server_id}/remote-consoles", None): lambda w, v: (
        f"/servers/{w.kept}/remote-consoles", {"remote_console": _console(v)}),
    ("GET", "/servers/{server_id}/os-security-groups", None): _kept("/os-security-groups"),
    ("GET", "/servers/{server_id}/shares", None): _of(
        lambda w, v: f"/servers/{w.kept_share[0]}/shares"),
    ("POST", "/servers/{server_id}/shares", None): lambda w, v: (
        f"/servers/{w.server('SHUTOFF')}/shares", {"share": {"share_id": w.share()}}),
    ("GET", "/servers/{server_id}/shares/{id}", None): _of(
        lambda w, v: "/servers/{}/shares/{}".format(*w.kept_share)),
    ("DELETE", "/servers/{server_id}/shares/{id}", None): _of(
        lambda w, v: "/servers/{}/shares/{}".format(*w.with_share())),
    ("GET", "/servers/{server_id}/tags", None): _kept("/tags"),
    ("PUT", "/servers/{server_id}/tags", None): _kept("/tags", {"tags": ["t", "u"]}),
    ("DELETE", "/servers/{server_id}/tags", None): _of(lambda w, v: f"/servers/{w.server()}/tags"),
    ("GET", "/servers/{server_id}/tags/{id}", None): _kept("/tags/t"),
    ("PUT", "/servers/{server_id}/tags/{id}", None): _of(
        lambda w, v: f"/servers/{w.server()}/tags/new"),
    ("DELETE", "/servers/{server_id}/tags/{id}", None): _of(
        lambda w, v: f"/servers/{w.boot(tags=['t'])}/tags/t"),
    ("GET", "/servers/{server_id}/topology", None): _kept("/topology"),
}  # fmt: skip


def _as_volumes_boot(maker: Maker) -> Maker:
    """The same request by the old name of servers."""

    def make(w: Any, v: int) -> Asked:
        path, body = maker(w, v)
        return path.replace("/servers", "/os-volumes_boot", 1), body

    return make


_OLD_NAME = {
    (method, path.replace("/servers", "/os-volumes_boot"), action): _as_volumes_boot(maker)
    for (method, path, action), maker in ASKED.items()
    if path in ("/servers", "/servers/detail", _ONE)
    or action in ("confirmResize", "revertResize", "reboot", "resize", "rebuild", "createImage",
                  "os-start", "os-stop", "trigger_crash_dump")
}  # fmt: skip
ASKED |= _OLD_NAME
