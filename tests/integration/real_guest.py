# SPDX-License-Identifier: Apache-2.0
"""Real Linux guests for drivers' tests, and words with them through their agent."""

import base64
import fcntl
import json
import shutil
import subprocess
import time
from pathlib import Path

from deploy.bringup import guest_image
from deploy.bringup.paths import REPOSITORY

_KEPT = REPOSITORY / "var" / "guest"
# Emulated, on a machine that may be busy: six seconds when it is not.
BOOT_S = 150
_SAY_S = 30


def image() -> Path:
    """A qcow2 image that boots; built once and kept beside the sources."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    with (_KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        guest_image.ensure(_KEPT)
    return guest_image.file(_KEPT)


def uefi_image() -> Path:
    """The same image with signed boot loaders, so that UEFI boots it too; built once for each."""
    legacy = image()
    with (_KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = _KEPT / "uefi.qcow2"
        if not made.exists() or made.stat().st_mtime < legacy.stat().st_mtime:
            build = REPOSITORY / "deploy" / "guest" / "build-image"
            fresh = _KEPT / "fresh.qcow2"
            subprocess.run(
                [build, "--uefi", "--cache", _KEPT / "packages", fresh], check=True, timeout=600
            )
            fresh.replace(made)
    return made


def raw_disk(target: Path, *, root: str | None = None) -> Path:
    """The image as a raw disk; `root`: its kernel is told which disk to take, such as /dev/sda2."""
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image(), target], check=True)
    if root is not None:
        boot = f"{target}@@1M"  # where its boot partition begins
        config = target.with_suffix(".cfg")
        subprocess.run(["mcopy", "-o", "-i", boot, "::syslinux.cfg", config], check=True)
        config.write_text(config.read_text().replace("APPEND ", f"APPEND root={root} "))
        subprocess.run(["mcopy", "-o", "-i", boot, config, "::syslinux.cfg"], check=True)
        config.unlink()
    return target


class RealGuest:
    """A guest of `image`, on a private libvirtd."""

    def __init__(self, host, driver, instance):
        self._host = host
        self._driver = driver
        self._instance = instance

    def console(self):
        """All that it said on its serial port."""
        return self._driver.console_output(self._instance.uuid, tail_bytes=1 << 20)

    def wait_for(self, text, *, times=1, within_s=BOOT_S):
        """Return when it has said `text` on its serial port so often."""
        deadline = time.monotonic() + within_s
        while self.console().count(text) < times:
            said = self.console()[-2000:]
            assert time.monotonic() < deadline, f"the guest does not say {text!r}: {said}"
            time.sleep(0.2)

    def wait_ready(self, *, boots=1):
        """Return when it has booted so often."""
        self.wait_for("GUEST ready", times=boots)

    def sh(self, command):
        """What a shell in the guest prints; its errors are the test's."""
        started = self._agent(
            "guest-exec", path="/bin/sh", arg=["-c", command], **{"capture-output": True}
        )
        deadline = time.monotonic() + _SAY_S
        while not (status := self._agent("guest-exec-status", pid=started["pid"]))["exited"]:
            assert time.monotonic() < deadline, f"{command} does not end"
            time.sleep(0.05)
        said = base64.b64decode(status.get("out-data", "")).decode()
        errors = base64.b64decode(status.get("err-data", "")).decode()
        assert status["exitcode"] == 0, f"{command}: {said}{errors}"
        return said.strip()

    def disks(self):
        """The disks that it sees, by name: (bytes, serial number)."""
        shown = self.sh(
            "for d in /sys/block/[vs]d*; do "
            'echo "${d##*/} $(cat $d/size) $(cat $d/serial 2>/dev/null)"; done'
        )
        found = {}
        for line in shown.splitlines():
            name, sectors, *serial = line.split()
            found[name] = (int(sectors) * 512, serial[0] if serial else "")
        return found

    def wait_until(self, condition, *, within_s=30):
        """Return when `condition` holds, which may ask the guest."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"it did not come true; disks: {self.disks()}"
            time.sleep(0.2)

    def _agent(self, command, **arguments):
        request = json.dumps({"execute": command, "arguments": arguments})
        name = f"kilonova-{self._instance.uuid}"
        return json.loads(self._host.run("virsh", "qemu-agent-command", name, request))["return"]


missing = [
    program
    for program in ("cpio", "mcopy", "syslinux", "mke2fs", "qemu-img")
    if shutil.which(program) is None
]
