# SPDX-License-Identifier: Apache-2.0
"""A guest's disks as libvirt has them: in its definition of now, and in that of its next start.

A volume is known by where it is on this host. Its serial number is what the guest sees, and that
stays the first volume's when another one has taken its place.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import HypervisorError
from services.compute.virt.libvirt import power
from services.compute.volume_sources import VolumeSource

NOW = libvirt.VIR_DOMAIN_AFFECT_LIVE
NEXT = libvirt.VIR_DOMAIN_AFFECT_CONFIG
_WHERE = ("file", "dev", "name")


@dataclass(frozen=True)
class LiveDisk:
    """A `<disk>`: `target` is its name in the guest, `path` its file, device or image."""

    element: ET.Element
    target: str
    path: str
    serial: str | None

    @property
    def alias(self) -> str | None:
        """libvirt's name of the device, while the guest runs."""
        alias = self.element.find("alias")
        return None if alias is None else alias.get("name")

    @property
    def copied_to(self) -> str | None:
        """Where a copy of it is being made."""
        return path_of(self.element.find("mirror/source"))

    @property
    def copy_is_ready(self) -> bool:
        """Whether all of it is there, and every further write goes to both."""
        mirror = self.element.find("mirror")
        return mirror is not None and mirror.get("ready") == "yes"


def definitions(domain: Any) -> tuple[int, ...]:
    """Those that a change must go to; of now first. Raises: libvirtError."""
    return (NEXT,) if power.is_off(domain) else (NOW, NEXT)


def description(domain: Any, when: int) -> ET.Element:
    """A definition of the guest. Raises: libvirtError."""
    return ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if when == NEXT else 0))


def disks_of(domain: Any, when: int) -> list[LiveDisk]:
    """The disks of a definition. Raises: libvirtError."""
    return list(_disks(description(domain, when)))


def find_volume(
    disks: Iterable[LiveDisk], volume_id: str, path: str | None, others: Collection[str] = ()
) -> LiveDisk | None:
    """The disk of a volume that is at `path`; None when there is none.

    Where nothing is known of its path (None), or the host has given it another since, its serial
    number tells, unless the disk is one of `others`: paths of further volumes of the guest.
    """
    candidates = list(disks)
    by_path = next((disk for disk in candidates if path is not None and disk.path == path), None)
    return by_path or next(
        (disk for disk in candidates if disk.serial == volume_id and disk.path not in others), None
    )


def names_of_volumes(domain: Any) -> dict[str, str]:
    """The names that disks have, by their serial numbers; none of a guest that is not there."""
    if domain is None:
        return {}
    return {disk.serial: disk.target for disk in disks_of(domain, NEXT) if disk.serial}


def path_of(source: ET.Element | None) -> str | None:
    """What a `<source>` names."""
    if source is None:
        return None
    return next((source.get(where) for where in _WHERE if source.get(where)), None)


def refuse_saved(domain: Any, what: str) -> None:
    """A guest whose memory is saved gets and loses nothing: the memory knows its devices.

    Raises: HypervisorError, which names `what`; libvirtError.
    """
    if power.is_off(domain) and power.has_memory(domain):
        reason = f"the guest is suspended, and its memory knows nothing of a change of {what}"
        raise HypervisorError(reason=f"{reason}: resume it first")


def redirect_saved(domain: Any, sources: Mapping[str, VolumeSource]) -> None:
    """Have saved memory find its volumes where they are now: after a restart of the host block
    devices may have other names. Again: it does. Raises: libvirtError.
    """
    if not (power.is_off(domain) and power.has_memory(domain)):
        return
    saved = ET.fromstring(domain.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE))
    is_changed = False
    for disk in _disks(saved):
        now, source = sources.get(disk.serial or ""), disk.element.find("source")
        if now is None or source is None or now.kind == "network" or disk.path == now.path:
            continue
        source.set("dev" if now.kind == "block" else "file", now.path)
        is_changed = True
    if is_changed:
        domain.managedSaveDefineXML(ET.tostring(saved, encoding="unicode"), 0)


def _disks(domain: ET.Element) -> Iterable[LiveDisk]:
    for element in domain.iterfind("devices/disk"):
        target = element.find("target")
        if target is not None:
            path = path_of(element.find("source")) or ""
            serial = element.findtext("serial")
            yield LiveDisk(element, target.get("dev", ""), path, serial)
