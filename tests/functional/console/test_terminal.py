# SPDX-License-Identifier: Apache-2.0
"""A terminal at a serial console, as `kilonova console` has it."""

import os
import termios
import threading

import pytest

from common.objects.console import ConsoleType
from services.cli import terminal
from tests.functional.console.conftest import Guest, heard
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

SERIAL = ConsoleType.SERIAL


class Desk:
    """A user's terminal: `screen` is what it shows."""

    def __init__(self):
        self._user, self.tty = os.openpty()
        self.screen = bytearray()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self):
        try:
            while True:
                self.screen += os.read(self._user, 65536)
        except OSError:
            return

    def press(self, keys):
        os.write(self._user, keys)

    def close(self):
        os.close(self.tty)
        os.close(self._user)


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


@pytest.fixture
def guest():
    made = Guest(greeting=b"guest login: ")
    yield made
    made.close()


class Joined:
    """A terminal joined to a console, on a thread of its own; `why` once it is over."""

    def __init__(self, client, desk):
        self.why = "not over"
        self._thread = threading.Thread(target=self._run, args=(client, desk))
        self._thread.start()

    def _run(self, client, desk):
        with terminal.raw(desk.tty):
            self.why = terminal.join(client, desk.tty, desk.tty)

    def end(self):
        self._thread.join(timeout=15)
        assert not self._thread.is_alive()
        return self.why


def shows(desk, text):
    wait_until(lambda: text in desk.screen, f"the screen shows {text!r}")


def test_keys_go_to_the_console_and_its_words_to_the_screen(proxy, place, guest, server, desk):
    joined = Joined(proxy.open(place.token(server, SERIAL), SERIAL), desk)
    shows(desk, b"guest login: ")

    desk.press(b"root\r")
    heard(guest, b"root\r")
    desk.press(b"\x03\x04\x1a")  # what a terminal would take for itself
    heard(guest, b"\x03\x04\x1a")
    guest.say(b"\x1b[1mWelcome\r\n")
    shows(desk, b"\x1b[1mWelcome\r\n")
    desk.press(b"bye\x1d and nothing more")

    assert joined.end() is None
    heard(guest, b"bye")
    wait_until(lambda: not guest.clients, "the console is free again")


def test_what_was_typed_before_the_console_was_there_is_not_lost(proxy, place, guest, server, desk):
    desk.press(b"root\r")
    wait_until(lambda: b"root" in desk.screen, "it is typed")

    joined = Joined(proxy.open(place.token(server, SERIAL), SERIAL), desk)

    heard(guest, b"root\n")
    desk.press(b"\x1d")
    assert joined.end() is None


def test_the_terminal_is_as_it_was_when_the_console_ends(proxy, place, guest, server, desk):
    before = termios.tcgetattr(desk.tty)
    joined = Joined(proxy.open(place.token(server, SERIAL), SERIAL), desk)
    shows(desk, b"guest login: ")
    assert termios.tcgetattr(desk.tty) != before

    guest.hang_up()

    assert joined.end() == "the console was closed"
    assert termios.tcgetattr(desk.tty) == before
