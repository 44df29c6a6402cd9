# SPDX-License-Identifier: Apache-2.0
"""Lanes: serial within, parallel across, bounded."""

import threading

import pytest

from common.errors import Unavailable
from services.compute.lanes import Lanes

SOON_S = 10


@pytest.fixture
def lanes():
    lanes = Lanes(threads=4)
    yield lanes
    lanes.close()


def test_work_of_one_lane_runs_in_order_and_never_at_once(lanes):
    order, done = [], threading.Event()
    inside = threading.Lock()

    def work(number):
        assert inside.acquire(blocking=False)
        order.append(number)
        inside.release()
        if number == 99:
            done.set()

    for number in range(100):
        lanes.put("one", lambda number=number: work(number))

    assert done.wait(SOON_S)
    assert order == list(range(100))


def test_lanes_run_side_by_side(lanes):
    together = threading.Barrier(3, timeout=SOON_S)

    for lane in ("a", "b", "c"):
        lanes.put(lane, together.wait)

    lanes.close()
    assert not together.broken


def test_work_that_fails_does_not_stop_its_lane(lanes):
    done = threading.Event()

    lanes.put("a", lambda: 1 / 0)
    lanes.put("a", done.set)

    assert done.wait(SOON_S)


def test_a_lane_is_busy_until_its_last_work_ended(lanes):
    go, done = threading.Event(), threading.Event()

    lanes.put("a", lambda: go.wait(SOON_S))
    assert lanes.is_busy("a")
    lanes.put("a", done.set)
    go.set()
    assert done.wait(SOON_S)
    lanes.close()

    assert not lanes.is_busy("a")


def test_too_much_work_is_refused():
    lanes, go = Lanes(threads=1, most_waiting=2), threading.Event()
    lanes.put("a", lambda: go.wait(SOON_S))
    lanes.put("b", lambda: None)

    with pytest.raises(Unavailable):
        lanes.put("c", lambda: None)

    go.set()
    lanes.close()


def test_closed_lanes_take_nothing(lanes):
    lanes.close()

    with pytest.raises(Unavailable):
        lanes.put("a", lambda: None)
