# SPDX-License-Identifier: Apache-2.0
"""Objects that are valid by default: a test names only what matters to it."""

from datetime import UTC, datetime
from typing import Any

from common.objects.action import ActionEvent, InstanceAction
from common.objects.compute_node import ComputeNode, HostReport
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.keypair import Keypair
from common.objects.network import FixedIp, VirtualInterface
from common.objects.resources import Resources
from common.objects.service import Service

NOW = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
INSTANCE = "11111111-1111-4111-8111-111111111111"
IMAGE = "22222222-2222-4222-8222-222222222222"
HOST = "33333333-3333-4333-8333-333333333333"
PROJECT = "0123456789abcdef0123456789abcdef"
USER = "fedcba9876543210fedcba9876543210"


def make_flavor(**changes: Any) -> Flavor:
    """m1.tiny."""
    fields = {
        "flavorid": "1", "name": "m1.tiny", "vcpus": 1, "memory_mib": 512, "root_gib": 1,
        "extra_specs": {"hw:numa_nodes": "1"},
    }  # fmt: skip
    return Flavor(**fields | changes)


def make_instance(**changes: Any) -> Instance:
    """A server that runs on `host1` with one address."""
    vif = VirtualInterface(
        port_id="44444444-4444-4444-8444-444444444444",
        network_id="55555555-5555-4555-8555-555555555555",
        network_label="private",
        mac="fa:16:3e:00:00:01",
        fixed_ips=(FixedIp(address="10.0.0.5"),),
    )
    fields = {
        "uuid": INSTANCE, "id": 7, "project_id": PROJECT, "user_id": USER, "name": "server",
        "hostname": "server", "vm_state": "active", "power_state": 1, "flavor": make_flavor(),
        "image": ImageMeta(id=IMAGE, properties={"hw_disk_bus": "virtio"}), "host": "host1",
        "node": "host1", "availability_zone": "nova", "vifs": (vif,), "metadata": {"a": "b"},
        "security_groups": ("default",), "created_at": NOW, "updated_at": NOW,
        "launched_at": NOW, "host_status": "UP", "tags": ("t",),
    }  # fmt: skip
    return Instance(**fields | changes)


def make_service(**changes: Any) -> Service:
    """nova-compute of host1, up."""
    fields = {
        "id": 1, "uuid": HOST, "host": "host1", "binary": "nova-compute", "is_up": True,
        "last_seen_at": NOW, "availability_zone": "nova", "created_at": NOW,
    }  # fmt: skip
    return Service(**fields | changes)


def make_node(**changes: Any) -> ComputeNode:
    """The hypervisor of host1."""
    report = HostReport(
        uuid=HOST, host="host1", node="host1", rpc_server="host1", hypervisor_type="QEMU",
        hypervisor_version=7002022, total=Resources(vcpus=8, memory_mib=16384, disk_gib=100),
        cpu_info={"arch": "x86_64"}, uptime="up 1 day",
    )  # fmt: skip
    fields = {
        "id": 1, "report": report, "service_id": 1, "service_uuid": HOST, "is_up": True,
        "created_at": NOW,
    }  # fmt: skip
    return ComputeNode(**fields | changes)


def make_keypair(**changes: Any) -> Keypair:
    """An ssh key of the default user."""
    fields = {
        "id": 1, "user_id": USER, "name": "mine", "fingerprint": "aa:bb",
        "public_key": "ssh-ed25519 AAAA", "created_at": NOW,
    }  # fmt: skip
    return Keypair(**fields | changes)


def make_action(**changes: Any) -> InstanceAction:
    """The create of the default instance, done."""
    event = ActionEvent(
        event="compute__do_build_and_run_instance", start_time=NOW, finish_time=NOW,
        result="Success", host="host1",
    )  # fmt: skip
    fields = {
        "action": "create", "instance_uuid": INSTANCE,
        "request_id": "req-66666666-6666-4666-8666-666666666666", "user_id": USER,
        "project_id": PROJECT, "start_time": NOW, "updated_at": NOW, "events": (event,),
    }  # fmt: skip
    return InstanceAction(**fields | changes)
