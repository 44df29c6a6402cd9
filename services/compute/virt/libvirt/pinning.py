# SPDX-License-Identifier: Apache-2.0
"""Pinning: which host CPUs a guest with dedicated CPUs gets for itself."""

from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import HypervisorError


def choose_pins(
    dedicated: frozenset[int], host_cpus: frozenset[int], taken: frozenset[int]
) -> Mapping[int, int]:
    """A host CPU of its own for each of the guest's `dedicated` CPUs, lowest first.

    Raises: HypervisorError when too few of `host_cpus` are left.
    """
    free = sorted(host_cpus - taken)
    if len(free) < len(dedicated):
        raise HypervisorError(
            reason=f"{len(dedicated)} dedicated CPUs are wanted, {len(free)} of this host's "
            f"{len(host_cpus)} are free"
        )
    return dict(zip(sorted(dedicated), free, strict=False))


def taken_cpus(connection: Any, *, but_of: str) -> frozenset[int]:
    """Host CPUs that guests are pinned to, other than instance `but_of`. Raises: libvirtError."""
    taken: set[int] = set()
    for domain in connection.listAllDomains():
        if domain.UUIDString() != but_of:
            taken.update(_pins_of(_definition(domain)))
    return frozenset(taken)


def _definition(domain: Any) -> str:
    try:
        return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    except libvirt.libvirtError as gone:
        if gone.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return "<domain/>"
        raise


def _pins_of(definition: str) -> Iterable[int]:
    tuning = ET.fromstring(definition).find("cputune")
    # The hypervisor's own threads may have one for themselves, too.
    for pin in () if tuning is None else (*tuning.iter("vcpupin"), *tuning.iter("emulatorpin")):
        cpus = pin.get("cpuset", "")
        if cpus.isdecimal():  # a set of several is not ours, and nobody's own
            yield int(cpus)
