# SPDX-License-Identifier: Apache-2.0
"""Consoles of libvirt's guests, read from their live definitions, and TCP ports for them."""

import threading

import pytest

from common.errors import ConsoleTypeUnavailable, HypervisorError, InstanceNotReady
from common.objects.console import ConsoleKind
from services.compute.virt.libvirt.consoles import SerialPorts, address_of, parse_range

AT = {ConsoleKind.VNC: "192.0.2.1", ConsoleKind.SPICE: "192.0.2.2", ConsoleKind.SERIAL: "192.0.2.3"}


class Domain:
    """A guest with a live definition; None: it is off."""

    def __init__(self, devices, uuid="u1", active=True):
        self._devices, self._uuid, self._active = devices, uuid, active

    def isActive(self):
        return self._active

    def UUIDString(self):
        return self._uuid

    def XMLDesc(self, flags):
        return f"<domain><devices>{self._devices}</devices></domain>"


def serial(port):
    return f"<serial type='tcp'><source mode='bind' host='127.0.0.1' service='{port}'/></serial>"


@pytest.mark.parametrize(
    ("kind", "devices", "host", "ports"),
    [
        (ConsoleKind.VNC, "<graphics type='vnc' port='5907'/>", "192.0.2.1", (5907, None)),
        (
            ConsoleKind.SPICE,
            "<graphics type='vnc' port='5907'/><graphics type='spice' port='5908' tlsPort='5909'/>",
            "192.0.2.2",
            (5908, 5909),
        ),
        (
            ConsoleKind.SPICE,
            "<graphics type='spice' port='5908' tlsPort='-1'/>",
            "192.0.2.2",
            (5908, None),
        ),
        (ConsoleKind.SERIAL, serial(10007), "192.0.2.3", (10007, None)),
    ],
)
def test_a_console_is_where_the_live_definition_says(kind, devices, host, ports):
    found = address_of(Domain(devices), kind, AT)

    assert (found.host, found.port, found.tls_port) == (host, *ports)


@pytest.mark.parametrize(
    ("kind", "devices"),
    [
        (ConsoleKind.VNC, ""),
        (ConsoleKind.VNC, "<graphics type='vnc' port='-1'/>"),
        (ConsoleKind.VNC, "<graphics type='spice' port='5908'/>"),
        (ConsoleKind.SERIAL, "<serial type='file'><source path='/x'/></serial>"),
        (ConsoleKind.SERIAL, "<serial type='tcp'><source mode='connect' service='1'/></serial>"),
    ],
)
def test_what_the_definition_does_not_have_is_unavailable(kind, devices):
    with pytest.raises(ConsoleTypeUnavailable):
        address_of(Domain(devices), kind, AT)


def test_a_guest_that_is_off_is_not_ready():
    with pytest.raises(InstanceNotReady):
        address_of(Domain("<graphics type='vnc' port='5907'/>", active=False), ConsoleKind.VNC, AT)


def test_a_guest_keeps_its_port_until_it_gives_it_back():
    ports = SerialPorts(10000, 10001, is_free=lambda port: True)

    first = ports.take("a")

    assert ports.take("a") == first
    assert ports.take("b") != first
    ports.give_back("a")
    assert ports.take("c") == first


def test_ports_of_guests_that_were_there_before_are_taken():
    ports = SerialPorts(10000, 10001, is_free=lambda port: True)

    ports.learn([Domain(serial(10000), "a"), Domain("", "b")])

    assert ports.take("c") == 10001
    assert ports.take("a") == 10000


def test_a_port_that_somebody_else_has_is_left_alone():
    ports = SerialPorts(10000, 10002, is_free=lambda port: port == 10002)

    assert ports.take("a") == 10002


def test_when_no_port_is_left_the_range_is_named():
    ports = SerialPorts(10000, 10000, is_free=lambda port: True)
    ports.take("a")

    with pytest.raises(HypervisorError, match="10000:10000"):
        ports.take("b")


def test_guests_that_come_at_once_get_different_ports():
    ports = SerialPorts(10000, 10063, is_free=lambda port: True)
    found = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(ports.take(str(name))))
        for name in range(64)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(10000, 10064))


def test_a_range_is_two_ports_in_order():
    assert parse_range("10000:20000") == (10000, 20000)
    for wrong in ("0:1", "20000:10000", "1:65536"):
        with pytest.raises(ValueError, match="port_range"):
            parse_range(wrong)
