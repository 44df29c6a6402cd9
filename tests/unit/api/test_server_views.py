# SPDX-License-Identifier: Apache-2.0
"""How a server is shown."""

import pytest

from common.objects.block_device import BlockDeviceMapping
from tests import factories
from tests.unit.api import conductor


@pytest.fixture
def shown(ask_with):
    def show(version: int = 104, **fields):
        servers = conductor.MemoryServers()
        servers.instance = factories.make_instance(**fields)
        path = f"/v2.1/servers/{factories.INSTANCE}"
        return ask_with(servers=servers)("GET", path, version=version).json["server"]

    return show


def test_an_ipv6_address_is_shown_in_its_short_form(shown):
    long = "0000:0000:0000:0000:0000:babe:220.12.22.2"

    assert shown(access_ip_v6=long)["accessIPv6"] == "::babe:dc0c:1602"
    assert shown(access_ip_v6=None)["accessIPv6"] == ""


@pytest.mark.parametrize("version", [1, 104])
def test_a_server_that_boots_from_a_volume_shows_no_image(shown, version):
    root = BlockDeviceMapping(uuid="r", source="image", destination="volume", volume_id="v")

    assert shown(version, block_devices=(root,))["image"] == ""
    assert shown(version)["image"]["id"] == factories.IMAGE


def test_volumes_are_listed_and_from_2_3_on_with_their_end(shown):
    disks = (
        BlockDeviceMapping(uuid="r"),
        BlockDeviceMapping(uuid="d", destination="volume", boot_index=None, volume_id="v"),
    )
    name = "os-extended-volumes:volumes_attached"

    assert shown(2, block_devices=disks)[name] == [{"id": "v"}]
    assert shown(3, block_devices=disks)[name] == [{"id": "v", "delete_on_termination": True}]


def test_a_server_whose_group_is_gone_is_in_none_and_keeps_its_hints(shown):
    hints = {"group": factories.IMAGE}

    member = shown(scheduler_hints=hints, server_group=factories.IMAGE)
    left = shown(scheduler_hints=hints)

    assert (member["server_groups"], member["scheduler_hints"]) == ([factories.IMAGE], hints)
    assert (left["server_groups"], left["scheduler_hints"]) == ([], hints)
