# SPDX-License-Identifier: Apache-2.0
"""libvirt: the system's own with systemd, else one of ours in a network namespace of its own."""

import shutil
import time
import uuid
from pathlib import Path

from deploy.bringup.commands import run, succeeds
from deploy.bringup.failures import Failed
from deploy.bringup.paths import Paths, write
from deploy.bringup.program import Program, revision_of

_INSIDE = Path(__file__).resolve().parents[1] / "libvirt" / "inside"
_NAMESPACES = Path("/run/netns")
_GUEST_PREFIX = "kilonova-"
_ENDED_WITHIN_S = 20


class Libvirt:
    """The private libvirtd's files and program; `namespace` empty: the system's libvirtd."""

    def __init__(self, paths: Paths, namespace: str) -> None:
        self._paths, self._namespace = paths, namespace
        self._state = paths.state / "libvirt"
        self._run = paths.run / "libvirt"
        self._etc = self._state / "etc"
        self.uri = (
            f"qemu+unix:///system?socket={self._run}/libvirt-sock"
            if namespace
            else "qemu:///system"
        )
        self.containers_uri = self.uri.replace("qemu", "lxc", 1)

    @property
    def is_private(self) -> bool:
        """Whether it is one of our own."""
        return bool(self._namespace)

    def prepare(self) -> None:
        """Write its configuration and make its namespace; the system's own is only started.

        Again: what is there stays.
        """
        if not self.is_private:
            run("systemctl", "start", "libvirtd.service")
            return
        for folder in ("lib/images", "lib/qemu", "log", "cache", "etc/qemu/networks"):
            (self._state / folder).mkdir(parents=True, exist_ok=True)
        self._run.mkdir(parents=True, exist_ok=True)
        if Path("/etc/libvirt/nwfilter").is_dir():
            shutil.copytree("/etc/libvirt/nwfilter", self._etc / "nwfilter", dirs_exist_ok=True)
        host_uuid = self._state / "host_uuid"
        if not host_uuid.exists():
            write(host_uuid, str(uuid.uuid4()))
        write(
            self._etc / "libvirtd.conf",
            f'host_uuid = "{host_uuid.read_text()}"\nlisten_tls = 0\n'
            'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_rw_perms = "0700"\n',
        )
        # No other user and no security driver: the machine may have none that works, and nobody
        # but root reaches the folder.
        write(
            self._etc / "qemu.conf",
            'user = "root"\ngroup = "root"\ndynamic_ownership = 0\nremember_owner = 0\n'
            'security_driver = "none"\nnamespaces = []\n',
        )
        for folder in ("compute/shares", "mnt"):
            _hand_on(self._paths.state / folder)
        write(self._etc / "lxc.conf", 'security_driver = "none"\n')
        write(self._etc / "virtlogd.conf", "max_size = 1048576\nmax_backups = 1\n")
        if not (_NAMESPACES / self._namespace).exists():
            run("ip", "netns", "add", self._namespace)
        run("ip", "-n", self._namespace, "link", "set", "lo", "up")

    def program(self) -> Program:
        """libvirtd below its namespaces. Guests outlive it, and it finds them again."""
        return Program(
            name="libvirt",
            command=(
                "nsenter", f"--net={_NAMESPACES / self._namespace}",
                str(_INSIDE), str(self._state), str(self._run), self._paths.tag,
            ),
            log=str(self._paths.log / "libvirt.log"),
            ends_descendants=False,
            revision=revision_of(
                _INSIDE, *(self._etc / f"{name}.conf" for name in ("libvirtd", "qemu", "lxc"))
            ),
        )  # fmt: skip

    def health(self) -> str:
        """What is wrong; empty when it answers."""
        answers = succeeds("virsh", "-c", self.uri, "version")
        return "" if answers else "does not answer"

    def stop_guests(self) -> None:
        """Cut the power of every guest of ours; a libvirtd of the machine's may have others."""
        for uri in (self.uri, self.containers_uri):
            for name in self._guests(uri, "--state-running", "--state-paused"):
                succeeds("virsh", "-c", uri, "destroy", name)

    def forget_guests(self) -> None:
        """Remove their definitions from a libvirtd that stays."""
        if self.is_private:
            return
        for uri, options in ((self.uri, ("--managed-save", "--nvram")), (self.containers_uri, ())):
            for name in self._guests(uri, "--all"):
                succeeds("virsh", "-c", uri, "undefine", *options, name)

    def _guests(self, uri: str, *which: str) -> list[str]:
        if not succeeds("virsh", "-c", uri, "version"):
            return []
        names = run("virsh", "-c", uri, "list", "--name", *which).split()
        return [name for name in names if name.startswith(_GUEST_PREFIX)]

    def end_log_daemon(self) -> None:
        """virtlogd outlives libvirtd, as guests write to it; this ends it."""
        if self.is_private:
            succeeds("pkill", "-F", str(self._run / "virtlogd.pid"))

    def remove(self) -> None:
        """Remove what lives outside the cloud's folders: namespace and cgroups."""
        if not self.is_private:
            return
        if (_NAMESPACES / self._namespace).exists():
            run("ip", "netns", "del", self._namespace)
        for group in Path("/sys/fs/cgroup").glob(f"*/{self._paths.tag}"):
            _remove_cgroup(group)


def _hand_on(folder: Path) -> None:
    """Have mounts that are made below the folder appear in namespaces that follow this one.

    Only of it: what else is mounted on the machine stays as private as it was. Again: it is so.
    """
    if not succeeds("mountpoint", "--quiet", str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(folder), str(folder))
        # or it would be in the group of the mount that it lies on
        run("mount", "--make-private", str(folder))
        run("mount", "--make-shared", str(folder))


def _remove_cgroup(group: Path) -> None:
    """Remove it with all below, when its last process has ended, which was told to just now."""
    deadline = time.monotonic() + _ENDED_WITHIN_S
    while group.exists():
        try:
            for folder in sorted(group.rglob("*"), reverse=True):
                if folder.is_dir():
                    folder.rmdir()
            group.rmdir()
        except OSError as busy:
            if time.monotonic() > deadline:
                raise Failed(f"The cgroup {group} is still in use: {busy}") from busy
            time.sleep(0.05)
