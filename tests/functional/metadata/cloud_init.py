# SPDX-License-Identifier: Apache-2.0
"""The real cloud-init, unpacked beside the system instead of installed into it.

Installed, it would act at the machine's next boot; tests only want its readers.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Reads as a guest's cloud-init does, and prints what it understood.
_READ = """
import json, sys
from cloudinit.sources.helpers import ec2, openstack
from cloudinit.sources.DataSourceConfigDrive import read_config_drive

def openstack_tree(url):
    return openstack.MetadataReader(url, timeout=10, retries=1).read_v2()

def ec2_tree(url):
    return {"metadata": ec2.get_instance_metadata("2009-04-04", url, timeout=10, retries=1)}

def plain(value):
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value

how, where = sys.argv[1:]
readers = {"openstack": openstack_tree, "ec2": ec2_tree, "drive": read_config_drive}
found = readers[how](where)
links = (found.get("networkdata") or {}).get("links", [])
if links:
    names = {link["ethernet_mac_address"].lower(): f"eth{i}" for i, link in enumerate(links)}
    found["network"] = openstack.convert_net_json(found["networkdata"], known_macs=names)
print(json.dumps(plain(found), default=str))
"""


class CloudInit:
    """cloud-init's readers, each run as a process of its own."""

    def __init__(self, packages: Path) -> None:
        self._packages = packages

    def read(self, how: str, where: object) -> dict:
        """What cloud-init makes of a metadata URL (`openstack`, `ec2`) or of a `drive`'s folder."""
        done = subprocess.run(
            [sys.executable, "-c", _READ, how, str(where)],
            env={**os.environ, "PYTHONPATH": str(self._packages)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def cloud_init(tmp_path_factory) -> CloudInit:
    folder = tmp_path_factory.mktemp("cloud-init")
    if not _downloaded(folder):
        # A machine that has installed nothing for long has no list of packages.
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, timeout=300, check=False)
        assert _downloaded(folder), "cloud-init cannot be fetched from Debian"
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", package, folder / "root"], timeout=60, check=True)
    return CloudInit(folder / "root/usr/lib/python3/dist-packages")


def _downloaded(folder: Path) -> bool:
    command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-q", "cloud-init"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    return done.returncode == 0
