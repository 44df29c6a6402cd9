# SPDX-License-Identifier: Apache-2.0
"""Root file systems of containers: busybox, and a script as the first process."""

import shutil
import struct
import subprocess
from pathlib import Path

from common.errors import ImageNotFound

UP = "container is up"
# Says what it sees, gets an address if it has an interface, and ends when it is told to.
INIT = """#!/bin/sh
trap 'echo going down; exit 0' TERM
echo "{up}"
echo "boot $(cat /boots 2>/dev/null)"
echo boot >> /boots
sync
hostname
echo "size $(df -m / | awk 'END {{print $2}}')"
test -e /var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json && echo has config
test -d /mnt/ephemeral0 && df -m /mnt/ephemeral0 | awk 'END {{print "ephemeral " $2}}'
if ip link show eth0 > /dev/null 2>&1; then
  ip link set eth0 up
  udhcpc -i eth0 -f -q -n -t 10 -s /lease || echo no lease
  echo "metadata $(timeout 5 wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json)"
fi
test -x /then && . /then
echo idle
while :; do sleep 0.2; done
"""
_LEASE = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
echo "address $ip"
set -- $router
[ -n "$1" ] && ip route add default via $1
"""
_MIB = 1 << 20
_SECTOR = 512


def make_root(folder: Path, *, then: str = "", init: str = INIT) -> Path:
    """A folder with all that a container needs. `then`: what its init does when it is up."""
    root = folder / "root"
    for name in ("bin", "sbin", "lib64", "dev", "proc", "sys", "tmp", "mnt", "var"):
        (root / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, root / "bin/busybox")
    for line in _out("ldd", busybox).splitlines():
        for word in line.split():
            if word.startswith("/"):
                target = root / word.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, target)
    for name in _out(busybox, "--list").split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("/bin/busybox")
    scripts = {"sbin/init": init.format(up=UP) if init == INIT else init, "lease": _LEASE}
    if then:
        scripts["then"] = then
    for name, text in scripts.items():
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    return root


def make_image(root: Path, path: Path, size_mib: int = 16) -> Path:
    """An ext4 file system with what is in `root`."""
    with path.open("wb") as file:
        file.truncate(size_mib * _MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, path], check=True)
    return path


def partitioned(image: Path, path: Path) -> Path:
    """A disk with an empty partition, and one that has `image`."""
    content = image.read_bytes()

    def entry(start: int, size: int) -> bytes:
        return struct.pack("<B3sB3sII", 0, bytes(3), 0x83, bytes(3), start, size // _SECTOR)

    table = entry(2048, _MIB) + entry(4096, len(content))
    with path.open("wb") as disk:
        disk.seek(446)
        disk.write(table.ljust(64, b"\0") + b"\x55\xaa")
        disk.seek(4096 * _SECTOR)
        disk.write(content)
    return path


def as_qcow2(image: Path, path: Path) -> Path:
    """The same disk in another format."""
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, path], check=True)
    return path


class Images:
    """An image service with the images in `files`, by id."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files

    def download(self, image_id: str):
        if image_id not in self.files:
            raise ImageNotFound(image=image_id)
        yield self.files[image_id].read_bytes()


def _out(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
