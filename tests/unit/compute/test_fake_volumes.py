# SPDX-License-Identifier: Apache-2.0
"""The fake driver keeps what drivers promise of volumes."""

import pytest

from services.compute.virt.fake.memory import GuestMemory
from tests.contracts.drivers.volume_contract import VolumeContract
from tests.unit.compute.test_fake import make_driver


class TestFakeVolumes(VolumeContract):
    @pytest.fixture
    def memory(self):
        return GuestMemory()

    @pytest.fixture
    def driver(self, memory, changes, tmp_path):
        driver = make_driver(memory, snapshots=tmp_path / "snapshots")
        driver.start(changes.append)
        return driver

    @pytest.fixture
    def boot_content(self):
        return b"boot"

    @pytest.fixture
    def has(self, memory):
        return lambda instance: set(memory.volumes("fake1", instance.uuid))

    @pytest.fixture
    def connected(self, has):
        return has
