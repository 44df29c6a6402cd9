# SPDX-License-Identifier: Apache-2.0
"""A guest that was made quiet goes on, told or not."""

import threading

import pytest

from common.errors import NotSupported
from services.compute.quieting import Quieting
from tests import factories

GUEST = factories.make_instance()


class Driver:
    """Counts; `went_on` is set when the guest writes again."""

    def __init__(self, is_quiet=True):
        self.is_quiet, self.went_on, self.ended = is_quiet, threading.Event(), 0

    def quiesce(self, instance):
        if self.is_quiet is None:
            raise NotSupported("no agent")
        return self.is_quiet

    def unquiesce(self, instance):
        self.ended += 1
        self.went_on.set()


def assert_nobody_waits():
    """Timers that were given up end at once; others would last a minute."""
    for each in threading.enumerate():
        if isinstance(each, threading.Timer):
            each.join(20)
            assert not each.is_alive()


def test_a_guest_that_nobody_lets_go_on_does_so_by_itself():
    driver, quieting = Driver(), Quieting(most_s=0.01)

    assert quieting.begin(driver, GUEST)

    assert driver.went_on.wait(20)


def test_one_that_was_told_to_go_on_is_told_once():
    driver, quieting = Driver(), Quieting()
    quieting.begin(driver, GUEST)

    quieting.end(driver, GUEST)

    assert driver.ended == 1
    assert_nobody_waits()


@pytest.mark.parametrize("is_quiet", [False, None])
def test_one_that_is_not_quiet_is_not_waited_for(is_quiet):
    driver, quieting = Driver(is_quiet), Quieting(most_s=0.01)

    try:
        assert not quieting.begin(driver, GUEST)
    except NotSupported:
        assert is_quiet is None

    assert_nobody_waits()
