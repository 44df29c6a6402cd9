# SPDX-License-Identifier: Apache-2.0
"""The EC2-style tree: `<version>/meta-data/…` as a guest of the EC2 metadata service expects it.

A folder is a dict, a file a text or a list of lines. A folder that has the key `_name` is listed
under that text: EC2 lists public keys so.
"""

from collections.abc import Sequence
from typing import Any

from common.guest_metadata.openstack_tree import TreeSettings, hostname
from common.objects.guest_metadata import GuestMetadata
from common.objects.instance import Instance

VERSIONS = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
    "2008-09-01", "2009-04-04",
)  # fmt: skip
LATEST = "latest"
# Versions that a config drive carries: what guests still read.
CONFIG_DRIVE_VERSIONS = ("2009-04-04", LATEST)
_LISTED_AS = "_name"


def resolve(version: str) -> str | None:
    """The version that `version` stands for; None when there is none."""
    if version == LATEST:
        return VERSIONS[-1]
    return version if version in VERSIONS else None


def meta_data(guest: GuestMetadata, version: str, settings: TreeSettings) -> dict[str, Any]:
    """The `meta-data` folder of a version."""
    dated = resolve(version) or ""
    instance = guest.instance
    name = hostname(guest, settings)
    tree: dict[str, Any] = {
        "ami-id": _image_name("ami", instance.image.id if instance.image else ""),
        "ami-launch-index": str(instance.launch_index),
        "ami-manifest-path": "FIXME",
        "instance-id": f"i-{instance.id:08x}",
        "hostname": name,
        "local-ipv4": _first_address(instance) or "",
        "reservation-id": instance.reservation_id,
        "security-groups": list(instance.security_groups),
    }
    if instance.keypair:
        tree["public-keys"] = {
            "0": {
                _LISTED_AS: f"0={instance.keypair.name}",
                "openssh-key": instance.keypair.public_key,
            }
        }
    if dated >= "2007-01-19":
        tree |= {"local-hostname": name, "public-hostname": name}
        tree["public-ipv4"] = _first_floating(instance) or ""
    if dated >= "2007-08-29":
        tree["instance-type"] = instance.flavor.name
    if dated >= "2007-12-15":
        tree["block-device-mapping"] = _block_devices(instance)
        for key, prefix, image_id in (
            ("kernel-id", "aki", instance.kernel_id),
            ("ramdisk-id", "ari", instance.ramdisk_id),
        ):
            if image_id:
                tree[key] = _image_name(prefix, image_id)
    if dated >= "2008-02-01":
        tree["placement"] = {"availability-zone": instance.availability_zone or ""}
    if dated >= "2008-09-01":
        tree["instance-action"] = "none"
    return tree


def lookup(tree: dict[str, Any], path: Sequence[str]) -> str | None:
    """What GET of `path` below the folder `tree` answers: a listing or a file; None: 404."""
    found: Any = tree
    for part in path:
        if not isinstance(found, dict) or part not in found or part == _LISTED_AS:
            return None
        found = found[part]
    if isinstance(found, dict):
        return "\n".join(
            sorted(_listed(key, value) for key, value in found.items() if key[0] != "_")
        )
    return "\n".join(found) if isinstance(found, list) else str(found)


def _listed(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get(_LISTED_AS) or f"{key}/")
    return key


def _image_name(prefix: str, image_id: str) -> str:
    """An EC2 id: EC2 knows numbers only, so the UUID's first 32 bits stand for the image."""
    return f"{prefix}-{image_id.replace('-', '')[:8]:0>8}"


def _first_address(instance: Instance) -> str | None:
    addresses = (ip.address for vif in instance.vifs for ip in vif.fixed_ips if ip.version == 4)
    return next(addresses, None)


def _first_floating(instance: Instance) -> str | None:
    return next((f for vif in instance.vifs for ip in vif.fixed_ips for f in ip.floating_ips), None)


def _block_devices(instance: Instance) -> dict[str, str]:
    root = instance.root_device_name
    if not root:
        return {"ami": "sda1", "ephemeral0": "sda2", "root": "/dev/sda1", "swap": "sda3"}
    mapping = {"ami": root.removeprefix("/dev/"), "root": root}
    stem, letter = root[:-1], ord(root[-1])
    if instance.flavor.ephemeral_gib:
        letter += 1
        mapping["ephemeral0"] = f"{stem}{chr(letter)}"
    if instance.flavor.swap_mib:
        letter += 1
        mapping["swap"] = f"{stem}{chr(letter)}"
    return mapping
