# SPDX-License-Identifier: Apache-2.0
"""What requests of the contract suite are about: real things in a running cloud, by kind.

`World` makes them on demand through the same API that is under test; `Nowhere` has ids only, for
requests that are refused before anything is looked up.
"""

import functools
import itertools
import secrets
import time
from collections import defaultdict
from typing import Any

import requests

from tests.functional.cloud import Cloud
from tests.waiting import Looking

NO_ID = "99999999-9999-4999-8999-999999999999"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2oUQ3Yg0zqKpj8mGQGkQ3yQ3bC6K0cJ0cS0m0mV0aB"
# Hosts that never get servers, and the one that goes away under its servers.
_SPARE_HOSTS = ("fake5", "fake6", "fake7")
_LOST_HOST = "fake4"
_DARK_HOST = "fake8"
_BATCH = 24
_FEW = 4
_PATIENCE_S = 20.0

# How a server comes into a status: the status it is in before, and the action.
_WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "SHUTOFF": ("ACTIVE", {"os-stop": None}),
    "PAUSED": ("ACTIVE", {"pause": None}),
    "SUSPENDED": ("ACTIVE", {"suspend": None}),
    "RESCUE": ("ACTIVE", {"rescue": None}),
    "SHELVED": ("ACTIVE", {"shelve": None}),
    "SHELVED_OFFLOADED": ("SHELVED", {"shelveOffload": None}),
    "VERIFY_RESIZE": ("ACTIVE", {"resize": {"flavorRef": "2"}}),
    "ERROR": ("ACTIVE", {"os-resetState": {"state": "error"}}),
    "SOFT_DELETED": ("ACTIVE", {}),
}


class NotMade(AssertionError):
    """A thing that a request is about could not be made: what makes it does not work yet."""


class World:
    """Things of one user in a running cloud."""

    def __init__(self, cloud: Cloud, user: str = "admin", project: str | None = None) -> None:
        self.cloud = cloud
        self.sdk = cloud.connect(user, project=project)
        self.user_id: str = self.sdk.current_user_id
        self.project_id: str = self.sdk.current_project_id
        self.token: str = self.sdk.auth_token
        self._session = requests.Session()
        self._servers: dict[str, list[str]] = defaultdict(list)
        self._not_made: dict[str, str] = {}
        self._names = itertools.count()
        self._mark = secrets.token_hex(3)  # several worlds are in one cloud

    def ask(
        self, method: str, path: str, body: Any = None, *, version: int = 104, **more: Any
    ) -> requests.Response:
        """A request below /v2.1 (an absolute path: below the root) at 2.`version`."""
        below = path[1:] if path.startswith("//") else f"/v2.1{path}"
        headers = {
            "X-Auth-Token": self.token,
            "OpenStack-API-Version": f"compute 2.{version}",
            **more.pop("headers", {}),
        }
        if body is not None:
            more["json"] = body
        url = f"{self.cloud.compute_url}{below}"
        return self._session.request(method, url, headers=headers, timeout=30, **more)

    def must(self, method: str, path: str, body: Any = None, *, version: int = 104) -> Any:
        """As `ask`; the answer's document. Raises: NotMade."""
        answer = self.ask(method, path, body, version=version)
        if answer.status_code >= 300:
            raise NotMade(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json() if answer.content else None

    def name(self, kind: str = "thing") -> str:
        """A name that nothing else has."""
        return f"{kind}-{self._mark}-{next(self._names)}"

    # --- servers ---

    def server(self, status: str = "ACTIVE") -> str:
        """A server in `status` that the caller may use up."""
        if status in self._not_made:
            raise NotMade(self._not_made[status])
        pool = self._servers[status]
        if not pool:
            try:
                pool += self._boot() if status == "ACTIVE" else self._bring(status)
            except NotMade as reason:
                self._not_made[status] = f"no server could be made {status}: {reason}"
                raise
        return pool.pop()

    def _boot(self) -> list[str]:
        name = self.name("pool")
        body = {
            "name": name, "flavorRef": "1", "imageRef": self.image, "networks": "none",
            "min_count": _BATCH, "max_count": _BATCH,
        }  # fmt: skip
        self.must("POST", "/servers", {"server": body})
        return self._wait(name, "ACTIVE", _BATCH)

    def _bring(self, status: str) -> list[str]:
        before, action = _WAYS[status]
        chosen = [self.server(before) for _ in range(_FEW)]
        for server in chosen:
            if action:
                self.must("POST", f"/servers/{server}/action", action)
            else:
                self.must("DELETE", f"/servers/{server}")
        return [self.until(server, status) for server in chosen]

    def _wait(self, name: str, status: str, count: int) -> list[str]:
        deadline, looking = time.monotonic() + _PATIENCE_S, Looking()
        while True:
            found = self.must("GET", f"/servers?name=^{name}-&status={status}")["servers"]
            if len(found) == count:
                return [server["id"] for server in found]
            if time.monotonic() > deadline:
                raise NotMade(
                    f"{len(found)} of {count} servers became {status}: {self._seen(name)}"
                )
            looking.pause()

    def _seen(self, name: str) -> list[str]:
        shown = self.must("GET", f"/servers/detail?name=^{name}-")["servers"]
        return [
            f"{each['status']} {each['OS-EXT-STS:task_state']} {each.get('fault', '')}"
            for each in shown
        ]

    def until(self, server: str, status: str) -> str:
        """The server, once it is in `status` and nothing is under way. Raises: NotMade."""
        deadline, looking = time.monotonic() + _PATIENCE_S, Looking()
        while True:
            shown = self.must("GET", f"/servers/{server}")["server"]
            if shown["status"] == status and shown["OS-EXT-STS:task_state"] is None:
                return server
            if time.monotonic() > deadline:
                raise NotMade(f"{server} is {shown['status']}, not {status}: {shown.get('fault')}")
            looking.pause()

    def at_rest(self, server: str) -> dict[str, Any]:
        """The server once nothing is under way. Raises: NotMade."""
        deadline, looking = time.monotonic() + _PATIENCE_S, Looking()
        while True:
            shown: dict[str, Any] = self.must("GET", f"/servers/{server}")["server"]
            if shown["OS-EXT-STS:task_state"] is None:
                return shown
            if time.monotonic() > deadline:
                raise NotMade(f"{server} stays {shown['OS-EXT-STS:task_state']}")
            looking.pause()

    def boot(self, **more: Any) -> str:
        """A server of its own, ACTIVE."""
        body = {
            "name": self.name("server"), "flavorRef": "1", "imageRef": self.image,
            "networks": "none", **more,
        }  # fmt: skip
        made = self.must("POST", "/servers", {"server": body})["server"]["id"]
        return self.until(made, "ACTIVE")

    @functools.cached_property
    def kept(self) -> str:
        """A server that is only read or changed in small ways."""
        return self.boot(
            name="kept", networks=[{"uuid": self.network}], key_name=self.keypair(),
            metadata={"a": "b"},
            tags=["t"], config_drive=True, description="kept",
        )  # fmt: skip

    @functools.cached_property
    def request_id(self) -> str:
        """The request id of an action of `kept`."""
        actions = self.must("GET", f"/servers/{self.kept}/os-instance-actions")
        return str(actions["instanceActions"][0]["request_id"])

    def address(self, server: str) -> str:
        """A fixed address of a server."""
        shown = self.must("GET", f"/servers/{server}/ips")["addresses"]
        return str(next(iter(shown.values()))[0]["addr"])

    def wired(self) -> str:
        """A fresh server with a port."""
        return self.boot(networks=[{"uuid": self.network}])

    @functools.cached_property
    def _stranded(self) -> list[str]:
        """Servers of a host that went away after they came."""
        host = _LOST_HOST
        self._force_down(host, is_down=False)
        self.must("PUT", f"/os-services/{self.service_of(host)}", {"status": "enabled"})
        name = self.name("stranded")
        body = {
            "name": name, "flavorRef": "1", "imageRef": self.image, "networks": "none",
            "min_count": 12, "max_count": 12, "availability_zone": f"nova:{host}",
        }  # fmt: skip
        self.must("POST", "/servers", {"server": body})
        found = self._wait(name, "ACTIVE", 12)
        self._force_down(host, is_down=True)
        self.forbid(host)
        return found

    def _force_down(self, host: str, *, is_down: bool) -> None:
        wanted = "down" if is_down else "up"
        self.must("PUT", f"/os-services/{self.service_of(host)}", {"forced_down": is_down})
        self._wait_for_host(host, wanted)

    def _wait_for_host(self, host: str, wanted: str) -> None:
        deadline, looking = time.monotonic() + _PATIENCE_S, Looking()
        path = f"/os-services?host={host}"
        while self.must("GET", path)["services"][0]["state"] != wanted:
            if time.monotonic() > deadline:
                raise NotMade(f"{host} does not become {wanted}")
            looking.pause()

    def stranded(self) -> str:
        """A server whose host is down."""
        return self._stranded.pop()

    # --- what servers are made of ---

    @functools.cached_property
    def image(self) -> str:
        """A public image."""
        return str(next(each.id for each in self.sdk.image.images() if each.name == "guest"))

    def own_image(self) -> str:
        """A fresh image of the user."""
        made = self.sdk.image.create_image(
            name=self.name("image"), data=b"\0" * 512, disk_format="raw", container_format="bare",
            wait=True, validate_checksum=False, k="v",
        )  # fmt: skip
        return str(made.id)

    @functools.cached_property
    def network(self) -> str:
        """The network that everybody shares."""
        return str(self.sdk.network.find_network("private", ignore_missing=False).id)

    def port(self) -> str:
        """A fresh port, unbound."""
        return str(self.sdk.network.create_port(network_id=self.network).id)

    def security_group(self) -> str:
        """A fresh security group's id; its name is its id too."""
        made = self.sdk.network.create_security_group(name=self.name("group"))
        return str(made.id)

    def security_group_rule(self) -> str:
        """A fresh rule's id."""
        made = self.sdk.network.create_security_group_rule(
            security_group_id=self.security_group(), direction="ingress", protocol="tcp",
            port_range_min=22, port_range_max=22, ethertype="IPv4",
        )  # fmt: skip
        return str(made.id)

    @functools.cached_property
    def external(self) -> str:
        """A network that floating addresses come from, routed to the servers' network."""
        admin = self.cloud.connect("admin").network
        found = admin.find_network("outside") or admin.create_network(
            name="outside", is_router_external=True
        )
        if not found.subnet_ids:
            subnet = admin.create_subnet(network_id=found.id, ip_version=4, cidr="10.30.0.0/24")
            assert subnet.id
            router = admin.create_router(
                name="way-out", external_gateway_info={"network_id": found.id}
            )
            inside = admin.find_subnet("private", ignore_missing=False)
            admin.add_interface_to_router(router, subnet_id=inside.id)
        return str(found.id)

    def floating_ip(self) -> Any:
        """A fresh floating address (id, floating_ip_address)."""
        return self.sdk.network.create_ip(floating_network_id=self.external)

    def volume(self, **more: Any) -> str:
        """A fresh volume, available."""
        made = self.sdk.block_storage.create_volume(size=1, name=self.name("volume"), **more)
        self.sdk.block_storage.wait_for_status(made, "available", interval=0.1, wait=20)
        return str(made.id)

    def snapshot(self) -> str:
        """A fresh snapshot of a volume, available."""
        made = self.sdk.block_storage.create_snapshot(volume_id=self.volume(), name=self.name())
        self.sdk.block_storage.wait_for_status(made, "available", interval=0.1, wait=20)
        return str(made.id)

    def attached(self) -> tuple[str, str]:
        """A server and a volume that is attached to it."""
        server, volume = self.server(), self.volume()
        path = f"/servers/{server}/os-volume_attachments"
        self.must("POST", path, {"volumeAttachment": {"volumeId": volume}})
        found = self.sdk.block_storage.get_volume(volume)
        self.sdk.block_storage.wait_for_status(found, "in-use", interval=0.1, wait=20)
        return server, volume

    def move_volume(self, volume: str) -> None:
        """Have the volume service say that it moves a volume's data."""
        moving = {"os-reset_status": {"migration_status": "migrating"}}
        answer = self.sdk.block_storage.post(f"/volumes/{volume}/action", json=moving)
        if answer.status_code >= 300:
            raise NotMade(f"the volume does not move: {answer.status_code} {answer.text[:200]}")

    @functools.cached_property
    def kept_attachment(self) -> tuple[str, str]:
        """`attached`, only to be read."""
        return self.attached()

    def share(self) -> str:
        """A fresh share, available."""
        shares = self.sdk.shared_file_system
        made = shares.create_share(share_protocol="NFS", size=1, name=self.name("share"))
        shares.wait_for_status(made, "available", interval=0.1, wait=20)
        return str(made.id)

    def with_share(self) -> tuple[str, str]:
        """A server that is off, and a share that it has."""
        server, share = self.server("SHUTOFF"), self.share()
        path = f"/servers/{server}/shares"
        self.must("POST", path, {"share": {"share_id": share}})
        deadline, looking = time.monotonic() + _PATIENCE_S, Looking()
        while (found := self.must("GET", f"{path}/{share}")["share"])["status"] != "inactive":
            if found["status"] == "error" or time.monotonic() > deadline:
                raise NotMade(f"the share is {found['status']}")
            looking.pause()
        return server, share

    @functools.cached_property
    def kept_share(self) -> tuple[str, str]:
        """`with_share`, only to be read."""
        return self.with_share()

    @functools.cached_property
    def kept_port(self) -> str:
        """The port of `kept`."""
        shown = self.must("GET", f"/servers/{self.kept}/os-interface")["interfaceAttachments"]
        return str(shown[0]["port_id"])

    # --- flavors, keys, groups, hosts ---

    def flavor(self, **more: Any) -> str:
        """A fresh flavor."""
        body = {"name": self.name("flavor"), "ram": 64, "vcpus": 1, "disk": 1, **more}
        return str(self.must("POST", "/flavors", {"flavor": body})["flavor"]["id"])

    @functools.cached_property
    def diskless(self) -> str:
        """A flavor whose root disk is as large as the image."""
        return self.flavor(disk=0)

    def flavor_with_specs(self) -> str:
        """A fresh flavor with an extra spec."""
        made = self.flavor()
        path = f"/flavors/{made}/os-extra_specs"
        self.must("POST", path, {"extra_specs": {"hw:numa_nodes": "1"}})
        return made

    def private_flavor(self, *, opened: bool = False) -> str:
        """A fresh private flavor; `opened` to the user's own project."""
        made = self.flavor(**{"os-flavor-access:is_public": False})
        if opened:
            body = {"addTenantAccess": {"tenant": self.project_id}}
            self.must("POST", f"/flavors/{made}/action", body)
        return made

    def keypair(self) -> str:
        """A fresh keypair's name."""
        made = {"name": self.name("key"), "public_key": PUBLIC_KEY}
        return str(self.must("POST", "/os-keypairs", {"keypair": made})["keypair"]["name"])

    def server_group(self) -> str:
        """A fresh server group."""
        body = {"name": self.name("group"), "policy": "affinity"}
        return str(
            self.must("POST", "/os-server-groups", {"server_group": body})["server_group"]["id"]
        )

    def aggregate(self, *hosts: str) -> str:
        """A fresh aggregate with `hosts`."""
        body = {"aggregate": {"name": self.name("aggregate")}}
        made = self.must("POST", "/os-aggregates", body)["aggregate"]["id"]
        for host in hosts:
            self.must("POST", f"/os-aggregates/{made}/action", {"add_host": {"host": host}})
        return str(made)

    def reserve_hosts(self) -> None:
        """Keep the hosts free that some requests need without servers of others."""
        shown = self.must("GET", "/os-services?binary=nova-compute")["services"]
        there = {each["host"] for each in shown}
        self.forbid(*sorted(there & {_LOST_HOST, _DARK_HOST, *_SPARE_HOSTS}))

    def forbid(self, *hosts: str) -> None:
        """Have no servers built on `hosts` from now on."""
        for host in hosts:
            self.must("PUT", f"/os-services/{self.service_of(host)}", {"status": "disabled"})

    @functools.cached_property
    def host(self) -> str:
        """A compute host's name."""
        return "fake1"

    def dark_host(self) -> str:
        """A host without servers, to be powered off; it is on."""
        self.must("GET", f"/os-hosts/{_DARK_HOST}/startup", version=42)
        self._wait_for_host(_DARK_HOST, "up")
        return _DARK_HOST

    def service_of(self, host: str, *, version: int = 104) -> str:
        """The id of a compute service."""
        shown = self.must("GET", "/os-services?binary=nova-compute", version=version)["services"]
        return str(next(each["id"] for each in shown if each["host"] == host))

    def spare_service(self, *, version: int) -> str:
        """A fresh compute service without servers, to be deleted."""
        shown = self.must("GET", "/os-services?binary=nova-compute", version=version)["services"]
        spare = [each for each in shown if each["host"] in _SPARE_HOSTS]
        if not spare:
            raise NotMade("no compute service is left to delete")
        return str(spare[0]["id"])

    def hypervisor(self, *, version: int = 104) -> str:
        """A hypervisor's id."""
        shown = self.must("GET", "/os-hypervisors", version=version)["hypervisors"]
        return str(next(h["id"] for h in shown if h["hypervisor_hostname"] == self.host))

    # --- what is under way ---

    def migrating(self) -> tuple[str, str]:
        """A server that is moved live right now, held there, and the migration's id."""
        self.cloud.faults(delays_ms={"migrate_live": 12000})
        try:
            server = self.server()
            body = {"host": None, "block_migration": "auto"}
            self.must("POST", f"/servers/{server}/action", {"os-migrateLive": body})
            deadline, looking = time.monotonic() + _PATIENCE_S, Looking()
            while time.monotonic() < deadline:
                shown = self.must("GET", f"/servers/{server}/migrations")["migrations"]
                if shown and shown[0]["status"] == "running":
                    return server, str(shown[0]["id"])
                looking.pause()
        finally:
            self.cloud.faults()
        raise NotMade("no live migration stays under way long enough to be seen")

    def console_token(self) -> str:
        """A console's access token, of the type that shows most."""
        body = {"remote_console": {"protocol": "spice", "type": "spice-direct"}}
        made = self.must("POST", f"/servers/{self.kept}/remote-consoles", body)
        return str(made["remote_console"]["url"].rpartition("token=")[2])


class Nowhere:
    """Ids of things that are nowhere; whatever is asked for has the same one."""

    project_id = user_id = image = network = kept = external = NO_ID
    request_id = "req-" + NO_ID
    host = "fake1"
    kept_port = NO_ID
    kept_attachment = kept_share = (NO_ID, NO_ID)

    def name(self, kind: str = "thing") -> str:
        return f"{kind}-0"

    def address(self, server: str) -> str:
        return "10.20.0.9"

    def attached(self) -> tuple[str, str]:
        return NO_ID, NO_ID

    def with_share(self) -> tuple[str, str]:
        return NO_ID, NO_ID

    def migrating(self) -> tuple[str, str]:
        return NO_ID, "1"

    def aggregate(self, *hosts: str) -> str:
        return "999999"

    def floating_ip(self) -> Any:
        class Address:
            id = NO_ID
            floating_ip_address = "10.30.0.9"

        return Address

    def __getattr__(self, kind: str) -> Any:
        return lambda *_, **__: NO_ID
