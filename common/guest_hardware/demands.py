# SPDX-License-Identifier: Apache-2.0
"""What flavor and image ask for together that no host can give, whatever its hypervisor.

Told when a request comes in; what a certain host cannot give, that host says.
"""

from dataclasses import dataclass

from common.guest_hardware.image_words import NUMBERS, WORDS
from common.guest_hardware.topology import (
    choose_nodes,
    choose_topology,
    dedicated_cpus,
    mask_of,
    memory_pages,
)
from common.guest_hardware.wishes import Wishes
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta

_THREAD_POLICIES = ("prefer", "isolate", "require")
_EMULATOR_POLICIES = ("share", "isolate")


@dataclass(frozen=True)
class _Asked:
    """A guest that is not there yet."""

    flavor: Flavor
    image: ImageMeta | None


def check_demands(flavor: Flavor, image: ImageMeta | None) -> None:
    """Refuse what cannot be had. Raises: ImageUnacceptable."""
    wishes = Wishes(_Asked(flavor, image))
    for name, known in WORDS.items():
        value = wishes.of_image(name)
        if value is not None and value.lower() not in known:
            wishes.refuse(f"{name}={value} is none of {', '.join(known)}")
    for name in NUMBERS:
        wishes.number(wishes.properties, name)
    choose_topology(wishes, flavor.vcpus)
    choose_nodes(wishes, flavor.vcpus, flavor.memory_mib)
    memory_pages(wishes)
    wishes.bounded("hw:serial_port_count", "hw_serial_port_count")
    _check_dedicated(wishes, flavor.vcpus)


def _check_dedicated(wishes: Wishes, vcpus: int) -> None:
    """What only guests with CPUs of their own may ask for."""
    owns_cpus = bool(dedicated_cpus(wishes, vcpus))
    if wishes.text("hw:cpu_thread_policy", "hw_cpu_thread_policy") is not None:
        wishes.one_of("hw:cpu_thread_policy", "hw_cpu_thread_policy", _THREAD_POLICIES, "prefer")
        if not owns_cpus:
            wishes.refuse("hw:cpu_thread_policy needs hw:cpu_policy=dedicated or mixed")
    if wishes.of_flavor("hw:emulator_threads_policy") is not None:
        policy = wishes.one_of("hw:emulator_threads_policy", "", _EMULATOR_POLICIES, "share")
        if policy == "isolate" and not owns_cpus:
            wishes.refuse("hw:emulator_threads_policy=isolate needs hw:cpu_policy=dedicated")
    if not wishes.is_on("hw:cpu_realtime"):
        return
    if not owns_cpus:
        wishes.refuse("hw:cpu_realtime needs hw:cpu_policy=dedicated or mixed")
    mask = wishes.text("hw:cpu_realtime_mask", "hw_cpu_realtime_mask")
    if mask is not None and not mask_of(wishes, "hw:cpu_realtime_mask", mask, vcpus):
        wishes.refuse(f"hw:cpu_realtime_mask={mask} leaves no realtime CPU")
