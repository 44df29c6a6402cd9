# SPDX-License-Identifier: Apache-2.0
"""Hosts whose hypervisor can run the image: architecture, hypervisor type, vm mode, version.

Properties and their older spellings are facts of the Compute API's image properties.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import TurnedAway, host_filter
from services.scheduler.host_table import HostColumns, Mask
from services.scheduler.kinds import Hypervisor

# property -> (its older spelling, other spellings of values)
_ARCHITECTURE = (
    ("hw_architecture", "architecture"),
    {"amd64": "x86_64", "x64": "x86_64", "i386": "i686", "i486": "i686", "i586": "i686"},
)
_HYPERVISOR_TYPE = (("img_hv_type", "hypervisor_type"), {"xapi": "xen", "powervm": "phyp"})
_VM_MODE = (
    ("hw_vm_mode", "vm_mode"),
    {"pv": "xen", "hv": "hvm", "xenapi": "xen", "baremetal": "hvm", "powervm": "hvm"},
)
_VERSION = ("img_hv_requested_version", "hypervisor_version_requires")
_PREDICATE = re.compile(r"\s*(<=|>=|==|!=|<|>|=)?\s*(\d+(?:\.\d+)*)\s*")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "": operator.eq,
}  # fmt: skip


def what_the_image_asks(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    """Names the image's demands as the image's owner wrote them."""
    demands = [
        f"{name}={spec.image_properties[name]}"
        for spellings in (_ARCHITECTURE[0], _HYPERVISOR_TYPE[0], _VM_MODE[0], _VERSION)
        for name in spellings
        if name in spec.image_properties
    ]
    text = f"whose hypervisor cannot run the image ({', '.join(demands)})"
    return [TurnedAway(int(turned_away.sum()), text)]


@host_filter("ImagePropertiesFilter", turned_away=what_the_image_asks)
def can_run_the_image(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts whose hypervisor has what the image's properties ask for; all when they ask nothing."""
    wanted = tuple(
        _wanted(spec.image_properties, *property_)
        for property_ in (_ARCHITECTURE, _HYPERVISOR_TYPE, _VM_MODE)
    )
    versions = _first(spec.image_properties, _VERSION)
    if versions is None and not any(wanted):
        return np.ones(len(hosts), np.bool_)
    return hosts.by_hypervisor(
        lambda each: _supports(each, wanted) and version_matches(each.version, versions)
    )


def _first(properties: Mapping[str, str], spellings: Sequence[str]) -> str | None:
    return next((properties[name] for name in spellings if properties.get(name)), None)


def _wanted(
    properties: Mapping[str, str], spellings: Sequence[str], synonyms: Mapping[str, str]
) -> str | None:
    value = _first(properties, spellings)
    if value is None:
        return None
    return synonyms.get(value.lower(), value.lower())


def _supports(hypervisor: Hypervisor, wanted: Sequence[str | None]) -> bool:
    if not any(wanted):
        return True
    return any(
        all(want is None or want == has for want, has in zip(wanted, offered, strict=True))
        for offered in hypervisor.supported
    )


def version_matches(version: int, predicates: str | None) -> bool:
    """Whether a hypervisor's version (2012000 for 2.12.0) satisfies predicates such as
    `>=2.6,<3`. None asks for nothing; a predicate that cannot be read is satisfied by none."""
    if predicates is None:
        return True
    has = (version // 1_000_000, version // 1_000 % 1_000, version % 1_000)
    for predicate in predicates.split(","):
        match = _PREDICATE.fullmatch(predicate)
        if match is None:
            return False
        asked = tuple(int(part) for part in match[2].split("."))
        if not _COMPARE[match[1] or ""](has, (*asked, 0, 0)[:3]):
            return False
    return True
