# SPDX-License-Identifier: Apache-2.0
"""The picture stays true whatever order baseline and deltas arrive in."""

import random
import threading

import pytest

from common.errors import Unavailable
from common.objects.compute_node import HostBaseline
from services.scheduler.baseline import BaselineFetcher, Picture
from tests.unit.scheduler.hosts import NEED, delta, make_host


def names(picture: Picture) -> set[str]:
    with picture.hosts() as table:
        return {name.host for name in table.names}


def loaded(*hosts, **published) -> Picture:
    picture = Picture()
    picture.keep_deltas()
    picture.load(HostBaseline(hosts=hosts, published=published))
    return picture


def test_without_a_baseline_there_is_no_answer():
    with pytest.raises(Unavailable), Picture().hosts():
        pass


def test_deltas_that_arrive_before_the_baseline_are_applied_to_it():
    picture = Picture()
    picture.keep_deltas()
    picture.apply("c1", 7, [delta(make_host("a", generation=2, claimed=NEED))])

    picture.load(HostBaseline(hosts=(make_host("a", generation=1),), published={"c1": 6}))

    with picture.hosts() as table:
        assert table.vcpus_free[0] == 7
    assert not picture.wanted.is_set()


def test_a_gap_of_a_publisher_asks_for_a_new_baseline_and_the_picture_serves_on():
    picture = loaded(make_host("a"), c1=3)

    picture.apply("c1", 5, [delta(make_host("b"))])

    assert picture.wanted.is_set()
    assert names(picture) == {"a", "b"}


def test_numbers_in_order_and_repeated_ones_ask_for_nothing():
    picture = loaded(make_host("a"), c1=3)

    picture.apply("c1", 4, [delta(make_host("b"))])
    picture.apply("c1", 4, [delta(make_host("b"))])
    picture.apply("c1", 3, [])
    picture.apply("c1", 5, [delta(make_host("b", generation=1), removed=True)])

    assert not picture.wanted.is_set()
    assert names(picture) == {"a"}


def test_a_publisher_that_the_baseline_does_not_know_starts_where_it_is_heard():
    picture = loaded(c1=3)

    picture.apply("c2", 40, [delta(make_host("a"))])
    assert not picture.wanted.is_set()
    picture.apply("c2", 42, [])

    assert picture.wanted.is_set()


def test_the_fetcher_tries_until_a_conductor_answers_and_again_after_a_gap():
    picture, fetched, answers = Picture(), threading.Semaphore(0), iter([None, ("a",), ("a", "b")])

    def fetch() -> HostBaseline:
        hosts = next(answers)
        fetched.release()
        if hosts is None:
            raise Unavailable(service="The conductor")
        return HostBaseline(hosts=tuple(make_host(h) for h in hosts), published={"c1": 1})

    fetcher = BaselineFetcher(picture, fetch, random.Random(1))
    fetcher.start()
    try:
        assert fetched.acquire(timeout=10)
        assert fetched.acquire(timeout=10)
        while not picture.has_baseline or picture.wanted.is_set():
            threading.Event().wait(0.01)
        picture.apply("c1", 9, [])
        assert fetched.acquire(timeout=10)
        while names(picture) != {"a", "b"}:
            threading.Event().wait(0.01)
    finally:
        fetcher.stop()
