# SPDX-License-Identifier: Apache-2.0
"""A stock client boots a real QEMU guest that has its address, its key and its metadata.

And a container beside it, on the host for such.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from deploy.bringup.paths import Paths
from tests.functional.rabbitmq import wait_until
from tests.integration.deployed import Deployed, deployed

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="deploy/up needs root"),
]
BOOT_S = 120  # emulated, on a machine that may be busy: five seconds when it is not


@pytest.fixture(scope="module", name="deployed")
def _deployed() -> Iterator[Deployed]:
    with deployed("--driver", "libvirt", "--driver", "lxc") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def user(deployed: Deployed) -> openstack.connection.Connection:
    return deployed.connect()


@pytest.fixture(scope="module")
def key(user: openstack.connection.Connection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = user.compute.create_keypair(name="mine")
    file: Path = tmp_path_factory.mktemp("key") / "key"
    file.write_text(made.private_key)
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def server(user: openstack.connection.Connection, key: Path) -> Any:
    made = user.create_server(
        "guest", flavor="m1.nano", image="guest", network="private", key_name="mine",
        meta={"colour": "blue"}, wait=True, timeout=60,
    )  # fmt: skip
    wait_for_console(user, made.id, "GUEST ready")
    return made


def console(user: openstack.connection.Connection, server: str) -> str:
    return str(user.compute.get_server_console_output(server)["output"])


def wait_for_console(
    user: openstack.connection.Connection, server: str, text: str, *, times: int = 1
) -> None:
    wait_until(
        lambda: console(user, server).count(text) >= times, f"the guest says {text}",
        timeout_s=BOOT_S,
    )  # fmt: skip


def ssh(
    deployed: Deployed, server: Any, key: Path, command: str
) -> subprocess.CompletedProcess[str]:
    namespace = Paths.below(str(deployed.prefix)).tag
    address = server.addresses["private"][0]["addr"]
    words = [
        "nsenter", f"--net=/run/netns/{namespace}", "ssh", "-i", key,
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", f"root@{address}", command,
    ]  # fmt: skip
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def test_the_guest_has_its_address_and_reads_its_metadata(user, server):
    said = console(user, server.id)

    address = server.addresses["private"][0]["addr"]
    assert re.search(rf"GUEST net=eth0 .*ip={re.escape(address)}/", said)
    assert "GUEST metadata=http" in said
    found = re.search(r"GUEST meta_data=(.*)", said)
    assert found is not None
    document = json.loads(found[1])
    assert document["uuid"] == server.id
    assert document["meta"] == {"colour": "blue"}


def test_the_guest_accepts_ssh_with_the_key(deployed, server, key):
    done = ssh(deployed, server, key, "hostname")

    assert done.stdout.strip() == "guest", done.stderr


def test_the_guest_boots_again_after_stop_and_start(user, server):
    user.compute.stop_server(server.id)
    user.compute.wait_for_server(server, status="SHUTOFF", wait=90, interval=0.5)
    user.compute.start_server(server.id)
    user.compute.wait_for_server(server, status="ACTIVE", wait=60, interval=0.5)

    wait_for_console(user, server.id, "GUEST ready", times=2)
    assert "boot=2" in console(user, server.id)


@pytest.fixture(scope="module")
def container(user: openstack.connection.Connection, key: Path) -> Any:
    made = user.create_server(
        "box", flavor="m1.nano", image="container", network="private", key_name="mine",
        wait=True, timeout=60,
    )  # fmt: skip
    wait_for_console(user, made.id, "GUEST ready")
    return made


def test_a_container_runs_on_the_host_for_such_and_a_machine_on_the_other(
    deployed, server, container
):
    admin = deployed.connect("kilonova-admin").compute

    hosts = [admin.get_server(each.id).compute_host for each in (server, container)]

    assert hosts[1] == f"{hosts[0]}-lxc"


def test_a_container_has_its_address_its_metadata_and_its_key(deployed, user, container, key):
    said = console(user, container.id)

    address = container.addresses["private"][0]["addr"]
    assert re.search(rf"GUEST net=eth0 .*ip={re.escape(address)}/", said)
    assert container.id in said
    done = ssh(deployed, container, key, "hostname")
    assert done.stdout.strip() == "box", done.stderr


def test_a_container_stops_starts_and_reboots_from_outside_and_inside(
    deployed, user, container, key
):
    user.compute.stop_server(container.id)
    user.compute.wait_for_server(container, status="SHUTOFF", wait=90, interval=0.2)
    wait_for_console(user, container.id, "GUEST shutdown")
    user.compute.start_server(container.id)
    wait_for_console(user, container.id, "GUEST ready", times=2)
    user.compute.wait_for_server(container, status="ACTIVE", wait=60, interval=0.2)

    user.compute.reboot_server(container.id, "SOFT")
    wait_for_console(user, container.id, "GUEST ready", times=3)
    user.compute.wait_for_server(container, status="ACTIVE", wait=60, interval=0.2)

    ssh(deployed, container, key, "reboot")
    wait_for_console(user, container.id, "GUEST ready", times=4)
    assert "boot=4" in console(user, container.id)


@pytest.mark.parametrize("kind", ["server", "container"])
def test_deletion_leaves_nothing(deployed, user, kind, request):
    gone = request.getfixturevalue(kind)

    user.delete_server(gone.id, wait=True, timeout=60)

    # libvirt's own log of the process stays, as libvirt means it to
    left = [*(deployed.prefix / "lib").rglob(f"*{gone.id}*")]
    if kind == "container":  # the links to its disks have short names
        left += (deployed.prefix / "lib" / "lxc" / "compute" / "l").iterdir()
    assert [str(each) for each in left if each.suffix != ".log"] == []
    assert [port.device_id for port in user.network.ports() if port.device_id == gone.id] == []
