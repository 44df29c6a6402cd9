# SPDX-License-Identifier: Apache-2.0
"""The outbox loses no message while the broker is away."""

import threading

from common.errors import Unavailable
from services.compute.outbox import Outbox

SOON_S = 10


def test_messages_are_sent_in_order_once_the_broker_is_back():
    sent, refusals, done = [], [3], threading.Event()

    def send(number):
        if refusals[0]:
            refusals[0] -= 1
            raise Unavailable(service="The message broker")
        sent.append(number)
        if number == 4:
            done.set()

    outbox = Outbox(pause=lambda _: 0.001)
    outbox.start()
    for number in range(5):
        outbox.put(lambda number=number: send(number))

    assert done.wait(SOON_S)
    assert sent == [0, 1, 2, 3, 4]
    outbox.stop(within_s=SOON_S)
    assert outbox.problem() is None


def test_stop_sends_what_waits():
    sent = []
    outbox = Outbox()
    for number in range(3):
        outbox.put(lambda number=number: sent.append(number))

    outbox.start()
    outbox.stop(within_s=SOON_S)

    assert sent == [0, 1, 2]
