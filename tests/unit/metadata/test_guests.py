# SPDX-License-Identifier: Apache-2.0
"""Answers are remembered for a while, and a conductor that is away holds nobody up."""

import pytest
from falcon import testing

from common.errors import InstanceNotFound, Unavailable
from services.metadata.asker import Asker
from services.metadata.guests import Guests
from tests.unit.metadata.guest import ADDRESS, KnowsGuests, make_guest, make_service
from tests.unit.scheduler.hosts import HandClock

ASKER = Asker(address=ADDRESS)


def make(**options):
    clock, conductor = HandClock(), KnowsGuests(make_guest())
    return clock, conductor, Guests(conductor, clock=clock, **{"cache_s": 15.0, **options})


def test_the_conductor_is_asked_once_for_as_long_as_an_answer_is_kept():
    clock, conductor, guests = make()

    guests.find(ASKER)
    clock.seconds += 14
    guests.find(ASKER)
    assert conductor.asked == 1
    clock.seconds += 2
    guests.find(ASKER)

    assert conductor.asked == 2


def test_without_a_cache_every_request_asks():
    _, conductor, guests = make(cache_s=0)

    guests.find(ASKER)
    guests.find(ASKER)

    assert conductor.asked == 2


def test_an_unknown_guest_is_not_remembered():
    _, conductor, guests = make()
    known, conductor.guests = conductor.guests, {}
    with pytest.raises(InstanceNotFound):
        guests.find(ASKER)

    conductor.guests = known

    assert guests.find(ASKER)


def test_while_the_conductor_is_away_requests_are_refused_without_asking_it():
    clock, conductor, guests = make(cache_s=0)
    conductor.away = True
    for _ in range(50):
        with pytest.raises(Unavailable):
            guests.find(ASKER)
    assert conductor.asked == 1

    conductor.away = False
    clock.seconds += 3
    guests.find(ASKER)

    assert conductor.asked == 2
    assert not guests.is_away


def test_a_guest_is_told_to_come_back_and_health_says_why():
    conductor = KnowsGuests(make_guest())
    conductor.away = True
    client = testing.TestClient(make_service(conductor).app())

    healthy = client.simulate_get("/healthz").status_code
    answer = client.simulate_get("/openstack/latest", remote_addr=ADDRESS)

    assert healthy == 200
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.text == "The conductor service is not available; try again later."
    assert client.simulate_get("/healthz").status_code == 503
