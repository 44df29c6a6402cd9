# SPDX-License-Identifier: Apache-2.0
"""Stock clients do with the companion's volumes what they do with Cinder's."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from keystoneauth1 import loading, session

pytestmark = pytest.mark.functional

SERVER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def volumes(connect):
    """The SDK's block storage as demo, which has no volumes before and after."""
    proxy = connect("demo", "demo").block_storage
    yield proxy
    admin = connect().block_storage
    for snapshot in admin.snapshots(all_projects=True):
        admin.delete_snapshot(snapshot, force=True)
    for volume in admin.volumes(all_projects=True):
        if volume.status == "in-use":
            admin.reset_volume_status(volume, "available", "detached", "none")
        admin.delete_volume(volume, force=True)
    wait_for(lambda: not list(admin.volumes(all_projects=True)), "the volumes to go")


def wait_for(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.1)


def ready(proxy, volume, status="available"):
    """The volume once it has the status."""
    wait_for(lambda: proxy.get_volume(volume.id).status == status, f"{volume.id} is {status}")
    return proxy.get_volume(volume.id)


# --- openstacksdk ----------------------------------------------------------------------------


def test_the_sdk_makes_snapshots_copies_and_deletes_volumes(volumes):
    volume = ready(volumes, volumes.create_volume(name="sdk", size=1, metadata={"a": "b"}))
    snapshot = volumes.create_snapshot(volume_id=volume.id, name="sdk snapshot")
    volumes.wait_for_status(snapshot, status="available", interval=0.1, wait=30)
    copy = ready(volumes, volumes.create_volume(name="copy", snapshot_id=snapshot.id, size=2))

    assert volumes.find_volume("sdk").id == volume.id
    assert {v.name for v in volumes.volumes()} == {"sdk", "copy"}
    assert [s.name for s in volumes.snapshots(volume_id=volume.id)] == ["sdk snapshot"]
    assert (copy.size, copy.snapshot_id) == (2, snapshot.id)
    assert volumes.get_volume_metadata(volume).metadata == {"a": "b"}
    volumes.extend_volume(volume, 3)
    assert ready(volumes, volume).size == 3
    volumes.delete_volume(copy)
    volumes.delete_snapshot(snapshot)
    volumes.wait_for_delete(snapshot, interval=0.1, wait=30)
    volumes.delete_volume(volume)
    for gone in (copy, volume):
        volumes.wait_for_delete(gone, interval=0.1, wait=30)
    assert list(volumes.volumes()) == []


def test_the_sdk_boots_a_volume_from_an_image_and_makes_one_of_it(connect, volumes):
    admin = connect()
    image = admin.create_image(
        "bootable", data=b"boot" * 1000, disk_format="raw", container_format="bare",
        visibility="public", wait=True, hw_disk_bus="scsi", validate_checksum=False,
    )  # fmt: skip
    volume = ready(volumes, volumes.create_volume(name="root", size=1, image_id=image.id))

    made = volumes.upload_volume_to_image(volume, "from volume", disk_format="raw",
                                          container_format="bare")  # fmt: skip
    ready(volumes, volume)

    assert (volume.is_bootable, volume.volume_image_metadata["hw_disk_bus"]) == (True, "scsi")
    uploaded = connect("demo", "demo").image.get_image(made["image_id"])
    assert (uploaded.status, uploaded.size, uploaded.name) == ("active", 1 << 30, "from volume")
    admin.image.delete_image(uploaded)
    admin.image.delete_image(image)


def test_the_sdk_attaches_as_a_compute_service_does(connect, volumes):
    service = connect("kilonova", "service").block_storage
    volume = ready(volumes, volumes.create_volume(name="attached", size=1))

    attachment = service.create_attachment(volume=volume.id, instance=SERVER, connector=None)
    reserved = volumes.get_volume(volume).status
    connected = service.update_attachment(attachment.id, connector={"host": "h1"})
    service.complete_attachment(attachment.id)
    in_use = volumes.get_volume(volume)

    assert (reserved, in_use.status) == ("reserved", "in-use")
    path = connected.connection_info["device_path"]
    assert Path(path).stat().st_size == 1 << 30
    assert [a["server_id"] for a in in_use.attachments] == [SERVER]
    service.delete_attachment(attachment.id)
    assert ready(volumes, volume).attachments == []


def test_os_brick_connects_to_what_an_attachment_says(connect, volumes):
    connectors = pytest.importorskip("os_brick.initiator.connectors.local")
    service = connect("kilonova", "service").block_storage
    volume = ready(volumes, volumes.create_volume(name="bricked", size=1))
    attachment = service.create_attachment(
        volume=volume.id, instance=SERVER, connector={"host": "h1"}
    )

    device = connectors.LocalConnector(None).connect_volume(attachment.connection_info)

    assert device == {"type": "local", "path": attachment.connection_info["device_path"]}
    service.delete_attachment(attachment.id)


def test_the_sdk_sets_quotas_and_types(connect, volumes):
    admin = connect()
    demo = admin.identity.find_project("demo")

    kind = admin.block_storage.create_type(name="sdk type", description="d")
    admin.block_storage.update_type_extra_specs(kind, multiattach="<is> True")
    admin.block_storage.update_quota_set(demo.id, volumes=77)

    found = connect("demo", "demo").block_storage.find_type("sdk type")
    assert found.extra_specs == {"multiattach": "<is> True"}
    assert admin.block_storage.get_quota_set(demo.id).volumes == 77
    usage = admin.block_storage.get_quota_set(demo.id, usage=True).usage
    assert usage["volumes"] == 0
    admin.block_storage.revert_quota_set(demo.id)
    assert admin.block_storage.get_quota_set(demo.id).volumes == 10
    admin.block_storage.delete_type(kind)


# --- openstackclient -------------------------------------------------------------------------


@pytest.fixture
def openstack(served):
    """The stock command line, as demo; what it prints as JSON."""
    program = Path(sys.executable).with_name("openstack")

    def run(*words, user="demo", fails=False):
        shows = words[-1] != "-" and any(w in ("create", "list", "show") for w in words)
        done = subprocess.run(
            [str(program), *words, *(("-f", "json") if shows else ())],
            capture_output=True, text=True, timeout=120, check=False,
            env={"PATH": os.environ["PATH"], "OS_AUTH_URL": served.auth_url,
                 "OS_USERNAME": user, "OS_PASSWORD": f"{user}-pw", "OS_PROJECT_NAME": user,
                 "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default",
                 "OS_IDENTITY_API_VERSION": "3", "OS_VOLUME_API_VERSION": "3.71"},
        )  # fmt: skip
        assert fails == (done.returncode != 0), done.stderr
        return json.loads(done.stdout) if shows and done.stdout.strip() else done.stderr

    return run


def test_the_command_line_works_with_volumes(openstack, volumes):
    made = openstack("volume", "create", "--size", "1", "--property", "k=v", "cli")
    ready(volumes, volumes.find_volume("cli"))
    openstack("volume", "set", "--size", "2", "--bootable", "--description", "d", "cli")
    ready(volumes, volumes.find_volume("cli"))
    openstack("volume", "snapshot", "create", "--volume", "cli", "shot")
    wait_for(lambda: volumes.find_snapshot("shot").status == "available", "the snapshot")
    openstack("volume", "create", "--snapshot", "shot", "cli copy")
    ready(volumes, volumes.find_volume("cli copy"))
    shown = openstack("volume", "show", "cli")
    listed = openstack("volume", "list", "--long")

    assert shown["id"] == made["id"]
    assert (shown["size"], shown["bootable"], shown["description"]) == (2, True, "d")
    assert {row["Name"] for row in listed} == {"cli", "cli copy"}
    assert "snapshots" in openstack("volume", "delete", "cli", fails=True)
    openstack("volume", "snapshot", "delete", "shot")
    wait_for(lambda: volumes.find_snapshot("shot") is None, "the snapshot to go")
    openstack("volume", "delete", "cli", "cli copy")
    wait_for(lambda: not list(volumes.volumes()), "the volumes to go")


def test_the_command_line_administers_types_quotas_and_transfers(openstack, volumes):
    openstack("volume", "type", "create", "--property", "multiattach=<is> True", "cli type",
              user="admin")  # fmt: skip
    openstack("quota", "set", "--volumes", "8", "--gigabytes", "80", "demo", user="admin")
    quota = openstack("quota", "show", "--volume", "demo", user="admin")
    services = openstack("volume", "service", "list", user="admin")
    openstack("volume", "create", "--size", "1", "--type", "cli type", "gift")
    ready(volumes, volumes.find_volume("gift"))
    offer = openstack("volume", "transfer", "request", "create", "gift")
    openstack("volume", "transfer", "request", "accept", "--auth-key", offer["auth_key"],
              offer["id"], user="admin")  # fmt: skip
    moved = openstack("volume", "show", "gift", user="admin")
    pools = openstack("volume", "backend", "pool", "list", user="admin")
    zones = openstack("availability", "zone", "list", "--volume")

    assert {row["Resource"]: row["Limit"] for row in quota}["volumes"] == 8
    assert {row["Binary"] for row in services} == {"cinder-volume", "cinder-scheduler"}
    assert (moved["type"], moved["multiattach"], moved["status"]) == ("cli type", True, "available")
    assert pools[0]["Name"].endswith("@local#local")
    assert zones == [{"Zone Name": "nova", "Zone Status": "available"}]
    openstack("volume", "delete", "--force", "gift", user="admin")
    admin_view = lambda: openstack("volume", "list", "--all-projects", user="admin")  # noqa: E731
    wait_for(lambda: not admin_view(), "the volume to go")
    openstack("volume", "type", "delete", "cli type", user="admin")
    openstack("quota", "delete", "--volume", "demo", user="admin")


# --- python-cinderclient ---------------------------------------------------------------------


@pytest.fixture
def cinder(served):
    """The stock Cinder client at its newest version."""
    client = pytest.importorskip("cinderclient.client")

    def connect(user="demo", project="demo", version="3.71"):
        password = {"kilonova": "service-pw"}.get(user, f"{user}-pw")
        auth = loading.get_plugin_loader("password").load_from_options(
            auth_url=served.auth_url, username=user, password=password, project_name=project,
            user_domain_id="default", project_domain_id="default",
        )  # fmt: skip
        return client.Client(version, session=session.Session(auth=auth))

    return connect


def until(cinder, volume, status):
    wait_for(lambda: cinder.volumes.get(volume.id).status == status, f"{volume.id} is {status}")
    return cinder.volumes.get(volume.id)


def test_cinderclient_walks_a_volume_through_its_life(cinder, volumes):
    demo, service = cinder(), cinder("kilonova", "service")
    volume = until(demo, demo.volumes.create(1, name="c", metadata={"k": "v"}), "available")

    demo.volumes.set_metadata(volume, {"l": "w"})
    demo.volumes.update_readonly_flag(volume, False)
    attachment = service.attachments.create(volume.id, {"host": "h1"}, SERVER)
    service.attachments.complete(attachment["id"])
    in_use = until(demo, volume, "in-use")
    listed = service.attachments.list(search_opts={"volume_id": volume.id, "all_tenants": 1})
    service.attachments.delete(attachment["id"])
    until(demo, volume, "available")
    limits = {each.name: each.value for each in demo.limits.get().absolute}

    assert in_use.metadata == {"k": "v", "l": "w", "readonly": "False"}
    assert [each.id for each in listed] == [attachment["id"]]
    assert attachment["connection_info"]["driver_volume_type"] == "local"
    assert [v.id for v in demo.volumes.list(search_opts={"metadata": {"k": "v"}})] == [volume.id]
    assert (limits["totalVolumesUsed"], limits["maxTotalVolumes"]) == (1, 10)
    demo.volumes.extend(volume, 2)
    assert until(demo, volume, "available").size == 2
    demo.volumes.delete(volume, cascade=True)
    wait_for(lambda: not demo.volumes.list(), "the volume to go")


def test_cinderclient_swaps_the_old_way(cinder, volumes):
    demo, service = cinder(), cinder("kilonova", "service")
    old, new = (until(demo, demo.volumes.create(1, name=n), "available") for n in ("old", "new"))
    service.volumes.attach(old, SERVER, "/dev/vdb")
    service.volumes.begin_detaching(old)
    service.volumes.reserve(new)

    kept = service.volumes.migrate_volume_completion(old, new.id, False)

    assert kept["save_volume_id"] == new.id
    assert until(demo, new, "in-use").attachments[0]["server_id"] == SERVER
    until(demo, old, "available")
    service.volumes.detach(new)
    until(demo, new, "available")


# --- what the compute service hears, and is asked ----------------------------------------------


class Compute(ThreadingHTTPServer):
    """As much of a Compute API as the companion calls: it takes events, and has one volume."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.events, self.tokens, self.held = [], set(), set()
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.tokens.add(self.headers["X-Auth-Token"])
        self.server.events += body["events"]
        self._answer(200, b"{}")

    def do_GET(self):
        held = tuple(self.path.split("/")[-3::2]) in self.server.held
        self._answer(200 if held else 404, b"{}")

    def _answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def compute(served):
    made = Compute()
    served.stop()
    served.configure(compute_url=f"http://127.0.0.1:{made.server_port}/v2.1")
    assert served.bootstrap().returncode == 0
    served.start()
    yield made
    made.close()
    served.stop()
    served.configure()
    assert served.bootstrap().returncode == 0
    served.start()


def test_the_compute_service_hears_of_volumes_that_grew_and_of_new_images(
    compute, connect, volumes, cinder
):
    admin, service = connect(), cinder("kilonova", "service")
    image = admin.create_image("other", data=b"x", disk_format="raw", container_format="bare",
                               visibility="public", wait=True, validate_checksum=False)  # fmt: skip
    volume = ready(volumes, volumes.create_volume(name="grows", size=1))
    attachment = service.attachments.create(volume.id, {"host": "h1"}, SERVER)
    service.attachments.complete(attachment["id"])
    cinder().volumes.extend(volume.id, 2)
    wait_for(lambda: compute.events, "the event")
    service.attachments.delete(attachment["id"])
    reserved = service.attachments.create(volume.id, None, SERVER)
    cinder().volumes.reimage(volume.id, image.id, True)
    wait_for(lambda: len(compute.events) > 1, "the second event")

    assert compute.events == [
        {"name": name, "server_uuid": SERVER, "status": "completed", "tag": volume.id}
        for name in ("volume-extended", "volume-reimaged")
    ]
    [token] = compute.tokens
    answer = requests.get(f"{admin.session.auth.auth_url}/auth/tokens", timeout=10,
                          headers={"X-Auth-Token": token, "X-Subject-Token": token})  # fmt: skip
    assert answer.json()["token"]["user"]["name"] == "kilonova"
    service.attachments.delete(reserved["id"])
    admin.image.delete_image(image)


def test_a_user_does_not_take_a_volume_from_under_a_server(compute, volumes, cinder):
    demo, service = cinder(), cinder("kilonova", "service")
    volume = ready(volumes, volumes.create_volume(name="held", size=1))
    attachment = service.attachments.create(volume.id, {"host": "h1"}, SERVER)
    service.attachments.complete(attachment["id"])
    compute.held.add((SERVER, volume.id))

    refusals = []
    for take in (
        lambda: demo.attachments.delete(attachment["id"]), lambda: demo.volumes.detach(volume.id),
        lambda: demo.volumes.terminate_connection(volume.id, {"host": "h1"}),
    ):  # fmt: skip
        with pytest.raises(Exception, match="using the Compute API") as refused:
            take()
        refusals.append(refused.value.code)

    assert refusals == [409] * 3
    assert volumes.get_volume(volume).status == "in-use"
    # As a compute service does that acts for the user.
    endpoint = volumes.get_endpoint()
    headers = {"X-Auth-Token": volumes.session.get_token(), "OpenStack-API-Version": "volume 3.44"}
    path, words = f"{endpoint}/attachments/{attachment['id']}", []
    for token in ("no such token", service.client.session.get_token()):
        headers["X-Service-Token"] = token
        words.append(requests.delete(path, headers=headers, timeout=10).status_code)
    assert words == [401, 200]
    ready(volumes, volume)


def test_of_many_who_want_a_volume_one_gets_it(volumes, connect):
    volume = ready(volumes, volumes.create_volume(name="wanted", size=1))
    service = connect("kilonova", "service").block_storage
    url, token = f"{service.get_endpoint()}/attachments", service.session.get_token()
    headers = {"X-Auth-Token": token, "OpenStack-API-Version": "volume 3.44"}
    answers = []

    def want(server):
        body = {"attachment": {"volume_uuid": volume.id, "instance_uuid": server}}
        answers.append(requests.post(url, json=body, headers=headers, timeout=30).status_code)

    threads = [threading.Thread(target=want, args=(f"server-{n}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [200] + [400] * 11
    [attachment] = service.attachments(all_projects=True)
    service.delete_attachment(attachment)


# --- the process -------------------------------------------------------------------------------


def test_what_was_accepted_is_done_after_a_kill(volumes, served):
    folder = served.folder / "data" / "volumes"
    source = ready(volumes, volumes.create_volume(name="source", size=1))
    data = os.urandom(64 << 20)
    with (folder / f"volume-{source.id}").open("r+b") as file:
        file.write(data)
    made = [volumes.create_volume(name=f"kept {n}", source_volume_id=source.id, size=1)
            for n in range(4)]  # fmt: skip

    served.stop(signal.SIGKILL)
    served.start()

    for volume in made:
        ready(volumes, volume)
        with (folder / f"volume-{volume.id}").open("rb") as file:
            assert file.read(len(data)) == data
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_an_older_catalogue_gets_the_service_when_bootstrap_runs_again(connect, served):
    admin = connect()
    [service] = [s for s in admin.identity.services() if s.type == "volumev3"]
    admin.identity.delete_service(service)

    assert served.bootstrap().returncode == 0

    again = connect()
    [endpoint] = [e for s in again.service_catalog if s["type"] == "volumev3"
                  for e in s["endpoints"] if e["interface"] == "public"]  # fmt: skip
    assert endpoint["url"] == f"{served.url}/volume/v3/{again.current_project_id}"
