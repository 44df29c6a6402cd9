# SPDX-License-Identifier: Apache-2.0
"""What may be done with the power of a host."""

from enum import StrEnum


class HostPowerAction(StrEnum):
    """Values are the API's words for it."""

    STARTUP = "startup"
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
