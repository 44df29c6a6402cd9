# SPDX-License-Identifier: Apache-2.0
"""A stock client boots a real QEMU guest that has its address, its key and its metadata."""

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
    with deployed("--driver", "libvirt") as cloud:
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
    namespace = Paths.below(str(deployed.prefix)).tag
    address = server.addresses["private"][0]["addr"]
    command = [
        "nsenter", f"--net=/run/netns/{namespace}", "ssh", "-i", key,
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", f"root@{address}", "hostname",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout.strip() == "guest", done.stderr


def test_the_guest_boots_again_after_stop_and_start(user, server):
    user.compute.stop_server(server.id)
    user.compute.wait_for_server(server, status="SHUTOFF", wait=90, interval=0.5)
    user.compute.start_server(server.id)
    user.compute.wait_for_server(server, status="ACTIVE", wait=60, interval=0.5)

    wait_for_console(user, server.id, "GUEST ready", times=2)
    assert "boot=2" in console(user, server.id)


def test_deletion_leaves_nothing(deployed, user, server):
    user.delete_server(server.id, wait=True, timeout=60)

    # libvirt's own log of the QEMU process stays, as libvirt means it to
    left = (deployed.prefix / "lib").rglob(f"*{server.id}*")
    assert [str(each) for each in left if each.suffix != ".log"] == []
    assert [port.device_id for port in user.network.ports() if port.device_id == server.id] == []
