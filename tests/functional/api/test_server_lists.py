# SPDX-License-Identifier: Apache-2.0
"""Lists of real servers: every filter and sort key, page by page, as members and administrators."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from services.api.resources.servers.filters import _SORT_KEYS
from tests.functional.api.conftest import Call
from tests.functional.cloud import Cloud, wait_for_status
from tests.functional.rabbitmq import wait_until

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2oUQ3Yg0zqKpj8mGQGkQ3yQ3bC6K0cJ0cS0m0mV0aB"
LONG_AGO, LONG_HENCE = "2001-01-01T00:00:00Z", "2101-01-01T00:00:00Z"

Servers = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def session(cloud: Cloud) -> Call:
    """As `call`, as the member of the demo project."""
    asking = requests.Session()
    asking.headers["X-Auth-Token"] = cloud.connect().auth_token

    def send(method: str, path: str, *, version: str = "2.104", **more: Any) -> requests.Response:
        more.setdefault("headers", {})["OpenStack-API-Version"] = f"compute {version}"
        return asking.request(method, f"{cloud.compute_url}/v2.1{path}", timeout=30, **more)

    return send


@pytest.fixture(scope="module")
def port(cloud: Cloud) -> Iterator[str]:
    """A port of the demo project with addresses of both families."""
    network = cloud.connect("admin").network
    both = network.create_network(name="both", shared=True)
    subnets = [
        network.create_subnet(network_id=both.id, ip_version=version, cidr=cidr)
        for version, cidr in ((4, "10.77.0.0/24"), (6, "fd77::/64"))
    ]
    made = cloud.connect().network.create_port(
        network_id=both.id, fixed_ips=[{"subnet_id": each.id} for each in subnets]
    )
    yield made.id
    network.delete_port(made)
    network.delete_network(both)


@pytest.fixture(scope="module")
def servers(cloud: Cloud, call: Call, session: Call, port: str) -> Iterator[Servers]:
    """Three servers of the demo project, one that was deleted, and one of another project, as an
    administrator sees them; they differ in everything that can be asked for."""
    demo, admin = cloud.connect(), cloud.connect("admin")
    admin.compute.create_flavor(name="listed", ram=96, vcpus=2, disk=1, id="listed")
    demo.compute.create_keypair(name="listed", public_key=KEY)
    image = next(each for each in demo.image.images() if each.name == "guest").id
    plain = {"imageRef": image, "flavorRef": "1", "networks": "none"}
    wanted = {
        "l-rich": {
            "flavorRef": "listed", "networks": [{"port": port}], "key_name": "listed",
            "config_drive": True, "tags": ["red", "big"], "description": "rich in everything",
            "hostname": "richhost", "accessIPv4": "192.0.2.7", "accessIPv6": "2001:db8::7",
        },
        "l-off": {"tags": ["red"]},
        "l-locked": {},
        "l-gone": {},
    }  # fmt: skip
    made = {}
    for name, more in wanted.items():
        body = {"server": {"name": name, **plain, **more}}
        answer = session("POST", "/servers", json=body)
        assert answer.status_code == 202, answer.text
        made[name] = answer.json()["server"]["id"]
        wait_for_status(demo, made[name], "ACTIVE")
    other = call("POST", "/servers", json={"server": {"name": "l-other", **plain}})
    made["l-other"] = other.json()["server"]["id"]
    for server in made.values():
        wait_for_status(admin, server, "ACTIVE")
    session("POST", f"/servers/{made['l-off']}/action", json={"os-stop": None})
    call("POST", f"/servers/{made['l-locked']}/action", json={"lock": None})
    wait_for_status(demo, made["l-off"], "SHUTOFF")
    gone = admin.compute.get_server(made["l-gone"])
    session("DELETE", f"/servers/{made['l-gone']}")
    demo.compute.wait_for_delete(gone, interval=0.1)
    yield {
        name: {"id": uuid} | (
            call("GET", f"/servers/{uuid}").json()["server"] if name != "l-gone" else {}
        )
        for name, uuid in made.items()
    }  # fmt: skip
    for name, uuid in made.items():
        if name != "l-gone":
            call("DELETE", f"/servers/{uuid}")
    for name, uuid in made.items():
        if name != "l-gone":
            wait_until(lambda uuid=uuid: call("GET", f"/servers/{uuid}").status_code == 404, name)
    admin.compute.delete_flavor("listed")
    demo.compute.delete_keypair("listed")


@pytest.fixture
def names(call: Call, session: Call, servers: Servers) -> Callable[..., set[str]]:
    """Names of our servers that a list has; the same by both URLs."""

    def ask(query: str, *, member: bool = False, version: str = "2.104") -> set[str]:
        send = session if member else call
        found = []
        for path in ("/servers", "/servers/detail"):
            answer = send("GET", f"{path}?{query}", version=version)
            assert answer.status_code == 200, answer.text
            shown = answer.json()["servers"]
            found.append({each["name"] for each in shown if each["name"].startswith("l-")})
        assert found[0] == found[1]
        return found[0]

    return ask


DEMO = {"l-rich", "l-off", "l-locked"}
ALL = DEMO | {"l-other"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ALL), ("name=^l-r", {"l-rich"}), ("name=L-RICH", set()), ("name=nothing", set()),
        ("display_name=off$", {"l-off"}), ("description=rich%20in", {"l-rich"}),
        ("display_description=everything", {"l-rich"}), ("hostname=^rich", {"l-rich"}),
        ("status=SHUTOFF", {"l-off"}), ("status=shutoff&status=error", {"l-off"}),
        ("status=ERROR", set()), ("vm_state=stopped", {"l-off"}), ("vm_state=stop", set()),
        ("task_state=spawning", set()), ("power_state=4", {"l-off"}),
        ("progress=^100$", ALL), ("flavor=listed", {"l-rich"}), ("flavor=none", set()),
        ("key_name=^listed$", {"l-rich"}), ("config_drive=True", {"l-rich"}),
        ("ip=10.77.0.", {"l-rich"}), ("ip=^10.77", {"l-rich"}), ("ip=192", set()),
        ("ip6=fd77", {"l-rich"}), ("ip6=10.77", set()),
        ("access_ip_v4=192.0.2", {"l-rich"}), ("access_ip_v6=2001", {"l-rich"}),
        ("tags=red", {"l-rich", "l-off"}), ("tags=red,big", {"l-rich"}),
        ("tags-any=big,blue", {"l-rich"}), ("not-tags=red,big", ALL - {"l-rich"}),
        ("not-tags-any=red,big", {"l-locked", "l-other"}), ("tags=red&not-tags=big", {"l-off"}),
        ("locked=true", {"l-locked"}), ("locked=0", ALL - {"l-locked"}),
        ("locked_by=admin", {"l-locked"}), ("availability_zone=nova", ALL),
        ("availability_zone=east", set()), ("host=nowhere", set()), ("node=nowhere", set()),
        ("launch_index=^0$", ALL), ("launch_index=1", set()),
        ("root_device_name=/dev/vda", ALL), ("kernel_id=x", set()), ("ramdisk_id=x", set()),
        ("terminated_at=20", set()), ("created_at=^2001", set()), ("created_at=^20", ALL),
        ("launched_at=^20", ALL), ("reservation_id=^r-", ALL), ("reservation_id=^x", set()),
        (f"changes-since={LONG_AGO}", ALL | {"l-gone"}), (f"changes-since={LONG_HENCE}", set()),
        (f"changes-before={LONG_AGO}", set()), (f"changes-before={LONG_HENCE}", ALL | {"l-gone"}),
        ("deleted=true", {"l-gone"}), ("deleted=nonsense", ALL), ("status=DELETED", {"l-gone"}),
        ("deleted=true&soft_deleted=true", {"l-gone"}), ("soft_deleted=true", ALL),
    ],
)  # fmt: skip
def test_administrators_filter_by_everything(names, query, expected):
    assert names(f"{query}&all_tenants=1") == expected


@pytest.mark.parametrize("key", ["uuid", "image", "image_ref", "host", "node", "user_id",
                                 "project_id", "tenant_id", "reservation_id"])  # fmt: skip
def test_what_is_shown_of_a_server_finds_it(names, call, servers, key):
    shown = servers["l-rich"]
    value = {
        "uuid": shown["id"], "image": shown["image"]["id"], "image_ref": shown["image"]["id"],
        "host": shown["OS-EXT-SRV-ATTR:host"],
        "node": shown["OS-EXT-SRV-ATTR:hypervisor_hostname"], "user_id": shown["user_id"],
        "project_id": shown["tenant_id"], "tenant_id": shown["tenant_id"],
        "reservation_id": shown["OS-EXT-SRV-ATTR:reservation_id"],
    }[key]  # fmt: skip

    found = names(f"{key}={value}&all_tenants=1")

    assert "l-rich" in found
    assert ("l-other" in found) == (key in ("image", "image_ref", "host", "node") and (
        key.startswith("image") or servers["l-other"]["OS-EXT-SRV-ATTR:host"] ==
        shown["OS-EXT-SRV-ATTR:host"]
    ))  # fmt: skip


def test_a_project_is_asked_for_among_all_projects_only(names, servers):
    other = servers["l-other"]["tenant_id"]

    assert names(f"tenant_id={other}&all_tenants=true") == {"l-other"}
    assert names(f"project_id={other}&all_tenants=true") == {"l-other"}
    assert names(f"tenant_id={other}", member=True) == DEMO
    assert names("all_tenants=0", member=True) == DEMO


@pytest.mark.parametrize(
    ("query", "since", "expected"),
    [
        ("ip6=fd77", 5, {"l-rich"}), ("tags=big", 26, {"l-rich"}),
        ("not-tags-any=red", 26, {"l-locked"}), (f"changes-before={LONG_AGO}", 66, set()),
        ("locked=yes", 73, {"l-locked"}), ("config_drive=True", 83, {"l-rich"}),
        ("key_name=listed", 83, {"l-rich"}), ("vm_state=stopped", 83, {"l-off"}),
        ("power_state=4", 83, {"l-off"}), ("task_state=spawning", 83, set()),
        ("progress=5", 83, set()), ("user_id=nobody", 83, set()), ("created_at=^1", 83, set()),
        ("launched_at=^1", 83, set()), ("terminated_at=^1", 83, set()),
        ("availability_zone=east", 83, set()), ("hostname=rich", 90, {"l-rich"}),
        ("name=off", 1, {"l-off"}), ("status=SHUTOFF", 1, {"l-off"}),
        ("flavor=listed", 1, {"l-rich"}),
        ("ip=10.77", 1, {"l-rich"}),
    ],
)  # fmt: skip
def test_members_filter_by_more_as_versions_go_on(names, query, since, expected):
    assert names(query, member=True, version=f"2.{since}") == expected
    if since > 1:
        assert names(query, member=True, version=f"2.{since - 1}") == DEMO


@pytest.mark.parametrize(
    "query", ["host=nowhere", "node=nowhere", "uuid=x", "deleted=true", "launch_index=7",
              "locked_by=admin", "metadata=x", "_x=y", "tenant_id=x"],
)  # fmt: skip
def test_what_members_may_not_ask_is_taken_away(names, query):
    assert names(query, member=True) == DEMO


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("name=(", 400), ("ip=*", 400), ("all_tenants=perhaps", 400), ("locked=perhaps", 400),
        ("sort_key=nonsense", 400), ("sort_key=host", 403), ("sort_key=node", 403),
        ("sort_key=uuid&sort_dir=up", 400), ("sort_dir=asc", 400), ("status=nonsense", 400),
        ("status=deleted", 403), ("all_tenants=1", 403), ("limit=-1", 400), ("limit=x", 400),
        ("marker=nobody", 400), ("what=ever", 400), ("changes-since=soon", 400),
        (f"changes-since={LONG_HENCE}&changes-before={LONG_AGO}", 400),
    ],
)  # fmt: skip
def test_what_members_cannot_ask_is_refused(session, servers, query, status):
    for path in ("/servers", "/servers/detail"):
        assert session("GET", f"{path}?{query}").status_code == status


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("key", [*_SORT_KEYS, "locked"])
def test_every_sort_key_orders_a_list_and_its_pages(call, servers, key, direction):
    query = f"all_tenants=1&name=^l-&sort_key={key}&sort_dir={direction}"
    whole = [each["id"] for each in call("GET", f"/servers?{query}").json()["servers"]]

    paged, path = [], f"/servers/detail?{query}&limit=1"
    while path:
        page = call("GET", path).json()
        paged += [each["id"] for each in page["servers"]]
        links = page.get("servers_links")
        path = links[0]["href"].partition("/v2.1")[2] if links else None

    assert len(whole) == 4
    assert paged == whole


def test_sorted_lists_are_in_the_order_that_was_asked_for(call, servers):
    def ordered(query: str) -> list[str]:
        shown = call("GET", f"/servers?all_tenants=1&name=^l-&{query}").json()["servers"]
        return [each["name"] for each in shown]

    by_age = ["l-rich", "l-off", "l-locked", "l-other"]
    assert ordered("") == by_age[::-1]
    assert ordered("sort_key=created_at&sort_dir=asc") == by_age
    assert ordered("sort_key=display_name&sort_dir=asc") == sorted(by_age)
    assert ordered("sort_key=display_name&sort_dir=desc") == sorted(by_age, reverse=True)
    assert ordered("sort_key=vm_state&sort_dir=desc")[0] == "l-off"
    assert ordered("sort_key=locked&sort_dir=desc")[0] == "l-locked"
    assert ordered("sort_key=uuid&sort_dir=asc") == sorted(
        by_age, key=lambda name: servers[name]["id"]
    )


def test_pages_and_limits(session, servers):
    first = session("GET", "/servers?limit=2&name=^l-").json()
    none = session("GET", "/servers?limit=0")

    assert len(first["servers"]) == 2
    assert "limit=2" in first["servers_links"][0]["href"]
    assert none.json() == {"servers": []}
    assert "servers_links" not in session("GET", "/servers?limit=1000").json()
