# SPDX-License-Identifier: Apache-2.0
"""Instances for compute tests: valid by default, a test names what matters to it."""

import uuid
from datetime import UTC, datetime

from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.network import FixedIp, VirtualInterface

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
TINY = Flavor(flavorid="1", name="tiny", vcpus=1, memory_mib=32, root_gib=1)
IMAGE = ImageMeta(id="5d5ad9ea-5d37-4a3b-8bd5-7d7ea6b7a3c1", name="guest", disk_format="raw")


def make_instance(**values):
    """An instance that is being built from IMAGE, without network."""
    return Instance(
        **{
            "uuid": str(uuid.uuid4()),
            "id": 7,
            "project_id": "11111111111111111111111111111111",
            "user_id": "22222222222222222222222222222222",
            "name": "web",
            "hostname": "web",
            "vm_state": "building",
            "flavor": TINY,
            "image": IMAGE,
            "availability_zone": "nova",
            "reservation_id": "r-abcdefgh",
            "created_at": NOON,
            **values,
        }
    )


def make_vif(**values):
    """A port bound to a bridge, with one IPv4 address by DHCP."""
    return VirtualInterface(
        **{
            "port_id": "3f0d3d8e-6a5c-4fd2-9a53-2c4c70f0a111",
            "network_id": "9e9b7a5e-2a35-4b0b-9a35-1c8a6a2f3222",
            "mac": "fa:16:3e:00:00:01",
            "vif_type": "bridge",
            "device": "tap3f0d3d8e-6a",
            "bridge": "br-test",
            "mtu": 1450,
            "fixed_ips": (
                FixedIp(
                    address="10.0.0.5",
                    cidr="10.0.0.0/24",
                    gateway="10.0.0.1",
                    dns=("8.8.8.8",),
                ),
            ),
            **values,
        }
    )
