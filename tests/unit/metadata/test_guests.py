# SPDX-License-Identifier: Apache-2.0
"""Answers are remembered for a while, and a conductor that is away holds nobody up."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from falcon import testing

from common.errors import InstanceNotFound, Unavailable
from services.metadata.asker import Asker
from services.metadata.guests import Guests
from tests.functional.rabbitmq import wait_until
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


def test_the_first_look_up_is_made_for_nobody_and_fails_as_others_do():
    _, conductor, guests = make()

    guests.prepare()
    assert conductor.asked == 1
    conductor.away = True
    with pytest.raises(Unavailable):
        guests.prepare()


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


class SlowConductor(KnowsGuests):
    """Answers its first question when it is told to; says what it was asked."""

    def __init__(self, *guests):
        super().__init__(*guests)
        self.questions, self.is_asked, self.may_answer = [], Event(), Event()

    def find(self, ctx, uuids, addresses):
        self.questions.append(sorted([*uuids, *addresses]))
        self.is_asked.set()
        assert self.may_answer.wait(20)
        return super().find(ctx, uuids, addresses)


def gathered(guests, pool, askers):
    """Look-ups of `askers`, all of them waiting behind the one that is under way."""
    answers = [pool.submit(guests.find, asker) for asker in askers]
    wait_until(lambda: len(guests._waiting) == len(set(askers)), "all of them wait")
    return answers


def test_guests_that_ask_during_a_look_up_are_looked_up_together():
    others = [
        make_guest(uuid=f"{n:08}-6b3a-4c5d-8e9f-a0b1c2d3e4f5", vifs=()) for n in range(9)
    ]  # fmt: skip
    conductor = SlowConductor(make_guest(), *others)
    guests = Guests(conductor, clock=HandClock(), cache_s=0)
    wanted = [Asker(instance=guest.instance.uuid) for guest in others]
    stranger = Asker(instance="nobody")
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(guests.find, ASKER)
        assert conductor.is_asked.wait(20)
        answers = gathered(guests, pool, [*wanted, stranger])
        conductor.may_answer.set()

        assert first.result(20).instance.uuid == make_guest().instance.uuid
        assert [a.result(20) for a in answers[:-1]] == others
        with pytest.raises(InstanceNotFound):
            answers[-1].result(20)
    assert conductor.questions == [
        [ADDRESS], sorted(asker.instance for asker in [*wanted, stranger]),
    ]  # fmt: skip


class Arrivals:
    """Has the next few of `crowd` ask whenever a look-up waits for more guests."""

    def __init__(self, crowd, *, each_time):
        self.crowd, self.each_time, self.pauses = list(crowd), each_time, 0

    def __call__(self, seconds):
        self.pauses += 1
        for _ in range(min(self.each_time, len(self.crowd))):
            self.guests.ask(self.crowd.pop())


def arriving(crowd, *, each_time):
    arrivals = Arrivals(crowd, each_time=each_time)
    conductor = KnowsGuests(make_guest())
    arrivals.guests = Guests(conductor, clock=HandClock(), cache_s=0, pause=arrivals)
    return arrivals, conductor


def test_a_guest_that_is_alone_waits_once_for_others():
    arrivals, conductor = arriving([], each_time=0)

    arrivals.guests.find(ASKER)

    assert (arrivals.pauses, conductor.asked) == (1, 1)


def test_a_crowd_is_looked_up_together_once_no_more_of_it_come():
    arrivals, conductor = arriving([Asker(instance=str(n)) for n in range(4)], each_time=2)

    arrivals.guests.find(ASKER)

    assert (arrivals.pauses, conductor.asked, arrivals.crowd) == (3, 1, [])


def test_a_look_up_does_not_wait_for_ever_while_guests_keep_coming():
    arrivals, conductor = arriving([Asker(instance=str(n)) for n in range(99)], each_time=1)

    arrivals.guests.find(ASKER)

    assert (arrivals.pauses, conductor.asked) == (20, 1)
    assert arrivals.crowd


def test_those_who_wait_for_a_conductor_that_is_away_are_refused_without_asking_again():
    conductor = SlowConductor(make_guest())
    guests = Guests(conductor, clock=HandClock(), cache_s=0)
    conductor.away = True
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(guests.find, ASKER)
        assert conductor.is_asked.wait(20)
        answers = gathered(guests, pool, [Asker(instance=str(n)) for n in range(3)])
        conductor.may_answer.set()

        for answer in (first, *answers):
            with pytest.raises(Unavailable):
                answer.result(20)
    assert len(conductor.questions) == 1


def test_an_address_of_two_instances_is_nobodys():
    twin = make_guest(uuid="99999999-6b3a-4c5d-8e9f-a0b1c2d3e4f5")
    guests = Guests(KnowsGuests(make_guest(), twin), clock=HandClock(), cache_s=0)

    with pytest.raises(InstanceNotFound):
        guests.find(ASKER)


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
