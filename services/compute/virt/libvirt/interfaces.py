# SPDX-License-Identifier: Apache-2.0
"""Interfaces of a guest that is there already: one more, or one less.

A guest that runs has two definitions, of now and of its next start; both are changed. A device is
known by the address of its port.
"""

from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.objects.network import VirtualInterface
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt import power
from services.compute.virt.libvirt.unplug import unplug

_NOW = libvirt.VIR_DOMAIN_AFFECT_LIVE
_NEXT = libvirt.VIR_DOMAIN_AFFECT_CONFIG


def attach(domain: Any, vif: VirtualInterface, device: ET.Element) -> None:
    """Give the guest `device` for the port. Again: one that is there stays. Raises: libvirtError.

    First to the guest as it runs: that is what a missing bridge lets fail.
    """
    text = ET.tostring(device, encoding="unicode")
    for when in _definitions(domain):
        if _device(domain, vif.mac, when) is None:
            domain.attachDeviceFlags(text, when)


def detach(domain: Any, vif: VirtualInterface, *, within_s: float, checkpoint: Checkpoint) -> None:
    """Take the port's device away, first from the guest as it runs. Again: fine without one.

    Raises: HypervisorError when the guest does not let go of it; libvirtError, OperationCancelled.
    """

    def alias() -> str | None:
        device = None if power.is_off(domain) else _device(domain, vif.mac, _NOW)
        name = None if device is None else device.find("alias")
        return None if name is None else name.get("name")

    what = f"the device of port {vif.port_id} ({vif.mac})"
    unplug(domain, alias, what=what, within_s=within_s, checkpoint=checkpoint)
    remove(domain, vif)


def remove(domain: Any, vif: VirtualInterface) -> None:
    """Take the port's device away from a guest that is not asked. Again: fine without one.

    Raises: libvirtError.
    """
    for when in _definitions(domain):
        device = _device(domain, vif.mac, when)
        if device is not None:
            domain.detachDeviceFlags(ET.tostring(device, encoding="unicode"), when)


def _definitions(domain: Any) -> tuple[int, ...]:
    return (_NEXT,) if power.is_off(domain) else (_NOW, _NEXT)


def _device(domain: Any, mac: str, when: int) -> ET.Element | None:
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE if when == _NEXT else 0
    for device in ET.fromstring(domain.XMLDesc(flags)).iterfind("devices/interface"):
        address = device.find("mac")
        if address is not None and address.get("address", "").lower() == mac.lower():
            return device
    return None
