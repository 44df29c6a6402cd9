# SPDX-License-Identifier: Apache-2.0
"""Every compute command of the stock command line clients: what it is given and what comes of it.

`{…}` in a command is filled from the things that were made for it; `s` is a server.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.world import World

Things = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A command; `then`: the status that the server ends in; `says`: words that it prints."""

    command: str
    things: Callable[[World], Things] = lambda w: {}
    then: str | None = None
    says: tuple[str, ...] = ()
    version: str | None = None


def _in(status: str) -> Callable[[World], Things]:
    return lambda w: {"s": w.server(status)}


def _with(**makers: Callable[[World], Any]) -> Callable[[World], Things]:
    return lambda w: {name: make(w) for name, make in makers.items()}


def _server(w: World) -> str:
    return w.server()


def _wired(w: World) -> str:
    return w.wired()


def _attached(w: World) -> Things:
    server, volume = w.attached()
    return {"s": server, "volume": volume}


def _migrating(w: World) -> Things:
    server, migration = w.migrating()
    return {"s": server, "migration": migration}


def _floating(w: World) -> Things:
    assert w.external
    return {"s": w.wired(), "ip": w.floating_ip().floating_ip_address}


def _with_group(w: World) -> Things:
    made = {"s": w.wired(), "group": w.security_group()}
    w.must("POST", f"/servers/{made['s']}/action", {"addSecurityGroup": {"name": made["group"]}})
    return made


def _wired_port(w: World) -> Things:
    server = w.wired()
    shown = w.must("GET", f"/servers/{server}/os-interface")["interfaceAttachments"]
    return {"s": server, "port": shown[0]["port_id"]}


def _locked(w: World) -> Things:
    server = w.server()
    w.must("POST", f"/servers/{server}/action", {"lock": None})
    return {"s": server}


ACTIVE, SHUTOFF = _in("ACTIVE"), _in("SHUTOFF")
KEPT = _with(s=lambda w: w.kept, request=lambda w: w.request_id)
IMAGE = _with(image=lambda w: w.image, network=lambda w: w.network, name=lambda w: w.name())
AGGREGATE = _with(aggregate=lambda w: w.aggregate(), name=lambda w: w.name())
_BOOT = "server create --flavor tiny --image {image}"

OPENSTACK = [
    # --- servers ---
    Case(_BOOT + " --network {network} --wait {name}", IMAGE, says=("ACTIVE",)),
    Case(_BOOT + " --nic none --min 2 --max 2 --wait {name}", IMAGE),
    Case(_BOOT + " --no-network --property a=b --tag t --description d --hostname h --wait {name}",
         IMAGE, says=("ACTIVE",)),
    Case(_BOOT + " --no-network --availability-zone nova --use-config-drive --wait {name}", IMAGE),
    Case("server create --flavor tiny --boot-from-volume 1 --image {image} --no-network --wait "
         "{name}", IMAGE, says=("ACTIVE",)),
    Case("server create --flavor tiny --volume {volume} --no-network --wait {name}",
         _with(volume=lambda w: w.volume(image_id=w.image), name=lambda w: w.name()),
         says=("ACTIVE",)),
    Case(_BOOT + " --no-network --hint group={group} --wait {name}",
         _with(image=lambda w: w.image, group=lambda w: w.server_group(), name=lambda w: w.name())),
    Case("server list --all-projects --long", KEPT, says=("kept",)),
    Case("server list --name kept --status ACTIVE --flavor 1", KEPT, says=("kept",)),
    Case("server list --name kept", KEPT, says=("kept",), version="2.1"),
    Case("server show {s}", KEPT, says=("ACTIVE", "OS-EXT-SRV-ATTR:host")),
    Case("server show {s}", KEPT, says=("ACTIVE",), version="2.1"),
    Case("server show --topology {s}", KEPT, says=("topology",)),
    Case("server show --diagnostics {s}", KEPT),
    Case("server set --name kept --property c=d --description kept --tag u {s}", KEPT),
    Case("server set --auto-approve --state active {s}", ACTIVE, then="ACTIVE"),
    Case("server set --auto-approve --state error {s}", ACTIVE, then="ERROR"),
    Case("server set --password secret {s}", ACTIVE, then="ACTIVE"),
    Case("server unset --property c --tag u --description {s}",
         _with(s=lambda w: w.boot(metadata={"c": "d"}, tags=["u"], description="d"))),
    Case("server stop {s}", ACTIVE, then="SHUTOFF"),
    Case("server start {s}", SHUTOFF, then="ACTIVE"),
    Case("server reboot --wait {s}", ACTIVE, then="ACTIVE"),
    Case("server reboot --hard --wait {s}", ACTIVE, then="ACTIVE"),
    Case("server pause {s}", ACTIVE, then="PAUSED"),
    Case("server unpause {s}", _in("PAUSED"), then="ACTIVE"),
    Case("server suspend {s}", ACTIVE, then="SUSPENDED"),
    Case("server resume {s}", _in("SUSPENDED"), then="ACTIVE"),
    Case("server lock --reason because {s}", ACTIVE),
    Case("server unlock {s}", _locked),
    Case("server rescue {s}", ACTIVE, then="RESCUE"),
    Case("server rescue --image {image} --password p {s}",
         _with(s=_server, image=lambda w: w.image), then="RESCUE"),
    Case("server unrescue {s}", _in("RESCUE"), then="ACTIVE"),
    Case("server rebuild --wait {s}", ACTIVE, then="ACTIVE"),
    Case("server rebuild --image {image} --name again --property a=b --description d --wait {s}",
         _with(s=_server, image=lambda w: w.image), then="ACTIVE"),
    Case("server resize --flavor 2 --wait {s}", ACTIVE, then="VERIFY_RESIZE"),
    Case("server resize confirm {s}", _in("VERIFY_RESIZE"), then="ACTIVE"),
    Case("server resize revert {s}", _in("VERIFY_RESIZE"), then="ACTIVE"),
    Case("server migrate --wait {s}", ACTIVE, then="VERIFY_RESIZE"),
    Case("server migration confirm {s}", _in("VERIFY_RESIZE"), then="ACTIVE"),
    Case("server migration revert {s}", _in("VERIFY_RESIZE"), then="ACTIVE"),
    Case("server migrate --live-migration --wait {s}", ACTIVE, then="ACTIVE"),
    Case("server migration list", ACTIVE),
    Case("server migration list --server {s}", _migrating, says=("live-migration",)),
    Case("server migration show {s} {migration}", _migrating, says=("running",)),
    Case("server migration abort {s} {migration}", _migrating, then="ACTIVE"),
    Case("server migration force complete {s} {migration}", _migrating, then="ACTIVE"),
    Case("server evacuate {s}", _with(s=lambda w: w.stranded()), then="SHUTOFF"),
    # Not with --wait: the client waits for "ACTIVE" among words that it writes in small letters.
    Case("server evacuate {s}", _with(s=lambda w: w.stranded()), then="ACTIVE", version="2.94"),
    Case("server shelve {s}", ACTIVE, then="SHELVED"),
    Case("server shelve --offload {s}", ACTIVE, then="SHELVED_OFFLOADED"),
    Case("server unshelve --wait {s}", _in("SHELVED_OFFLOADED"), then="ACTIVE"),
    Case("server unshelve --no-availability-zone --wait {s}", _in("SHELVED_OFFLOADED"),
         then="ACTIVE"),
    Case("server image create --name {name} --wait {s}",
         _with(s=_server, name=lambda w: w.name("image"))),
    Case("server backup create --name {name} --type daily --rotate 1 --wait {s}",
         _with(s=_server, name=lambda w: w.name("backup"))),
    Case("server dump create {s}", ACTIVE),
    Case("server restore {s}", _in("SOFT_DELETED"), then="ACTIVE"),
    Case("server delete --force {s}", ACTIVE),
    Case("server delete {s}", ACTIVE),
    Case("server event list --long {s}", KEPT, says=("create",)),
    Case("server event show {s} {request}", KEPT, says=("create",)),
    Case("console log show --lines 5 {s}", ACTIVE, says=("fake guest",)),
    Case("console url show --novnc {s}", ACTIVE, says=("http",)),
    Case("console url show --novnc {s}", ACTIVE, says=("token%3D",), version="2.1"),
    Case("console url show --serial {s}", ACTIVE, says=("ws",)),
    Case("console url show --spice {s}", ACTIVE, says=("http", "spice-html5")),
    # --- ports, addresses, groups, volumes of servers ---
    Case("server add port {s} {port}", _with(s=_server, port=lambda w: w.port())),
    Case("server remove port {s} {port}", _wired_port),
    Case("server add network {s} private", ACTIVE),
    Case("server remove network {s} private", _with(s=_wired)),
    Case("server add fixed ip {s} private", ACTIVE),
    Case("server remove fixed ip {s} {ip}", lambda w: {
        "s": (server := w.wired()), "ip": w.address(server)}, version="2.43"),
    Case("server add floating ip {s} {ip}", _floating),
    Case("server add security group {s} {group}",
         _with(s=_wired, group=lambda w: w.security_group())),
    Case("server remove security group {s} {group}", _with_group),
    Case("server add volume {s} {volume}", _with(s=_server, volume=lambda w: w.volume())),
    Case("server add volume --device /dev/vdb --tag t --enable-delete-on-termination {s} {volume}",
         _with(s=_server, volume=lambda w: w.volume())),
    Case("server volume list {s}", _attached, says=("/dev/",)),
    Case("server volume set --delete-on-termination {s} {volume}", _attached),
    Case("server remove volume {s} {volume}", _attached),
    # --- flavors, keys, groups ---
    Case("flavor create --ram 64 --vcpus 1 --disk 1 --property hw:numa_nodes=1 --description d "
         "{name}", IMAGE, says=("hw:numa_nodes",)),
    Case("flavor list --all --long", says=("tiny",)),
    Case("flavor show tiny", says=("tiny",)),
    Case("flavor set --property hw:numa_nodes=1 --description d {flavor}",
         _with(flavor=lambda w: w.flavor())),
    Case("flavor unset --property hw:numa_nodes {flavor}",
         _with(flavor=lambda w: w.flavor_with_specs())),
    Case("flavor set --project admin {flavor}", _with(flavor=lambda w: w.private_flavor())),
    Case("flavor unset --project admin {flavor}",
         _with(flavor=lambda w: w.private_flavor(opened=True))),
    Case("flavor delete {flavor}", _with(flavor=lambda w: w.flavor())),
    Case("keypair create {name}", IMAGE, says=("PRIVATE KEY",)),
    Case("keypair list", _with(key=lambda w: w.keypair()), says=("key-",)),
    Case("keypair show {key}", _with(key=lambda w: w.keypair()), says=("fingerprint",)),
    Case("keypair delete {key}", _with(key=lambda w: w.keypair())),
    Case("server group create --policy anti-affinity --rule max_server_per_host=2 {name}", IMAGE,
         says=("anti-affinity",)),
    Case("server group list --long", _with(group=lambda w: w.server_group()), says=("affinity",)),
    Case("server group show {group}", _with(group=lambda w: w.server_group()), says=("affinity",)),
    Case("server group delete {group}", _with(group=lambda w: w.server_group())),
    # --- hosts ---
    Case("aggregate create --zone z --property k=v {name}", IMAGE, says=("k='v'",)),
    Case("aggregate list --long", AGGREGATE, says=("aggregate-",)),
    Case("aggregate show {aggregate}", AGGREGATE, says=("aggregate-",)),
    Case("aggregate set --name {name} --property k=v {aggregate}", AGGREGATE),
    Case("aggregate unset --property k {aggregate}", AGGREGATE),
    Case("aggregate add host {aggregate} fake1", AGGREGATE, says=("fake1",)),
    Case("aggregate remove host {aggregate} fake2",
         _with(aggregate=lambda w: w.aggregate("fake2"))),
    Case("aggregate cache image {aggregate} {image}",
         _with(aggregate=lambda w: w.aggregate("fake1"), image=lambda w: w.image)),
    Case("aggregate delete {aggregate}", AGGREGATE),
    Case("availability zone list --compute --long", says=("nova", "available")),
    Case("compute service list --long", says=("nova-compute", "nova-conductor", "nova-scheduler")),
    Case("compute service set --disable --disable-reason disks fake3 nova-compute"),
    Case("compute service set --enable fake3 nova-compute"),
    Case("compute service set --down fake3 nova-compute"),
    Case("compute service set --up fake3 nova-compute"),
    *(Case("hypervisor list", says=("fake1",), version=v) for v in ("2.1", "2.53", "2.88")),
    *(Case("hypervisor show fake1", says=("fake1",), version=v) for v in ("2.1", "2.53", "2.88")),
    Case("hypervisor stats show", says=("count",), version="2.87"),
    Case("host list", says=("fake1",), version="2.42"),
    Case("host show fake1", says=("fake1",), version="2.42"),
    Case("host set --disable fake3", version="2.42"),
    Case("host set --enable fake3", version="2.42"),
    Case("host set --enable-maintenance fake3", version="2.42"),
    Case("host set --disable-maintenance fake3", version="2.42"),
    # --- projects ---
    Case("limits show --absolute", says=("instances",), version="2.1"),
    Case("quota show --compute", says=("instances",)),
    Case("quota show --compute --default", says=("instances",)),
    Case("quota show --compute --usage", says=("instances",)),
    Case("quota list --compute", says=()),
    Case("quota set --instances 9999 --cores 9999 demo"),
    Case("quota set --class --instances 9999 default"),
    Case("quota delete --compute demo"),
    Case("usage list", KEPT, says=("Project",)),
    Case("usage show --project admin", KEPT, says=("CPU Hours",)),
]  # fmt: skip

NOVA = [
    Case("boot --flavor 1 --image {image} --nic none --poll {name}", IMAGE, says=("Finished",)),
    Case("list --all-tenants", KEPT, says=("kept",)),
    Case("show {s}", KEPT, says=("ACTIVE",)),
    Case("stop {s}", ACTIVE, then="SHUTOFF"),
    Case("start {s}", SHUTOFF, then="ACTIVE"),
    Case("reboot --hard --poll {s}", ACTIVE, then="ACTIVE"),
    Case("pause {s}", ACTIVE, then="PAUSED"),
    Case("unpause {s}", _in("PAUSED"), then="ACTIVE"),
    Case("suspend {s}", ACTIVE, then="SUSPENDED"),
    Case("resume {s}", _in("SUSPENDED"), then="ACTIVE"),
    Case("lock --reason why {s}", ACTIVE),
    Case("unlock {s}", _locked),
    Case("rescue {s}", ACTIVE, then="RESCUE"),
    Case("unrescue {s}", _in("RESCUE"), then="ACTIVE"),
    Case("rebuild --poll {s} {image}", _with(s=_server, image=lambda w: w.image), then="ACTIVE"),
    Case("resize --poll {s} 2", ACTIVE, then="VERIFY_RESIZE"),
    Case("resize-confirm {s}", _in("VERIFY_RESIZE"), then="ACTIVE"),
    Case("resize-revert {s}", _in("VERIFY_RESIZE"), then="ACTIVE"),
    Case("migrate --poll {s}", ACTIVE, then="VERIFY_RESIZE"),
    Case("live-migration {s}", ACTIVE),
    Case("migration-list", ACTIVE),
    Case("server-migration-list {s}", _migrating, says=("running",)),
    Case("server-migration-show {s} {migration}", _migrating, says=("running",)),
    Case("live-migration-abort {s} {migration}", _migrating, then="ACTIVE"),
    Case("live-migration-force-complete {s} {migration}", _migrating, then="ACTIVE"),
    Case("evacuate {s}", _with(s=lambda w: w.stranded())),
    Case("shelve {s}", ACTIVE, then="SHELVED"),
    Case("shelve-offload {s}", _in("SHELVED"), then="SHELVED_OFFLOADED"),
    Case("unshelve {s}", _in("SHELVED_OFFLOADED"), then="ACTIVE"),
    Case("image-create --poll {s} {name}", _with(s=_server, name=lambda w: w.name("image"))),
    Case("backup {s} {name} daily 1", _with(s=_server, name=lambda w: w.name("backup"))),
    Case("trigger-crash-dump {s}", ACTIVE),
    Case("restore {s}", _in("SOFT_DELETED"), then="ACTIVE"),
    Case("force-delete {s}", ACTIVE),
    Case("delete {s}", ACTIVE),
    Case("reset-state --active {s}", ACTIVE, then="ACTIVE"),
    Case("update --name renamed --description d {s}", ACTIVE),
    Case("meta {s} set a=b", ACTIVE),
    Case("meta {s} delete a", _with(s=lambda w: w.boot(metadata={"a": "b"}))),
    Case("server-tag-add {s} x", ACTIVE),
    Case("server-tag-list {s}", KEPT),
    Case("server-tag-set {s} x y", ACTIVE),
    Case("server-tag-delete {s} t", _with(s=lambda w: w.boot(tags=["t"]))),
    Case("server-tag-delete-all {s}", ACTIVE),
    Case("server-topology {s}", KEPT),
    Case("instance-action-list {s}", KEPT, says=("create",)),
    Case("instance-action {s} {request}", KEPT, says=("create",)),
    Case("console-log --length 5 {s}", ACTIVE, says=("fake guest",)),
    Case("get-vnc-console {s} novnc", ACTIVE, says=("http",)),
    Case("get-vnc-console {s} novnc", ACTIVE, says=("token%3D",), version="2.5"),
    Case("get-serial-console {s}", ACTIVE, says=("ws",)),
    Case("get-spice-console {s} spice-html5", ACTIVE, says=("http",)),
    Case("get-password {s}", KEPT),
    Case("clear-password {s}", KEPT),
    Case("diagnostics {s}", KEPT),
    Case("refresh-network {s}", KEPT),
    Case("interface-list {s}", KEPT, says=("10.20.",)),
    Case("interface-attach --port-id {port} {s}", _with(s=_server, port=lambda w: w.port())),
    Case("interface-detach {s} {port}", _wired_port),
    Case("add-secgroup {s} {group}", _with(s=_wired, group=lambda w: w.security_group())),
    Case("remove-secgroup {s} {group}", _with_group),
    Case("list-secgroup {s}", KEPT, says=("default",)),
    Case("volume-attach {s} {volume}", _with(s=_server, volume=lambda w: w.volume())),
    Case("volume-attachments {s}", _attached, says=("/dev/",)),
    Case("volume-detach {s} {volume}", _attached),
    Case("flavor-create {name} auto 64 1 1", IMAGE),
    Case("flavor-list --all", says=("tiny",)),
    Case("flavor-show tiny", says=("tiny",)),
    Case("flavor-key {flavor} set hw:numa_nodes=1", _with(flavor=lambda w: w.flavor())),
    Case("flavor-update {flavor} words", _with(flavor=lambda w: w.flavor())),
    Case("flavor-delete {flavor}", _with(flavor=lambda w: w.flavor())),
    Case("flavor-access-list --flavor {flavor}",
         _with(flavor=lambda w: w.private_flavor(opened=True))),
    Case("keypair-list", _with(key=lambda w: w.keypair()), says=("key-",)),
    Case("keypair-show {key}", _with(key=lambda w: w.keypair())),
    Case("keypair-delete {key}", _with(key=lambda w: w.keypair())),
    Case("server-group-create {name} affinity", IMAGE, says=("affinity",)),
    Case("server-group-list", says=()),
    Case("server-group-get {group}", _with(group=lambda w: w.server_group())),
    Case("server-group-delete {group}", _with(group=lambda w: w.server_group())),
    Case("aggregate-create {name}", IMAGE),
    Case("aggregate-list", AGGREGATE, says=("aggregate-",)),
    Case("aggregate-show {aggregate}", AGGREGATE),
    Case("aggregate-update --name {name} {aggregate}", AGGREGATE),
    Case("aggregate-set-metadata {aggregate} k=v", AGGREGATE),
    Case("aggregate-add-host {aggregate} fake1", AGGREGATE, says=("fake1",)),
    Case("aggregate-remove-host {aggregate} fake1",
         _with(aggregate=lambda w: w.aggregate("fake1"))),
    Case("aggregate-delete {aggregate}", AGGREGATE),
    Case("availability-zone-list", says=("nova",)),
    Case("service-list", says=("nova-compute",)),
    Case("hypervisor-list", says=("fake1",)),
    Case("hypervisor-servers fake"),
    Case("hypervisor-stats", says=("count",), version="2.87"),
    Case("hypervisor-uptime {hypervisor}", _with(hypervisor=lambda w: w.hypervisor()),
         version="2.87"),
    Case("instance-usage-audit-log"),
    Case("limits", says=("Instances",)),
    Case("quota-show", says=("instances",)),
    Case("quota-defaults", says=("instances",)),
    Case("quota-class-show default", says=("instances",)),
    Case("quota-class-update --instances 9999 default"),
    Case("usage", says=()),
    Case("usage-list", says=()),
    Case("version-list", says=("2.104",)),
]  # fmt: skip
