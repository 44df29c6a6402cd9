# SPDX-License-Identifier: Apache-2.0
"""A guest that sets its watchdog and then lets it starve: what its flavor asks for happens."""

import msgspec
import pytest

from common.states import PowerState
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance

pytestmark = pytest.mark.integration

SAYS = b"the dog is on watch\r\n"
# Real-mode code, beside what it does.
_CODE = (
    ("b802b1 b9ab25 ba8680 31f6 cd1a", "the BIOS finds device 8086:25ab, an i6300esb"),
    ("b80cb1 bf6000 b90400 cd1a", "register 0x60: two stages of one second each"),
    ("b80bb1 bf6800 b102 cd1a", "register 0x68: go"),
    ("f4 ebfd", "halt for ever"),
)


def image():
    """The disk of the guest: 512 bytes, and nothing."""
    say = b"\xba\xf8\x03" + b"".join(b"\xb0" + bytes((byte,)) + b"\xee" for byte in SAYS)
    code = say + b"".join(bytes.fromhex(text) for text, _ in _CODE)
    return (code.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0")


class Images:
    """An image service with this image; the private host's cache knows others by other ids."""

    def download(self, image_id):
        yield image()


@pytest.fixture
def source():
    return Images()


@pytest.fixture
def changes():
    return []


@pytest.fixture
def build(make_driver, changes):
    """Builds a guest with a watchdog; it is gone after the test."""
    driver = make_driver()
    driver.start(changes.append)
    built = []

    def build(action):
        instance = make_instance(
            flavor=msgspec.structs.replace(TINY, extra_specs={"hw:watchdog_action": action}),
            image=msgspec.structs.replace(IMAGE, id="0d0c3b0e-6d64-4bb2-8a57-5b8f9d1c0d06"),
        )
        built.append(instance)
        driver.build(instance)
        return driver, instance

    yield build
    for instance in built:
        driver.destroy(instance)


@pytest.mark.parametrize(
    ("action", "state"), [("pause", PowerState.PAUSED), ("poweroff", PowerState.SHUTDOWN)]
)
def test_a_starved_watchdog_stops_the_guest_as_it_is_told_to(build, changes, action, state):
    driver, instance = build(action)
    changes.clear()

    wait_until(lambda: driver.power_state(instance.uuid) is state, within_s=60)

    wait_until(lambda: instance.uuid in changes, within_s=2)


def test_a_starved_watchdog_resets_the_guest(build):
    driver, instance = build("reset")

    wait_until(
        lambda: driver.console_output(instance.uuid, tail_bytes=1000).count(SAYS.decode()) > 1,
        within_s=60,
    )
    assert driver.power_state(instance.uuid) is PowerState.RUNNING
