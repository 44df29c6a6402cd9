# SPDX-License-Identifier: Apache-2.0
"""The stock openstacksdk reads and changes what it knows of compute."""

from collections.abc import Callable

import pytest

from tests.conformance.world import World
from tests.functional.cloud import Cloud, wait_for_status


@pytest.fixture(scope="module")
def world(cloud: Cloud) -> World:
    return World(cloud)


READS: dict[str, Callable[[World], object]] = {
    "flavors": lambda w: [f.extra_specs for f in w.sdk.compute.flavors(get_extra_specs=True)],
    "find_flavor": lambda w: w.sdk.compute.find_flavor("tiny").id == "1",
    "servers": lambda w: w.kept in [s.id for s in w.sdk.compute.servers(all_projects=True)],
    "server": lambda w: w.sdk.compute.get_server(w.kept).flavor.name == "tiny",
    "find_server": lambda w: w.sdk.compute.find_server("kept").id == w.kept,
    "server_ips": lambda w: list(w.sdk.compute.server_ips(w.kept)),
    "server_metadata": lambda w: w.sdk.compute.get_server_metadata(w.kept).metadata,
    "server_tags": lambda w: w.sdk.compute.get_server(w.kept).fetch_tags(w.sdk.compute).tags,
    "server_actions": lambda w: [a.action for a in w.sdk.compute.server_actions(w.kept)],
    "console": lambda w: w.sdk.compute.get_server_console_output(w.kept, 5)["output"],
    "keypairs": lambda w: w.keypair() in [k.name for k in w.sdk.compute.keypairs()],
    "limits": lambda w: w.sdk.compute.get_limits().absolute.instances,
    "services": lambda w: {s.binary for s in w.sdk.compute.services()} > {"nova-compute"},
    "hypervisors": lambda w: [h.name for h in w.sdk.compute.hypervisors(details=True)],
    "zones": lambda w: [z.name for z in w.sdk.compute.availability_zones(details=True)],
    "quota_set": lambda w: w.sdk.compute.get_quota_set(w.project_id, usage=True).instances,
    "extensions": lambda w: list(w.sdk.compute.extensions()),
}


@pytest.mark.parametrize("name", READS)
def test_what_there_is_can_be_read(world: World, name: str):
    assert READS[name](world)


def test_a_server_lives_and_dies(world: World):
    compute = world.sdk.compute
    server = compute.create_server(
        name="lives", flavor_id="1", image_id=world.image, networks="none", metadata={"a": "b"}
    )
    server = compute.wait_for_server(server, interval=0.1, wait=30)
    compute.set_server_metadata(server, c="d")
    compute.add_tag_to_server(server, "t")
    compute.update_server(server, name="still-lives")
    for change, status in (
        (compute.stop_server, "SHUTOFF"), (compute.start_server, "ACTIVE"),
        (compute.pause_server, "PAUSED"), (compute.unpause_server, "ACTIVE"),
        (compute.suspend_server, "SUSPENDED"), (compute.resume_server, "ACTIVE"),
        (compute.rescue_server, "RESCUE"), (compute.unrescue_server, "ACTIVE"),
    ):  # fmt: skip
        change(server)
        wait_for_status(world.sdk, server.id, status)
    compute.lock_server(server, locked_reason="mine")
    assert compute.get_server(server).is_locked
    compute.unlock_server(server)
    shown = compute.get_server(server)
    assert (shown.name, shown.metadata) == ("still-lives", {"a": "b", "c": "d"})

    compute.delete_server(server)

    compute.wait_for_delete(server, interval=0.1, wait=30)
