# SPDX-License-Identifier: Apache-2.0
"""A private libvirtd for tests: own network, mount, UTS, PID and cgroup namespaces, own folders.

Everything it starts, guests included, dies with it, because they share its PID namespace. `tini`
is the first process there and buries dead guests at once; without it libvirt would wait for them.
Root only. The state folder is seen from inside and outside under the same path.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

_START_WITHIN_S = 20.0

_INIT = """
set -eu
hostname {name}
mount --make-rprivate /
mount -t proc proc /proc
controllers=$(for d in /sys/fs/cgroup/*/; do basename "$d"; done)
# A fresh sysfs shows this network namespace's devices, but comes without cgroups.
mount -t sysfs sysfs /sys
mount -t tmpfs cgroup /sys/fs/cgroup
for c in $controllers; do
  mkdir "/sys/fs/cgroup/$c"
  case $c in
    unified) mount -t cgroup2 cgroup2 "/sys/fs/cgroup/$c" ;;
    systemd) mount -t cgroup -o none,name=systemd cgroup "/sys/fs/cgroup/$c" ;;
    *) mount -t cgroup -o "$c" cgroup "/sys/fs/cgroup/$c" ;;
  esac || rmdir "/sys/fs/cgroup/$c"
done
mkdir -p /run/libvirt /var/log/libvirt /var/cache/libvirt
mount --bind {folder}/etc /etc/libvirt
mount --bind {folder}/run /run/libvirt
mount --bind {folder}/lib /var/lib/libvirt
mount --bind {folder}/log /var/log/libvirt
mount --bind {folder}/cache /var/cache/libvirt
ip link set lo up
virtlogd -d -p {folder}/virtlogd.pid
exec libvirtd -p {folder}/libvirtd.pid
"""


class LibvirtHost:
    """One libvirtd; `uri` connects from outside its namespaces."""

    def __init__(self, name: str = "testhost") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kn-virt-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.name = name
        self.uri = f"qemu+unix:///system?socket={self.folder}/run/libvirt-sock"
        self._process: subprocess.Popen[bytes] | None = None
        for sub in ("run", "log", "cache", "lib/images", "lib/qemu", "guests"):
            (self.folder / sub).mkdir(parents=True)
        shutil.copytree("/etc/libvirt", self.folder / "etc")
        shutil.rmtree(self.folder / "etc" / "qemu", ignore_errors=True)
        (self.folder / "etc" / "qemu" / "networks").mkdir(parents=True)
        (self.folder / "etc" / "libvirtd.conf").write_text(
            f'host_uuid = "{uuid.uuid4()}"\nlisten_tls = 0\nauth_unix_rw = "none"\n'
            'auth_unix_ro = "none"\nunix_sock_rw_perms = "0700"\n'
        )
        (self.folder / "etc" / "qemu.conf").write_text(
            'user = "root"\ngroup = "root"\ndynamic_ownership = 0\nremember_owner = 0\n'
            'security_driver = "none"\nnamespaces = []\n'
        )
        (self.folder / "init").write_text(_INIT.format(name=name, folder=self.folder))

    def start(self) -> None:
        """Start it and wait until it answers. Again: after `kill_libvirtd` only."""
        command = [
            "unshare", "--net", "--mount", "--uts", "--cgroup", "--pid", "--fork",
            "--kill-child=SIGKILL", "--", "tini", "-g", "--", "bash", str(self.folder / "init"),
        ]  # fmt: skip
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < deadline:
            asked = subprocess.run(
                ["virsh", "-c", self.uri, "version"], capture_output=True, timeout=20, check=False
            )
            if asked.returncode == 0:
                return
            time.sleep(0.05)
        said = (self.folder / "out").read_text() + asked.stderr.decode()
        self.stop()
        raise RuntimeError(f"libvirtd does not answer: {said[-2000:]}")

    def run(self, *command: str) -> str:
        """Run a command among the host's devices and processes; its output."""
        first = self._first_process()
        done = subprocess.run(
            ["nsenter", "-t", str(first), "-m", "-u", "-n", "-p", "--", *command],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        return done.stdout

    def add_bridge(self, name: str) -> None:
        """Make a bridge, as a network service would."""
        self.run("ip", "link", "add", name, "type", "bridge")
        self.run("ip", "link", "set", name, "up")

    def remove_bridge(self, name: str) -> None:
        """Remove it."""
        self.run("ip", "link", "del", name)

    def _first_process(self) -> int:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])

    def stop(self) -> None:
        """Kill the host with its guests and remove its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def libvirt_host() -> Iterator[LibvirtHost]:
    """A libvirtd for all tests of a run."""
    if os.getuid() != 0:
        pytest.skip("a private libvirtd needs root")
    for program in ("libvirtd", "tini", "qemu-system-x86_64"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    host = LibvirtHost()
    host.start()
    yield host
    host.stop()
