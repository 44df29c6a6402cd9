# SPDX-License-Identifier: Apache-2.0
"""A running guest's definition, as the host that it moves to shall read it.

Only what differs between hosts is changed: paths, where its display listens, and host CPUs. All
else is what the guest sees and must stay as it is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from common.guest_hardware.topology import parse_cpus
from services.compute.virt.libvirt.domain_xml.processor import float_cpus
from services.compute.virt.libvirt.domain_xml.spec import EMULATOR

_PATHS = ("file", "path", "dev")


@dataclass(frozen=True)
class Arrival:
    """What differs on the new host.

    `folder` is the instance's (here, there); `files` are single ones, and block devices, by their
    path here. `screens` are the addresses at which its screens listen, by kind, `serial` is address
    and port of its serial port, `pins` the host CPUs that its own are pinned to, `floating` those
    on which its other CPUs run (none: on any).
    """

    folder: tuple[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    screens: Mapping[str, str] = field(default_factory=dict)
    serial: tuple[str, int] | None = None
    pins: Mapping[int, int] = field(default_factory=dict)
    floating: Collection[int] = ()


def arrival_xml(definition: str, arrival: Arrival) -> str:
    """The definition for the new host."""
    domain = ET.fromstring(definition)
    for element in domain.iter():
        for name in _PATHS:
            if (path := element.get(name)) is not None:
                element.set(name, _there(path, arrival))
    nvram = domain.find("os/nvram")
    if nvram is not None and nvram.text:
        nvram.text = _there(nvram.text, arrival)
    _listen_at(domain, arrival)
    _pin(domain, arrival.pins)
    cpus = domain.find("vcpu")
    if cpus is not None:
        own = len(domain.findall("cputune/vcpupin"))
        float_cpus(cpus, int(cpus.text or "0") - own, arrival.floating)
    return ET.tostring(domain, encoding="unicode")


def copied_disks(definition: str, folder: str) -> list[str]:
    """Names of the disks that the guest writes to and that are files of its own."""
    disks = ET.fromstring(definition).iterfind("devices/disk")
    return [
        str(target.get("dev"))
        for disk in disks
        if (source := disk.find("source")) is not None
        and (target := disk.find("target")) is not None
        and disk.find("readonly") is None
        and source.get("file", "").startswith(folder + "/")
    ]


def _there(path: str, arrival: Arrival) -> str:
    here, there = arrival.folder
    if path in arrival.files:
        return arrival.files[path]
    return there + path[len(here) :] if path.startswith(here + "/") else path


def _listen_at(domain: ET.Element, arrival: Arrival) -> None:
    for graphics in domain.iterfind("devices/graphics"):
        address = arrival.screens.get(graphics.get("type", ""))
        if address is not None:
            if graphics.get("listen") is not None:
                graphics.set("listen", address)
            for listen in graphics.iterfind("listen[@type='address']"):
                listen.set("address", address)
    if arrival.serial is not None:
        host, port = arrival.serial
        # A serial port appears twice, as the console that it is, too.
        for kind in ("serial", "console"):
            for source in domain.iterfind(f"devices/{kind}[@type='tcp']/source[@mode='bind']"):
                source.set("host", host)
                source.set("service", str(port))


def _pin(domain: ET.Element, pins: Mapping[int, int]) -> None:
    own = domain.findall("cputune/vcpupin")
    before = {cpu for pin in own for cpu in _cpus(pin)}
    for pin in own:
        cpu = pins.get(int(pin.get("vcpu", "-1")))
        if cpu is not None:
            pin.set("cpuset", str(cpu))
    emulator = domain.find("cputune/emulatorpin")
    if emulator is None or not pins:
        return
    if EMULATOR in pins:
        emulator.set("cpuset", str(pins[EMULATOR]))
    elif _cpus(emulator) <= before:  # else on CPUs that guests share, which are the operator's
        emulator.set("cpuset", ",".join(map(str, sorted(pins.values()))))


def _cpus(pin: ET.Element) -> set[int]:
    """The host CPUs of a pin, which libvirt may write as ranges."""
    return set(parse_cpus(pin.get("cpuset", "")))
