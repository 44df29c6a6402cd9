# SPDX-License-Identifier: Apache-2.0
"""A private libvirtd for tests: own network, mount, UTS, PID and cgroup namespaces, own folders.

Everything it starts, guests included, dies with it, because they share its PID namespace. `tini`
is the first process there and buries dead guests at once; without it libvirt would wait for them.
Root only. The state folder is seen from inside and outside under the same path.

Several of them on one `Fabric` are compute hosts whose guests can move from one to the other.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ours
from tests.integration import leaks
from tests.integration.certificates import Authority

_START_WITHIN_S = 20.0
# Says a letter when it listens and one for each packet that has what it listens for.
_SPY = """
import socket, sys
secret = bytes.fromhex(sys.argv[1])
everything = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
print(end="l", flush=True)
while True:
    if secret in everything.recv(1 << 17):
        print(end="s", flush=True)
"""

_INIT = """
set -eu
hostname {name}
mount -t proc proc /proc
# libvirt starts no container where version 2 is beside the controllers of version 1: it would mount
# that one first, where nothing is yet.
controllers=$(for d in /sys/fs/cgroup/*/; do basename "$d"; done)
case $controllers in *memory*) controllers=$(echo "$controllers" | grep -v unified) ;; esac
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
# libvirtd looks for large pages when it starts.
mkdir -p {folder}/huge
mount -t hugetlbfs hugetlbfs {folder}/huge
ip link set lo up
# A host has an address; QEMU's SPICE finds no way to listen on loopback where it has IPv6 only.
ip addr add 192.0.2.1/32 dev lo
{network}
virtlogd -d -p {folder}/virtlogd.pid
exec libvirtd {listen} -p {folder}/libvirtd.pid
"""
# The fabric's switch puts the device in; libvirtd can listen only when its address is there.
_WAIT_FOR_DEVICE = """
until ip link show fab0 > /dev/null 2>&1; do sleep 0.01; done
ip address add {address}/24 dev fab0
ip link set fab0 up
"""

_LISTEN = """
listen_addr = "{address}"
listen_tcp = 1
auth_tcp = "none"
key_file = "{pki}/serverkey.pem"
cert_file = "{pki}/servercert.pem"
ca_file = "{pki}/cacert.pem"
"""
_TAKE_IN = """
migration_address = "{address}"
migration_host = "{address}"
migrate_tls_x509_cert_dir = "{pki}"
migrate_tls_x509_verify = 1
"""


class Fabric:
    """A switch that joins hosts to one another and to the tests, in a namespace of its own."""

    def __init__(self) -> None:
        self._tag = ours.note(f"kf{os.getpid() % 100000}")
        self._net = f"10.{64 + os.getpid() // 250 % 128}.{os.getpid() % 250}"
        self._hosts = 0
        self._folder = ours.folder("fabric")
        self._authority = Authority(self._folder)

    def start(self) -> None:
        """Make it, with the tests at its last address."""
        tag = self._tag
        _ip("netns", "add", tag)
        _ip("-n", tag, "link", "add", "switch", "type", "bridge")
        _ip("-n", tag, "link", "set", "switch", "up")
        _ip("link", "add", tag, "type", "veth", "peer", "name", "tests", "netns", tag)
        _ip("-n", tag, "link", "set", "tests", "master", "switch", "up")
        _ip("address", "add", f"{self._net}.254/24", "dev", tag)
        _ip("link", "set", tag, "up")

    def new_address(self) -> str:
        """An address for one more host."""
        self._hosts += 1
        return f"{self._net}.{self._hosts}"

    def certify(self, address: str, folder: Path) -> None:
        """Give a host a certificate that the others believe."""
        self._authority.issue(address, folder)

    def plug(self, address: str, process: int) -> None:
        """Give the network namespace of a process the device `fab0`."""
        port = "p" + address.rpartition(".")[2]
        peer = ("peer", "name", port, "netns", self._tag)
        _ip("link", "add", "fab0", "netns", str(process), "type", "veth", *peer)
        _ip("-n", self._tag, "link", "set", port, "master", "switch", "up")

    @contextlib.contextmanager
    def overhear(self, secret: bytes) -> Iterator[Callable[[], bool]]:
        """Listen to all that passes; the function says whether the secret did."""
        with tempfile.TemporaryFile() as heard:
            spy = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self._tag}", sys.executable, "-c", _SPY,
                 secret.hex()],
                stdout=heard,
            )  # fmt: skip
            try:
                _until(lambda: os.fstat(heard.fileno()).st_size > 0, "the spy listens")
                yield lambda: os.fstat(heard.fileno()).st_size > 1
            finally:
                spy.kill()
                spy.wait(20)

    def stop(self) -> None:
        """Remove it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        _ip("netns", "del", self._tag)


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=20)


class LibvirtHost:
    """One libvirtd; `uri` connects from outside its namespaces, `containers_uri` to its containers.

    On a fabric its name is its address there, at which it takes guests of others in.
    """

    def __init__(self, name: str = "testhost", fabric: Fabric | None = None) -> None:
        self.folder = ours.folder("virt")
        self.folder.chmod(0o755)
        self.fabric = fabric
        self.name = name if fabric is None else fabric.new_address()
        self.pki = self.folder / "pki"
        self.uri = f"qemu+unix:///system?socket={self.folder}/run/libvirt-sock"
        self.containers_uri = self.uri.replace("qemu", "lxc", 1)
        self._process: subprocess.Popen[bytes] | None = None
        for sub in ("run", "log", "cache", "lib/images", "lib/qemu", "guests"):
            (self.folder / sub).mkdir(parents=True)
        shutil.copytree("/etc/libvirt", self.folder / "etc")
        shutil.rmtree(self.folder / "etc" / "qemu", ignore_errors=True)
        (self.folder / "etc" / "qemu" / "networks").mkdir(parents=True)
        (self.folder / "etc" / "libvirtd.conf").write_text(
            f'host_uuid = "{uuid.uuid4()}"\nlisten_tls = {int(fabric is not None)}\n'
            'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_rw_perms = "0700"\n'
            + (_LISTEN.format(address=self.name, pki=self.pki) if fabric else "")
        )
        (self.folder / "etc" / "qemu.conf").write_text(
            'user = "root"\ngroup = "root"\ndynamic_ownership = 0\nremember_owner = 0\n'
            'security_driver = "none"\nnamespaces = []\n'
            + (_TAKE_IN.format(address=self.name, pki=self.pki) if fabric else "")
        )
        if fabric is not None:
            fabric.certify(self.name, self.pki)
        self._shares = self.folder / "guests" / "shares"
        (self.folder / "init").write_text(
            _INIT.format(
                name=f"host-{self.name.replace('.', '-')}" if fabric else name,
                folder=self.folder,
                network=_WAIT_FOR_DEVICE.format(address=self.name) if fabric else "",
                listen="--listen" if fabric else "",
            )
        )

    def start(self) -> None:
        """Start it and wait until it answers. Again: after `crash` only."""
        command = [
            "unshare", "--net", "--mount", "--propagation", "slave", "--uts", "--cgroup", "--pid",
            "--fork", "--kill-child=SIGKILL", "--", "tini", "-g", "--", "bash",
            str(self.folder / "init"),
        ]  # fmt: skip
        self._share_mounts()
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        if self.fabric is not None:
            self.fabric.plug(self.name, self._first_process())
        self._wait_until_it_answers()

    def _share_mounts(self) -> None:
        """Have libvirt see what is mounted where drivers mount shares, as `deploy/up` does."""
        if not self._are_shares_mounted():
            self._shares.mkdir(exist_ok=True)
            for how in (["--bind", self._shares], ["--make-private"], ["--make-shared"]):
                subprocess.run(["mount", *how, self._shares], check=True, timeout=20)

    def _are_shares_mounted(self) -> bool:
        asked = subprocess.run(["mountpoint", "--quiet", self._shares], timeout=20, check=False)
        return asked.returncode == 0

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

    @contextlib.contextmanager
    def background(self, *command: str) -> Iterator[None]:
        """Have a program run among the host's devices meanwhile."""
        target = str(self._first_process())
        running = subprocess.Popen(
            ["nsenter", "-t", target, "-m", "-u", "-n", "--", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            running.terminate()
            running.wait(20)

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
        _until(lambda: bool(children.read_text().split()), "it starts")
        return int(children.read_text().split()[0])

    def crash(self) -> None:
        """Kill the host with its guests; what is kept in memory alone is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)
            self._process = None
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        (self.folder / "run").mkdir()

    def stop(self) -> None:
        """Kill the host with its guests and remove its folder."""
        self.crash()
        if self._are_shares_mounted():
            subprocess.run(["umount", self._shares], check=True, timeout=20)
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
    try:
        with leaks.nothing_of(host):
            yield host
    finally:
        host.stop()
