# SPDX-License-Identifier: Apache-2.0
"""What no delta tells is looked at again and again, once there is a picture."""

import random
import threading

import pytest

from common.errors import Unavailable
from common.objects.compute_node import HostBaseline
from services.scheduler.baseline import Picture
from services.scheduler.sightings import Sightings
from tests.unit.scheduler.hosts import make_host

SOON_S = 10


class Conductor:
    """Says that ever more is under way on `a`; fails its first look when it `fails`."""

    def __init__(self, fails=False):
        self.looks, self.fails, self.seen = 0, fails, threading.Event()

    def look(self):
        self.looks += 1
        if self.fails and self.looks == 1:
            raise Unavailable(service="The conductor service")
        number = self.looks

        def put(hosts):
            hosts.see_io_ops({"a": number})
            if number > 1:
                self.seen.set()

        return put


@pytest.fixture
def start():
    started = []

    def begin(conductor, picture):
        made = Sightings(
            "operations", picture, conductor.look, interval_s=0.01, rng=random.Random(1)
        )
        made.start()
        started.append(made)

    yield begin
    for each in started:
        each.stop()


@pytest.mark.parametrize("fails", [False, True])
def test_the_table_follows_what_is_seen_also_after_a_failure(start, fails):
    picture, conductor = Picture(), Conductor(fails)
    picture.load(HostBaseline(hosts=(make_host("a"),)))

    start(conductor, picture)

    assert conductor.seen.wait(SOON_S)
    with picture.hosts() as hosts:
        assert hosts.io_ops[0] >= 2


def test_nobody_is_asked_while_there_is_no_picture(start):
    picture, conductor = Picture(), Conductor()
    start(conductor, picture)
    asked_before = conductor.looks

    picture.load(HostBaseline(hosts=(make_host("a"),)))

    assert conductor.seen.wait(SOON_S)
    assert asked_before == 0
