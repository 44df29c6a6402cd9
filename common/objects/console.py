# SPDX-License-Identifier: Apache-2.0
"""Consoles: where a guest's screen or serial port is, and what a token opens."""

import enum

from common.objects.versioned import Versioned


class ConsoleKind(enum.StrEnum):
    """What is spoken to the guest's host."""

    VNC = "vnc"
    SPICE = "spice"
    SERIAL = "serial"
    MKS = "mks"


class ConsoleType(enum.StrEnum):
    """How users see it; the words are the API's."""

    NOVNC = "novnc"
    SPICE_HTML5 = "spice-html5"
    SPICE_DIRECT = "spice-direct"
    SERIAL = "serial"
    WEBMKS = "webmks"

    @property
    def kind(self) -> ConsoleKind:
        """What is spoken behind it."""
        return _KINDS[self]


_KINDS = {
    ConsoleType.NOVNC: ConsoleKind.VNC,
    ConsoleType.SPICE_HTML5: ConsoleKind.SPICE,
    ConsoleType.SPICE_DIRECT: ConsoleKind.SPICE,
    ConsoleType.SERIAL: ConsoleKind.SERIAL,
    ConsoleType.WEBMKS: ConsoleKind.MKS,
}


class ConsoleAddress(Versioned, frozen=True, kw_only=True):
    """Where a console listens, as kilonova-console reaches it.

    `internal_access_path` is for hypervisors whose gateway on `port` asks which console is meant: a
    proxy of theirs reads it from the API. No driver of ours has one, and our proxy sends none.
    """

    host: str
    port: int
    tls_port: int | None = None
    internal_access_path: str | None = None


class Console(Versioned, frozen=True, kw_only=True):
    """What a token opens, for `left_s` seconds more."""

    instance_uuid: str
    console_type: ConsoleType
    address: ConsoleAddress
    left_s: float
