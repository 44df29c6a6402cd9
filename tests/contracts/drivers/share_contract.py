# SPDX-License-Identifier: Apache-2.0
"""What a hypervisor driver that gives shares to guests owes its caller.

Subclasses provide `driver`, `location` (what a new share is mounted from) and `has(instance)` (ids
of the shares that the guest has, or will have at its start).
"""

import itertools

import msgspec
import pytest

from common.errors import DomainNotFound, OperationCancelled
from common.objects.share_mapping import HOST_TRAIT, ShareMapping, ShareStatus
from common.states import PowerState
from tests.contracts.drivers.instances import make_instance
from tests.contracts.drivers.volume_contract import cancelled


def with_shares(instance, *shares):
    """The instance as the conductor describes it once it has these shares."""
    given = {"status": ShareStatus.INACTIVE, "is_given": True}
    has = tuple(msgspec.structs.replace(each, **given) for each in shares)
    return msgspec.structs.replace(instance, shares=has)


class ShareContract:
    """Promises of services/compute/virt/driver.py about shares."""

    @pytest.fixture
    def changes(self):
        """Uuids that the driver told its sink."""
        return []

    @pytest.fixture
    def make_share(self, location):
        """Makes shares that an instance is to have."""
        numbers = itertools.count(1)

        def make():
            number = next(numbers)
            name = f"5a5a5a5a-0000-4000-8000-{number:012d}"
            return ShareMapping(
                uuid=name, share_id=name, tag=f"tag-{number}", export_location=location(name)
            )

        return make

    @pytest.fixture
    def off(self, driver):
        """An instance whose guest is off."""
        instance = make_instance()
        driver.build(instance)
        driver.power_off(instance, grace_s=0)
        yield instance
        driver.destroy(instance)

    def test_the_host_says_that_it_can(self, driver):
        assert HOST_TRAIT in driver.inventory().traits

    def test_an_attached_share_is_there_once(self, driver, off, make_share, has):
        share = make_share()

        assert driver.attach_share(off, share) is PowerState.SHUTDOWN
        assert driver.attach_share(off, share) is PowerState.SHUTDOWN

        assert has(off) == {share.share_id}

    def test_a_detached_share_is_gone(self, driver, off, make_share, has):
        share, other = make_share(), make_share()
        driver.attach_share(off, share)
        driver.attach_share(with_shares(off, share), other)
        both = with_shares(off, share, other)

        assert driver.detach_share(both, share) is PowerState.SHUTDOWN
        assert driver.detach_share(both, share) is PowerState.SHUTDOWN

        assert has(off) == {other.share_id}

    @pytest.mark.parametrize("verb", ["start", "reboot", "stop and start", "rebuild"])
    def test_shares_stay_with_their_guest(self, driver, off, make_share, has, verb):
        share = make_share()
        driver.attach_share(off, share)
        instance = with_shares(off, share)
        driver.power_on(instance)

        match verb:
            case "reboot":
                driver.reboot(instance, hard=True)
            case "stop and start":
                driver.power_off(instance, grace_s=0)
                driver.power_on(instance)
            case "rebuild":
                driver.rebuild(instance)

        assert driver.power_state(instance.uuid) is PowerState.RUNNING
        assert has(instance) == {share.share_id}

    def test_a_guest_starts_without_a_share_that_it_was_given_half(
        self, driver, off, make_share, has
    ):
        driver.attach_share(off, make_share())

        driver.power_on(off)

        assert has(off) == set()

    def test_detaching_cleans_up_after_an_attachment_that_was_cancelled(
        self, driver, off, make_share, has
    ):
        share = make_share()

        with pytest.raises(OperationCancelled):
            driver.attach_share(off, share, cancelled)
        driver.detach_share(off, share)

        assert has(off) == set()

    def test_destroy_takes_its_shares_away(self, driver, off, make_share, has):
        share = make_share()
        driver.attach_share(off, share)

        driver.destroy(with_shares(off, share))

        assert has(off) == set()

    def test_the_shares_of_an_unknown_instance_are_not_found(self, driver, make_share):
        for change in (driver.attach_share, driver.detach_share):
            with pytest.raises(DomainNotFound):
                change(make_instance(), make_share())
