# SPDX-License-Identifier: Apache-2.0
"""What drivers owe their callers when guests move.

Subclasses provide the fixtures `source` and `dest`: `Site`s, drivers of two hosts between which
guests move, with these hosts' names.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from common.errors import DomainNotFound, GuestHasArrived, OperationCancelled
from common.states import PowerState
from tests.contracts.drivers.instances import TINY, make_instance

BIGGER = msgspec.structs.replace(
    TINY, flavorid="2", name="bigger", vcpus=2, root_gib=2, ephemeral_gib=1, swap_mib=16
)


@dataclass
class Site:
    """A host, as the conductor knows it."""

    name: str
    driver: Any

    def guests(self):
        return set(self.driver.power_states())


def cancelled():
    raise OperationCancelled(reason="the test says so")


class ColdMoveContract:
    """Promises of services/compute/virt/driver.py about moves of guests that are off meanwhile."""

    @pytest.fixture
    def instance(self, source, dest):
        """An instance whose guest runs at the source; gone from both hosts after the test."""
        instance = make_instance(host=source.name)
        source.driver.build(instance)
        yield instance
        for site in (source, dest):
            site.driver.destroy(msgspec.structs.replace(instance, host=site.name))

    def test_a_guest_moves_and_nothing_of_it_stays(self, source, dest, instance):
        source.driver.set_aside(instance, grace_s=0)
        source.driver.set_aside(instance, grace_s=0)
        state = dest.driver.receive(instance, from_host=source.name, start=True)
        again = dest.driver.receive(instance, from_host=source.name, start=True)

        assert state is again is PowerState.RUNNING
        assert instance.uuid not in source.guests()
        assert instance.uuid in dest.guests()
        source.driver.forget_aside(instance)
        source.driver.forget_aside(instance)
        with pytest.raises(DomainNotFound):
            source.driver.take_back(instance, start=True)

    def test_a_guest_that_was_off_is_off_there(self, source, dest, instance):
        source.driver.power_off(instance, grace_s=0)
        source.driver.set_aside(instance, grace_s=0)

        state = dest.driver.receive(instance, from_host=source.name, start=False)

        assert state is dest.driver.power_state(instance.uuid) is PowerState.SHUTDOWN
        assert dest.driver.power_on(instance) is PowerState.RUNNING

    def test_a_move_is_reverted(self, source, dest, instance):
        source.driver.set_aside(instance, grace_s=0)
        moved = msgspec.structs.replace(instance, flavor=BIGGER, host=dest.name)
        dest.driver.receive(moved, from_host=source.name, start=True)

        dest.driver.destroy(moved)
        state = source.driver.take_back(instance, start=True)

        assert state is source.driver.take_back(instance, start=True) is PowerState.RUNNING
        assert instance.uuid not in dest.guests()

    @pytest.mark.parametrize("start", [True, False])
    def test_a_guest_changes_its_size_where_it_is(self, source, instance, start):
        bigger = msgspec.structs.replace(instance, flavor=BIGGER)
        expected = PowerState.RUNNING if start else PowerState.SHUTDOWN

        source.driver.set_aside(instance, grace_s=0)
        assert instance.uuid not in source.guests()
        assert source.driver.receive(bigger, from_host=source.name, start=start) is expected
        assert source.driver.take_back(instance, start=start) is expected
        source.driver.set_aside(instance, grace_s=0)
        assert source.driver.receive(bigger, from_host=source.name, start=start) is expected
        source.driver.forget_aside(instance)

        assert source.driver.power_state(instance.uuid) is expected
        with pytest.raises(DomainNotFound):
            source.driver.power_state(make_instance().uuid)

    def test_a_cancelled_move_leaves_the_guest_to_be_taken_back(self, source, instance):
        with pytest.raises(OperationCancelled):
            source.driver.set_aside(instance, grace_s=5, checkpoint=cancelled)

        assert source.driver.take_back(instance, start=True) is PowerState.RUNNING

    def test_what_a_cancelled_arrival_has_left_is_destroyed(self, source, dest, instance):
        source.driver.set_aside(instance, grace_s=0)

        with pytest.raises(OperationCancelled):
            dest.driver.receive(instance, from_host=source.name, start=True, checkpoint=cancelled)
        dest.driver.destroy(instance)

        assert instance.uuid not in dest.guests()
        assert source.driver.take_back(instance, start=True) is PowerState.RUNNING

    def test_what_is_set_aside_is_destroyed_with_the_guest(self, source, dest, instance):
        source.driver.set_aside(instance, grace_s=0)

        source.driver.destroy(instance)

        with pytest.raises(DomainNotFound):
            source.driver.take_back(instance, start=True)


class MoveContract(ColdMoveContract):
    """Those, and its promises about guests that move alive."""

    @pytest.fixture
    def prepared(self, source, dest, instance):
        """What the destination has prepared for the guest."""
        source.driver.offer_live(instance)
        return dest.driver.prepare_live(instance, from_host=source.name, block_migration=None)

    def test_a_running_guest_moves(self, source, dest, instance, prepared):
        for _ in range(2):
            source.driver.migrate_live(instance, to_host=dest.name, target=prepared)
        states = [dest.driver.welcome(instance) for _ in range(2)]

        assert states == [PowerState.RUNNING] * 2
        assert instance.uuid not in source.guests()
        assert dest.driver.power_state(instance.uuid) is PowerState.RUNNING
        assert dest.driver.reboot(instance, hard=True) is PowerState.RUNNING

    def test_a_paused_guest_moves_and_stays_paused(self, source, dest, instance, prepared):
        source.driver.pause(instance)
        paused = msgspec.structs.replace(instance, power_state=PowerState.PAUSED)

        source.driver.migrate_live(paused, to_host=dest.name, target=prepared)

        assert dest.driver.welcome(paused) is PowerState.PAUSED
        assert dest.driver.unpause(instance) is PowerState.RUNNING

    def test_what_was_prepared_is_discarded_when_the_guest_stays(
        self, source, dest, instance, prepared
    ):
        with pytest.raises(OperationCancelled):
            source.driver.migrate_live(
                instance, to_host=dest.name, target=prepared, checkpoint=cancelled
            )
        for _ in range(2):
            dest.driver.discard_live(instance)
            source.driver.withdraw_live(instance)

        assert source.driver.power_state(instance.uuid) is PowerState.RUNNING
        assert instance.uuid not in dest.guests()

    def test_preparing_again_changes_nothing(self, source, dest, instance, prepared):
        source.driver.offer_live(instance)

        again = dest.driver.prepare_live(instance, from_host=source.name, block_migration=None)

        assert again == prepared
        dest.driver.discard_live(instance)

    def test_a_guest_that_has_come_is_not_discarded(self, source, dest, instance, prepared):
        source.driver.migrate_live(instance, to_host=dest.name, target=prepared)

        for _ in range(2):
            with pytest.raises(GuestHasArrived):
                dest.driver.discard_live(instance)
            assert dest.driver.welcome(instance) is PowerState.RUNNING

    def test_nothing_is_hurried_or_known_without_a_migration(self, source, instance):
        source.driver.complete_live(instance.uuid)
        source.driver.live_progress(instance.uuid)

        assert source.driver.power_state(instance.uuid) is PowerState.RUNNING

    def test_a_guest_that_is_not_there_cannot_be_moved(self, source):
        nobody = make_instance(host=source.name)

        for operation in (
            lambda: source.driver.set_aside(nobody, grace_s=0),
            lambda: source.driver.take_back(nobody, start=True),
            lambda: source.driver.offer_live(nobody),
            lambda: source.driver.welcome(nobody),
        ):
            with pytest.raises(DomainNotFound):
                operation()
        source.driver.forget_aside(nobody)
        source.driver.withdraw_live(nobody)
        source.driver.discard_live(nobody)
