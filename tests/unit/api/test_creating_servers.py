# SPDX-License-Identifier: Apache-2.0
"""From the body of POST /servers to what the conductor is asked to make."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from common import config
from common.clients.image import UserImageClient
from common.clients.network import UserNetworkClient
from common.clients.session import Refused
from common.objects.new_server import NewServers
from common.policy import Policy
from services.api.app import AppOptions, make_app
from services.api.lookups import Lookups
from services.api.routes import Parts
from tests import factories
from tests.unit.api import conductor

NETWORK, OTHER = "77777777-7777-4777-8777-777777777777", "88888888-8888-4888-8888-888888888888"
FREE_PORT, USED_PORT = (
    "99999999-9999-4999-8999-999999999991",
    "99999999-9999-4999-8999-999999999992",
)
USED_ADDRESS = "10.0.0.8"
SAVING = "22222222-2222-4222-8222-222222222223"
TOKEN = "token-of-the-user"
MEMBER = "member,reader"


class Neighbours:
    """Image and network services in memory; they know whose token asks."""

    def __init__(self) -> None:
        self.networks = [self.network(NETWORK)]
        self.allocates: str | None = None
        self.tokens: set[str] = set()

    @staticmethod
    def network(uuid: str) -> dict[str, Any]:
        return {"id": uuid, "subnets": ["s"], "shared": False, "router:external": False}

    def request(self, service: str, version: str, method: str, path: str, *, token=None, params=()):
        self.tokens.add(token)
        wanted = dict(params)
        if path.startswith("/images/"):
            return self._image(path.rsplit("/", 1)[1])
        if path == "/networks":
            ids = [value for key, value in params if key == "id"]
            found = [n for n in self.networks if not ids or n["id"] in ids]
            shared = wanted.get("shared") == "True"
            return _Json({"networks": [n for n in found if n["shared"] == shared or ids]})
        if path == f"/auto-allocated-topology/{factories.PROJECT}":
            if self.allocates is None:
                raise Refused("no such extension", status=404)
            return _Json({"auto_allocated_topology": {"id": self.allocates}})
        if path == "/ports" and "id" not in wanted:
            taken = ("fixed_ips", f"ip_address={USED_ADDRESS}") in params
            return _Json({"ports": [{"id": USED_PORT}] if taken else []})
        if path == "/ports":
            ports = {FREE_PORT: "", USED_PORT: "somebody"}
            port = wanted["id"]
            fixed = [{"ip_address": "10.0.0.9"}]
            known = [{"id": port, "device_id": ports.get(port), "fixed_ips": fixed}]
            return _Json({"ports": known if port in ports else []})
        return _Json({"security_groups": [{"id": OTHER, "name": "web"}]})

    def _image(self, image: str) -> "_Json":
        status = {factories.IMAGE: "active", SAVING: "saving"}.get(image)
        if status is None:
            raise Refused("No image found", status=404)
        return _Json({"id": image, "status": status})


class _Json:
    def __init__(self, document: Any) -> None:
        self._document = document

    def json(self) -> Any:
        return self._document


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours()


@pytest.fixture
def servers() -> conductor.MemoryServers:
    return conductor.MemoryServers()


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """The operator's rules; none, unless a test writes some before it asks."""
    file = tmp_path / "policy.yaml"
    file.write_text("{}\n")
    return file


@pytest.fixture
def policy(policy_file: Path) -> Policy:
    conf_file = policy_file.with_suffix(".conf")
    conf_file.write_text(f"[oslo_policy]\npolicy_file = {policy_file}\n")
    return Policy(config.load("test", ["--config-file", str(conf_file)], []))


@pytest.fixture
def post(parts: Parts, neighbours: Neighbours, servers: conductor.MemoryServers, policy: Policy):
    lookups = Lookups(UserImageClient(neighbours), UserNetworkClient(neighbours))
    parts = dataclasses.replace(parts, lookups=lookups, servers=servers)
    app = make_app(parts, policy, AppOptions(), dict)
    client = falcon.testing.TestClient(app)

    def send(version: int = 1, roles: str = MEMBER, outer: dict | None = None, **fields):
        body = {"name": "s", "flavorRef": "1", "imageRef": factories.IMAGE}
        body |= {"networks": "none"} if version >= 37 else {}
        body = {k: v for k, v in (body | fields).items() if v is not None}
        return client.simulate_post(
            "/v2.1/servers",
            json={"server": body} | (outer or {}),
            headers={"OpenStack-API-Version": f"compute 2.{version}", "X-Auth-Token": TOKEN},
            extras={
                "HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_ROLES": roles,
                "HTTP_X_PROJECT_ID": factories.PROJECT, "HTTP_X_USER_ID": factories.USER,
            },
        )  # fmt: skip

    return send


@pytest.fixture
def made(post, servers: conductor.MemoryServers):
    def send(**how) -> NewServers:
        answer = post(**how)
        assert answer.status_code == 202, answer.text
        return servers.asked[-1][1][0]

    return send


@pytest.fixture
def refused(post):
    def send(status: int = 400, **how) -> str:
        answer = post(**how)
        assert answer.status_code == status, answer.text
        return next(iter(answer.json.values()))["message"]

    return send


def test_the_answer_names_the_server_and_where_it_is(post):
    answer = post(adminPass="secret")

    server = answer.json["server"]
    assert answer.headers["location"].endswith(f"/v2.1/servers/{server['id']}")
    assert server["links"][0]["href"] == answer.headers["location"]
    assert server["adminPass"] == "secret"
    assert server["security_groups"] == [{"name": "default"}]


def test_a_reservation_id_is_returned_instead_when_asked_for(post):
    assert re.fullmatch(r"r-\w{8}", post(return_reservation_id=True).json["reservation_id"])


def test_neighbours_are_asked_with_the_users_own_token(made, neighbours):
    made()

    assert neighbours.tokens == {TOKEN}


def test_without_a_network_in_the_body_the_only_one_is_taken(made):
    assert [n.network_id for n in made().networks] == [NETWORK]
    assert [n.network_id for n in made(version=37, networks="auto").networks] == [NETWORK]
    assert made(version=37, networks="none").networks is None


def test_several_networks_to_choose_from_are_a_conflict(refused, neighbours):
    neighbours.networks.append(neighbours.network(OTHER))

    assert refused(409) == (
        "Multiple possible networks found, use a Network ID to be more specific."
    )


def test_without_any_network_there_is_no_nic_but_auto_has_one_made(made, refused, neighbours):
    neighbours.networks.clear()

    assert made().networks is None
    assert refused(version=37, networks="auto") == (
        f"Unable to automatically allocate a network for project {factories.PROJECT}"
    )
    neighbours.allocates = OTHER
    assert [n.network_id for n in made(version=37, networks="auto").networks] == [OTHER]


def test_networks_and_ports_are_checked(made, refused, neighbours):
    assert made(networks=[{"uuid": NETWORK, "fixed_ip": "10.0.0.7"}]).networks[0].fixed_ip == (
        "10.0.0.7"
    )
    assert made(networks=[{"port": FREE_PORT}]).networks[0].port_id == FREE_PORT
    assert refused(networks=[{"uuid": OTHER}]) == f"Network {OTHER} could not be found."
    assert refused(networks=[{"port": OTHER}]) == f"Port id {OTHER} could not be found."
    assert refused(409, networks=[{"port": USED_PORT}]) == f"Port {USED_PORT} is still in use."
    assert refused(networks=[{}])
    taken = {"uuid": NETWORK, "fixed_ip": USED_ADDRESS}
    assert refused(networks=[taken]) == f"Fixed IP address {USED_ADDRESS} is already in use."
    neighbours.networks.append(neighbours.network(OTHER) | {"subnets": []})
    assert refused(networks=[{"uuid": OTHER}]) == (
        f"Network {OTHER} requires a subnet in order to boot instances on."
    )


def test_security_groups_are_checked(made, refused):
    assert made(security_groups=[{"name": "web"}, {"name": "web"}]).security_groups == ("web",)
    assert refused(security_groups=[{"name": "gone"}]) == "Security group gone not found."


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (factories.HOST, f"Can not find requested image (image {factories.HOST})"),
        (SAVING, f"Image {SAVING} is not active."),
        ("", "Invalid imageRef provided."),
    ],
)
def test_an_image_that_cannot_be_booted_is_named(refused, image, text):
    assert refused(imageRef=image) == text


def test_the_image_itself_may_be_written_as_a_block_device(made, refused):
    disk = {
        "source_type": "image", "destination_type": "local", "uuid": factories.IMAGE,
        "boot_index": 0, "delete_on_termination": True,
    }  # fmt: skip

    request = made(block_device_mapping_v2=[disk])

    assert request.image.id == factories.IMAGE
    assert request.block_devices == ()  # the conductor makes it by itself, of the flavor's size
    assert refused(imageRef=SAVING, block_device_mapping_v2=[disk])
    assert refused(imageRef=None, block_device_mapping_v2=[disk]) == (
        "Block Device Mapping is Invalid: Mapping image to local is not supported."
    )


def test_counts(made, refused):
    request = made(min_count=2, max_count="3")

    assert (request.min_count, len(request.uuids), len(set(request.uuids))) == (2, 3, 3)
    assert len(made(max_count=10**9).uuids) == 1000
    assert refused(min_count=3, max_count=2) == "min_count must be <= max_count"
    assert refused(403, min_count=10**9).startswith("Quota exceeded for instances")


def test_one_address_or_name_cannot_go_to_several_servers(refused):
    assert refused(max_count=2, networks=[{"port": FREE_PORT}])
    assert refused(max_count=2, networks=[{"uuid": NETWORK, "fixed_ip": "10.0.0.7"}])
    assert refused(version=90, max_count=2, hostname="one")


def test_a_host_is_chosen_by_administrators_only(made, refused):
    zone = made(roles="admin", availability_zone="nova:h:n")
    assert (zone.availability_zone, zone.requested_host, zone.requested_node) == ("nova", "h", "n")
    assert made(roles="admin", version=74, host="h").requested_host == "h"
    assert refused(403, availability_zone="nova:h") == (
        "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed."
    )
    assert refused(403, version=74, host="h") == (
        "Policy doesn't allow compute:servers:create:requested_destination to be performed."
    )
    assert refused(roles="admin", availability_zone="a:b:c:d")


def test_before_2_19_the_name_is_the_description(made):
    assert made(version=18).description == "s"
    assert made(version=19).description is None
    assert made(version=19, description="d").description == "d"


def test_user_data_must_be_base_64(made, refused):
    assert made(user_data="aGk=").user_data == "aGk="
    assert refused(user_data="%") == "User data needs to be valid base 64."


def test_tags_and_metadata_go_along(made):
    request = made(version=52, tags=["b", "a", "b"], metadata={"k": "v"})

    assert (request.tags, request.metadata) == (("a", "b"), {"k": "v"})


def test_scheduler_hints_are_kept_as_given(made):
    hints = {"different_host": [OTHER], "same_host": OTHER, "query": "[]"}

    assert made(outer={"os:scheduler_hints": hints}).scheduler_hints == hints


@pytest.mark.parametrize(
    ("rule", "asking", "without"),
    [
        ("attach_network", {"networks": "auto"}, {"networks": "none"}),
        ("attach_network", {"networks": [{"uuid": NETWORK}]}, {"networks": "none"}),
        ("trusted_certs", {"trusted_image_certificates": ["c"]}, {}),
    ],
)
def test_operators_decide_who_may_ask_for_what(policy_file, post, rule, asking, without):
    rule = f"os_compute_api:servers:create:{rule}"
    policy_file.write_text(f'"{rule}": "role:admin"\n')

    refused = post(version=63, **asking)

    assert refused.status_code == 403
    assert refused.json["forbidden"]["message"] == f"Policy doesn't allow {rule} to be performed."
    assert post(version=63, **without).status_code == 202
    assert post(version=63, roles="admin,member,reader", **asking).status_code == 202


@pytest.mark.parametrize("may", [True, False])
def test_whether_a_flavor_without_disk_will_do_goes_along(policy_file, made, may):
    if may:
        policy_file.write_text('"os_compute_api:servers:create:zero_disk_flavor": "@"\n')

    assert made().zero_disk_allowed is may


def test_a_host_in_the_zones_place_is_forced(made):
    admin = "admin,member,reader"

    forced = made(roles=admin, availability_zone="z:h")
    asked = made(roles=admin, version=74, host="h", availability_zone="z")

    assert (forced.forced, forced.availability_zone, forced.requested_host) == (True, "z", "h")
    assert (asked.forced, asked.availability_zone, asked.requested_host) == (False, "z", "h")


def test_a_reservation_says_where_no_single_server_is(post):
    assert "location" not in post(return_reservation_id=True).headers
