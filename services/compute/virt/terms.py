# SPDX-License-Identifier: Apache-2.0
"""Words that the whole driver interface uses."""

from collections.abc import Callable

from common.errors import NotSupported

# Called between the parts of a long operation; raises OperationCancelled when it was asked to stop.
Checkpoint = Callable[[], None]
# Told the uuid of an instance whose power state may have changed. Must return at once.
PowerSink = Callable[[str], None]


def never_cancelled() -> None:
    """The checkpoint of an operation that nobody can cancel."""


def lacks(ability: str) -> NotSupported:
    """What a driver raises that cannot do `ability`."""
    return NotSupported(f"The hypervisor driver of this host cannot {ability}.")
