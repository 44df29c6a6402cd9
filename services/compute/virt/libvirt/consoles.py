# SPDX-License-Identifier: Apache-2.0
"""Consoles of libvirt's guests: where they listen, and which TCP port a serial port gets."""

import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from common.errors import ConsoleTypeUnavailable, HypervisorError, InstanceNotReady
from common.objects.console import ConsoleAddress, ConsoleKind

KINDS = (ConsoleKind.VNC, ConsoleKind.SPICE, ConsoleKind.SERIAL)


def address_of(
    domain: Any, kind: ConsoleKind, reached_at: Mapping[ConsoleKind, str]
) -> ConsoleAddress:
    """Where a console of the guest listens now; `reached_at`: this host's address for each kind.

    Raises: InstanceNotReady (it is off), ConsoleTypeUnavailable, libvirtError.
    """
    if not domain.isActive():
        raise InstanceNotReady(instance=domain.UUIDString())
    devices = ET.fromstring(domain.XMLDesc(0)).find("devices")
    port = tls_port = None
    if devices is not None and kind is ConsoleKind.SERIAL:
        port = _serial_port(devices)
    elif devices is not None:
        graphics = devices.find(f"graphics[@type='{kind}']")
        port, tls_port = _port(graphics, "port"), _port(graphics, "tlsPort")
    if port is None:
        raise ConsoleTypeUnavailable(console_type=kind)
    return ConsoleAddress(host=reached_at[kind], port=port, tls_port=tls_port)


def has_spice(connection: Any, arch: str, virt_type: str) -> bool:
    """Whether the host's QEMU was built with SPICE. Raises: libvirtError."""
    told = ET.fromstring(connection.getDomainCapabilities(None, arch, None, virt_type))
    values = told.iterfind("devices/graphics/enum[@name='type']/value")
    return any(value.text == "spice" for value in values)


class SerialPorts:
    """Gives the serial port of each guest a TCP port of the host, `first` to `last`.

    Those of guests that are off stay theirs: a guest whose memory is saved comes back with the
    definition that it had.
    """

    def __init__(
        self, first: int, last: int, *, is_free: Callable[[int], bool] | None = None
    ) -> None:
        self._first, self._count = first, last - first + 1
        self._is_free = is_free or _nobody_listens
        self._lock = threading.Lock()
        self._taken: dict[str, int] = {}

    def learn(self, domains: Iterable[Any]) -> None:
        """Know the ports that guests have already. Raises: libvirtError."""
        for domain in domains:
            devices = ET.fromstring(domain.XMLDesc(0)).find("devices")
            port = None if devices is None else _serial_port(devices)
            if port is not None:
                with self._lock:
                    self._taken[domain.UUIDString()] = port

    def take(self, instance_uuid: str) -> int:
        """The guest's port. Again: the one it has. Raises: HypervisorError (none is free)."""
        with self._lock:
            if instance_uuid in self._taken:
                return self._taken[instance_uuid]
            others = set(self._taken.values())
            # Each guest begins to look elsewhere, on any host at the same place: a guest that
            # moves alive then mostly finds its port free where it comes to.
            begin = zlib.crc32(instance_uuid.encode())
            for step in range(self._count):
                port = self._first + (begin + step) % self._count
                if port not in others and self._is_free(port):
                    self._taken[instance_uuid] = port
                    return port
        last = self._first + self._count - 1
        raise HypervisorError(
            reason=f"no TCP port of {self._first}:{last} is left for a serial console"
        )

    def give_back(self, instance_uuid: str) -> None:
        """The guest is gone. Again, or without any: fine."""
        with self._lock:
            self._taken.pop(instance_uuid, None)


def parse_range(text: str) -> tuple[int, int]:
    """First and last port of `first:last`. Raises: ValueError."""
    first, last = (int(number) for number in text.split(":"))
    if not 0 < first <= last < 65536:
        raise ValueError(f"[serial_console] port_range {text} is no range of TCP ports")
    return first, last


def _serial_port(devices: ET.Element) -> int | None:
    source = devices.find("serial[@type='tcp']/source[@mode='bind']")
    return _port(source, "service")


def _port(element: ET.Element | None, name: str) -> int | None:
    """A port that libvirt has given out; -1 is one that it has not."""
    number = int((element.get(name) if element is not None else None) or -1)
    return number if number > 0 else None


def _nobody_listens(port: int) -> bool:
    """Whether the port is free in this process's network, which QEMU mostly shares."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
