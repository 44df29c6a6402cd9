# SPDX-License-Identifier: Apache-2.0
"""What the storage can do, and whether that is what a volume type asks for."""

from collections.abc import Mapping
from typing import Any

from services.companion.volume.backend import Backend
from services.companion.volume.views import BACKEND

VENDOR, VERSION = "kilonova", "1.0"
_SCOPE = "capabilities:"
_TRUE = frozenset(("true", "1", "yes", "on", "t", "y"))


def of(backend: Backend) -> dict[str, Any]:
    """What types may ask for by their extra specs."""
    return {
        "volume_backend_name": BACKEND,
        "pool_name": BACKEND,
        "storage_protocol": backend.driver_volume_type,
        "vendor_name": VENDOR,
        "driver_version": VERSION,
        "QoS_support": False,
        "multiattach": True,
        "thin_provisioning_support": True,
    }


def unmet(extra_specs: Mapping[str, Any], backend: Backend) -> str | None:
    """What the extra specs ask for and the storage does not have; None: nothing.

    Specs of another scope (`quality:`, say) ask nothing of the storage.
    """
    has = of(backend)
    for key, wanted in extra_specs.items():
        name = key.removeprefix(_SCOPE)
        if ":" not in name and not _meets(has.get(name), str(wanted)):
            return f"{key}={wanted}"
    return None


def _meets(has: object, wanted: str) -> bool:
    operator, _, operand = wanted.partition(" ")
    if operator == "<is>":
        return isinstance(has, bool) and has == (operand.strip().lower() in _TRUE)
    if operator == "<in>":
        return operand.strip() in str(has)
    if operator == "<or>":
        return str(has) in (word.strip() for word in operand.split("<or>"))
    return str(has) == wanted
