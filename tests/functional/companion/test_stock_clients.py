# SPDX-License-Identifier: Apache-2.0
"""Stock clients find in the companion what they find elsewhere."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
from keystonemiddleware import auth_token

pytestmark = pytest.mark.functional


def test_the_sdk_finds_every_service_in_the_catalogue(connect):
    conn = connect()

    assert conn.authorize()
    assert {s["type"] for s in conn.service_catalog} == {
        "identity",
        "image",
        "network",
        "volumev3",
        "shared-file-system",
        "compute",
    }


def test_the_sdk_administers_projects_users_and_roles(connect, served):
    conn = connect()
    project = conn.identity.create_project(name="sdk", domain_id="default", description="d")
    user = conn.identity.create_user(name="sdk", password="sdk-pw", domain_id="default")
    role = conn.identity.find_role("member")

    conn.identity.assign_project_role_to_user(project, user, role)

    own = connect("sdk", "sdk")
    assert own.current_project.id == project.id
    assert [p.name for p in own.identity.user_projects(user)] == ["sdk"]
    assert conn.identity.validate_user_has_project_role(project, user, role)
    conn.identity.delete_user(user)
    conn.identity.delete_project(project)
    assert conn.identity.find_project("sdk") is None


def test_the_sdk_uploads_finds_changes_and_downloads_an_image(connect, tmp_path):
    conn = connect()
    data = os.urandom(3 << 20)
    (tmp_path / "disk.raw").write_bytes(data)

    image = conn.create_image(
        "sdk image", filename=str(tmp_path / "disk.raw"), disk_format="raw",
        container_format="bare", hw_disk_bus="virtio", visibility="public", wait=True,
    )  # fmt: skip
    conn.image.update_image(image.id, min_ram=64, os_distro="debian")

    found = conn.image.find_image("sdk image")
    assert (found.status, found.size, found.min_ram) == ("active", len(data), 64)
    assert found.hash_value == hashlib.sha512(data).hexdigest()
    assert found.os_distro == "debian"
    assert conn.image.download_image(found).content == data
    assert [i.id for i in connect("demo", "demo").image.images(name="sdk image")] == [image.id]
    assert [i.id for i in conn.image.images(id=f"in:{image.id}")] == [image.id]
    conn.image.delete_image(image.id)
    assert conn.image.find_image("sdk image") is None


def test_an_upload_in_chunks_arrives_whole(connect):
    conn = connect()
    image = conn.image.create_image(name="chunked", disk_format="raw", container_format="bare")
    endpoint = conn.image.get_endpoint().rstrip("/").removesuffix("/v2")
    headers = {"X-Auth-Token": conn.auth_token, "Content-Type": "application/octet-stream"}

    put = requests.put(f"{endpoint}/v2/images/{image.id}/file", headers=headers, timeout=30,
                       data=(b"x" * 1000 for _ in range(2000)))  # fmt: skip

    assert put.status_code == 204
    assert conn.image.get_image(image.id).size == 2_000_000
    conn.image.delete_image(image.id)


def test_the_sdk_makes_networks_ports_and_groups(connect):
    conn, demo = connect(), connect("demo", "demo")
    net = demo.network.create_network(name="sdk net")
    subnet = demo.network.create_subnet(network_id=net.id, cidr="10.88.0.0/24", ip_version=4)
    group = demo.network.create_security_group(name="web")
    demo.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=80,
        port_range_max=80, remote_ip_prefix="0.0.0.0/0",
    )  # fmt: skip

    port = demo.network.create_port(network_id=net.id, name="p", security_groups=[group.id])
    conn.network.update_port(port.id, binding_host_id="h1", device_id="vm")

    ip = port.fixed_ips[0]["ip_address"]
    [found] = conn.network.ports(fixed_ips=f"ip_address={ip}")
    assert (found.id, found.status) == (port.id, "ACTIVE")
    assert found.binding_vif_details["bridge_name"] == f"br{net.id[:11]}"
    assert demo.network.find_network("sdk net").subnet_ids == [subnet.id]
    assert conn.network.find_extension("Availability Zone") is None
    assert conn.network.get_quota(conn.current_project_id).networks == -1
    for delete, item in (
        (demo.network.delete_port, port), (demo.network.delete_security_group, group),
        (demo.network.delete_network, net),
    ):  # fmt: skip
        delete(item)
    assert demo.network.find_network("sdk net") is None


@pytest.fixture
def openstack(served):
    """The stock command line."""
    program = Path(sys.executable).with_name("openstack")
    if not program.exists():
        pytest.skip("python-openstackclient is not installed")

    def run(*words):
        done = subprocess.run(
            [str(program), *words], capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": os.environ["PATH"], "OS_AUTH_URL": served.auth_url,
                 "OS_USERNAME": "admin", "OS_PASSWORD": "admin-pw", "OS_PROJECT_NAME": "admin",
                 "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default",
                 "OS_IDENTITY_API_VERSION": "3"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_the_command_line_reads_and_makes_what_it_shows(openstack, tmp_path):
    (tmp_path / "i").write_bytes(b"x" * 1000)

    assert openstack("token", "issue", "-f", "value", "-c", "project_id")
    assert "demo" in openstack("user", "list", "-f", "value", "-c", "Name").split()
    assert openstack("catalog", "list", "-f", "value", "-c", "Type")
    openstack("network", "create", "cli-net")
    openstack("subnet", "create", "--network", "cli-net", "--subnet-range", "10.89.0.0/24", "s")
    openstack("image", "create", "--file", str(tmp_path / "i"), "--public", "cli-image")
    assert openstack("image", "show", "cli-image", "-f", "value", "-c", "status") == "active"
    assert "cli-net" in openstack("network", "list", "-f", "value", "-c", "Name")
    openstack("image", "delete", "cli-image")
    openstack("network", "delete", "cli-net")


def validate(served, token):
    """What keystonemiddleware makes of a token: the status and the environment behind it."""
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", [])
        return [b"fine"]

    guarded = auth_token.AuthProtocol(app, {
        "auth_type": "password", "auth_url": served.auth_url, "username": "kilonova",
        "password": "service-pw", "project_name": "service", "user_domain_id": "default",
        "project_domain_id": "default", "www_authenticate_uri": served.auth_url,
        "service_token_roles_required": True, "service_token_roles": "service",
    })  # fmt: skip
    status = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "x", "SERVER_PORT": "80",
               "wsgi.url_scheme": "http", "HTTP_X_AUTH_TOKEN": token}  # fmt: skip
    list(guarded(environ, lambda line, headers, *_: status.append(line)))
    return int(status[0].split()[0]), seen


def test_keystonemiddleware_validates_tokens(connect, served):
    status, environ = validate(served, connect("demo", "demo").auth_token)
    refused, _ = validate(served, "no-such-token")

    assert status == 200
    assert environ["HTTP_X_USER_NAME"] == "demo"
    assert environ["HTTP_X_PROJECT_NAME"] == "demo"
    assert set(environ["HTTP_X_ROLES"].split(",")) == {"member", "reader"}
    assert refused == 401


def test_what_was_answered_survives_a_kill(connect, served):
    conn = connect("demo", "demo")
    token = conn.auth_token
    net = conn.network.create_network(name="kept")

    served.stop(signal.SIGKILL)
    served.start()

    answer = requests.get(f"{served.url}/network/v2.0/networks/{net.id}", timeout=10,
                          headers={"X-Auth-Token": token})  # fmt: skip
    assert answer.status_code == 200
    conn.network.delete_network(net)


def test_it_stops_by_itself_when_told_to(served):
    assert served.stop() == 0
    served.start()


def test_many_ports_at_once_get_addresses_of_their_own(connect, served):
    conn = connect()
    net = conn.network.create_network(name="busy")
    conn.network.create_subnet(network_id=net.id, cidr="10.90.0.0/24", ip_version=4)
    headers, answers = {"X-Auth-Token": conn.auth_token}, []

    def create():
        for _ in range(10):
            answers.append(requests.post(
                f"{served.url}/network/v2.0/ports", headers=headers, timeout=30,
                json={"port": {"network_id": net.id}},
            ))  # fmt: skip

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {201}
    ips = {answer.json()["port"]["fixed_ips"][0]["ip_address"] for answer in answers}
    assert len(ips) == 80


def test_bootstrap_says_which_password_is_missing(served, tmp_path):
    from tests.functional.companion.conftest import Served

    other = Served(tmp_path, served.port)
    other.configure(demo_password="")

    refused = other.bootstrap()
    given = other.bootstrap(KILONOVA_DEMO_PASSWORD="x")

    assert refused.returncode == 1
    assert "KILONOVA_DEMO_PASSWORD" in refused.stderr
    assert given.returncode == 0
