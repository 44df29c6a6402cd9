# SPDX-License-Identifier: Apache-2.0
"""Debian packages that a cloud, or the tests, need."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.bringup.commands import run
from deploy.bringup.failures import Failed

BASE = (
    "python3", "python3-venv", "postgresql", "rabbitmq-server", "iproute2", "procps", "util-linux",
    # volumes are made of images of any format, and images of volumes
    "qemu-utils",
)  # fmt: skip
LIBVIRT = (
    "qemu-system-x86", "libvirt-daemon-system", "libvirt-clients", "dnsmasq-base",
    # containers, and what works on their disks
    "libvirt-daemon-driver-lxc", "e2fsprogs",
    "nftables", "genisoimage", "openssh-client",
    # guests with UEFI and with a TPM
    "ovmf", "swtpm", "swtpm-tools",
    # their screens in browsers
    "novnc", "spice-html5",
    # the Python binding is compiled
    "libvirt-dev", "python3-dev", "gcc", "pkg-config",
    # the guest image
    "cpio", "mtools", "syslinux", "syslinux-common", "kmod",
)  # fmt: skip
SYSTEMD = ("logrotate",)
TESTS = (
    "git", "systemd", "tini", "iputils-ping", "busybox", "openssl", "chromium", "chromium-driver",
)  # fmt: skip

_POLICY = Path("/usr/sbin/policy-rc.d")
_DENY = "#!/bin/sh\n# for the time of kilonova's deploy/up: start no service\nexit 101\n"


def missing(packages: Sequence[str]) -> list[str]:
    """Those of the packages that are not installed."""
    if shutil.which("dpkg-query") is None:
        raise Failed("This is no Debian: there is no dpkg. kilonova's deploy/up needs Debian 12.")
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    installed = {
        line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")
    }
    return [package for package in packages if package not in installed]


def install(packages: Sequence[str]) -> list[str]:
    """Install what is missing; the names of what was. Raises: Failed.

    Services of the packages are not started: the cloud runs its own.
    """
    wanted = missing(packages)
    if not wanted:
        return []
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        refresh()
        run("apt-get", "install", "-qy", "--no-install-recommends", *wanted,
            timeout_s=1200, env=environment)  # fmt: skip
    return wanted


def refresh() -> None:
    """Let apt learn what its mirrors have now."""
    run("apt-get", "update", "-q", timeout_s=300)


def disable_services(installed: Sequence[str]) -> None:
    """Keep services that came with our packages from starting at boot: the cloud has its own."""
    for package in set(installed) & {"postgresql", "rabbitmq-server"}:
        run("systemctl", "disable", "-q", package)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """invoke-rc.d asks this file; somebody else's is left as it is."""
    if _POLICY.exists() and _POLICY.read_text() != _DENY:
        yield
        return
    _POLICY.write_text(_DENY)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
