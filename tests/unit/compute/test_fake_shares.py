# SPDX-License-Identifier: Apache-2.0
"""The fake driver keeps what drivers promise of shares, and remembers them."""

import pytest

from services.compute.virt.fake.memory import GuestMemory
from tests.contracts.drivers.share_contract import ShareContract, with_shares
from tests.unit.compute.test_fake import make_driver


class TestFakeShares(ShareContract):
    @pytest.fixture
    def memory(self, tmp_path):
        return GuestMemory(tmp_path / "guests")

    @pytest.fixture
    def driver(self, memory, changes, tmp_path):
        driver = make_driver(memory, snapshots=tmp_path / "snapshots")
        driver.start(changes.append)
        return driver

    @pytest.fixture
    def location(self):
        return lambda name: f"nas.invalid:/{name}"

    @pytest.fixture
    def has(self, memory):
        return lambda instance: set(memory.shares("fake1", instance.uuid))

    def test_a_guest_keeps_its_share_when_the_daemon_dies(self, driver, off, make_share, tmp_path):
        share = make_share()
        driver.attach_share(off, share)

        after = GuestMemory(tmp_path / "guests")

        assert after.shares("fake1", off.uuid) == {share.share_id}
        assert after.volumes("fake1", with_shares(off, share).uuid) == set()
