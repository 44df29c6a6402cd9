# SPDX-License-Identifier: Apache-2.0
"""A user of a cloud of `deploy/up` gives a real guest a share of the companion.

The kernel of test machines has no NFS: `[volume] nfs_mount_options` has the daemon bind the
companion's folder in place of an NFS mount.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.bringup.paths import REPOSITORY, Paths
from services.compute.shares import find_virtiofsd
from tests.functional.rabbitmq import wait_until
from tests.integration.deployed import Deployed, deployed
from tests.integration.real_guest import BOOT_S, RealGuest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="deploy/up needs root"),
    pytest.mark.skipif(find_virtiofsd() is None, reason="needs virtiofsd"),
]


@pytest.fixture(scope="module")
def nas() -> Iterator[str]:
    """A server's name with which an export location is a path of this machine, from daemons' /."""
    name = f"nas{os.getpid()}.kilonova.invalid"
    path = Path(f"/{name}:")
    path.symlink_to("/")
    yield name
    path.unlink()


@pytest.fixture(scope="module")
def cloud(nas: str) -> Iterator[Deployed]:
    with deployed("--driver", "libvirt") as made:
        etc = Paths.below(str(made.prefix)).etc
        _add(etc / "kilonova.conf", "[volume]\nnfs_mount_options = bind\n")
        _add(etc / "companion.conf", f"[companion]\nnfs_server = {nas}\n")
        _restart(made, "companion", "compute")
        yield made


def _add(file: Path, lines: str) -> None:
    file.write_text(file.read_text() + "\n" + lines)


def _restart(cloud: Deployed, *names: str) -> None:
    """Kill daemons, which come back with the configuration that there is now."""
    before = {name: cloud.status()["daemons"][name]["pids"][0] for name in names}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def are_back() -> bool:
        now = json.loads(_status(cloud))["daemons"]
        return all(
            now[name]["healthy"] and now[name]["pids"][0] != pid for name, pid in before.items()
        )

    wait_until(are_back, f"{names} are back", timeout_s=60)


def _status(cloud: Deployed) -> str:
    """`status --json`, whether or not all is well."""
    command = [REPOSITORY / "deploy" / "status", "--prefix", cloud.prefix, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


class User:
    """The stock SDK at the microversions that have shares."""

    def __init__(self, cloud: Deployed) -> None:
        self.sdk = cloud.connect()

    def shares(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the share service; the answer's body."""
        return self._ask(self.sdk.shared_file_system, method, path, body, "2.65")

    def compute(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the compute service; the answer's body."""
        return self._ask(self.sdk.compute, method, path, body, "2.97")

    def _ask(self, service: Any, method: str, path: str, body: Any, version: str) -> Any:
        answer = service.request(path, method, json=body, microversion=version)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def user(cloud: Deployed) -> User:
    return User(cloud)


@pytest.fixture
def share(user: User) -> Iterator[str]:
    body = {"share": {"share_proto": "NFS", "size": 1, "name": "mine"}}
    made = user.shares("POST", "/shares", body)["share"]["id"]
    wait_until(
        lambda: user.shares("GET", f"/shares/{made}")["share"]["status"] == "available", "a share"
    )
    yield made
    user.shares("DELETE", f"/shares/{made}")


@pytest.fixture
def server(user: User) -> Any:
    made = user.sdk.create_server(
        "guest", flavor="m1.nano", image="guest", network="private", wait=True, timeout=180
    )
    user.sdk.compute.stop_server(made)
    return user.sdk.compute.wait_for_server(made, "SHUTOFF", wait=180)


def _guest(cloud: Deployed, server: Any) -> RealGuest:
    run = Paths.below(str(cloud.prefix)).run

    class Host:
        def run(self, virsh: str, *words: str) -> str:
            uri = f"qemu+unix:///system?socket={run}/libvirt/libvirt-sock"
            return subprocess.run(
                [virsh, "-c", uri, *words], capture_output=True, text=True, check=True, timeout=30
            ).stdout

    return RealGuest(Host(), None, SimpleNamespace(uuid=server.id))


def _is_up(guest: RealGuest) -> bool:
    """Whether its agent answers, which its console cannot tell from the start before."""
    try:
        return bool(guest.sh("echo yes") == "yes")
    except subprocess.CalledProcessError:
        return False


def _mounts(server: Any) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if server.id in line]


def test_a_guest_has_a_share_until_its_server_is_deleted(
    cloud: Deployed, user: User, share: str, server: Any
) -> None:
    folder = Paths.below(str(cloud.prefix)).state / "companion" / "shares" / share
    (folder / "greeting").write_text("hello from the share\n")
    guest = _guest(cloud, server)

    def status() -> str:
        path = f"/servers/{server.id}/shares/{share}"
        return str(user.compute("GET", path)["share"]["status"])

    body = {"share": {"share_id": share, "tag": "data"}}
    user.compute("POST", f"/servers/{server.id}/shares", body)
    wait_until(lambda: status() == "inactive", "it is attached", timeout_s=60)
    user.sdk.compute.start_server(server)
    wait_until(lambda: _is_up(guest), "the guest is up", timeout_s=BOOT_S)

    assert status() == "active"
    guest.sh("mkdir -p /mnt/share && mount -t virtiofs data /mnt/share")
    assert guest.sh("cat /mnt/share/greeting") == "hello from the share"
    guest.sh("echo hello from the guest > /mnt/share/answer && sync")
    assert (folder / "answer").read_text() == "hello from the guest\n"

    # an operator's host loses its daemon meanwhile; what it mounted is not forgotten
    _restart(cloud, "compute")
    user.sdk.delete_server(server.id, wait=True, timeout=60)
    wait_until(lambda: not _mounts(server), "nothing of it is mounted")
    assert (folder / "answer").exists()
