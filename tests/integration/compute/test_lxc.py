# SPDX-License-Identifier: Apache-2.0
"""Containers on a real libvirtd: the drivers' contract, and moves between two hosts."""

import pytest

pytest.importorskip("libvirt")

from common.states import PowerState
from services.compute.virt.libvirt.settings import MigrationSettings
from tests.contracts.drivers.contract import DriverContract
from tests.contracts.drivers.instances import make_vif
from tests.contracts.drivers.moves import ColdMoveContract, Site
from tests.integration.compute.container_host import *  # noqa: F403

pytestmark = pytest.mark.integration


class TestContainerDriver(DriverContract):
    lacking = frozenset(("suspend", "rescue", "crash_dump", "consoles", "disk_counters"))
    held = PowerState.RUNNING

    @pytest.fixture
    def driver(self, make_containers, changes):
        driver = make_containers()
        driver.start(changes.append)
        return driver

    @pytest.fixture
    def another_run(self, make_containers):
        driver = make_containers()
        driver.start(lambda _: None)
        return driver

    @pytest.fixture
    def vif(self, libvirt_host):
        libvirt_host.add_bridge("br-test")
        yield make_vif()
        libvirt_host.remove_bridge("br-test")


class TestContainersMove(ColdMoveContract):
    """Between two hosts, by libvirt's streams."""

    @pytest.fixture
    def sites(self, hosts, make_containers):
        made = [
            Site(
                host.name,
                make_containers(
                    host, migration=MigrationSettings(uri="lxc+tcp://{host}/system", tls=False)
                ),
            )
            for host in hosts
        ]
        for site in made:
            site.driver.start(lambda _: None)
        return made

    @pytest.fixture
    def source(self, sites):
        return sites[0]

    @pytest.fixture
    def dest(self, sites):
        return sites[1]
