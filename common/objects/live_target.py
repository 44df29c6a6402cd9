# SPDX-License-Identifier: Apache-2.0
"""LiveTarget: what the host that a guest moves to alive has prepared for it."""

from common.objects.versioned import Versioned


class LiveTarget(Versioned, frozen=True, kw_only=True):
    """Where the guest finds everything on its new host.

    `shares_disks`: both hosts have them in one folder, so none is copied. `folder` is the
    instance's there, `base_path` the image that its root disk stands on. Its screens listen at
    `vnc_address` and `spice_address`, its serial port at `serial_address` and `serial_port`; None
    where the host gives guests no such console. The host takes memory and disks in at `address`
    (None: the hypervisor's choice). `pins` are (CPU of the guest, CPU of the host); CPUs of the
    guest that are not among them run on `floating_cpus` (none: on any). `volume_paths` are (id,
    path on the host).
    """

    shares_disks: bool = False
    folder: str = ""
    base_path: str | None = None
    vnc_address: str | None = None
    spice_address: str | None = None
    serial_address: str | None = None
    serial_port: int | None = None
    address: str | None = None
    pins: tuple[tuple[int, int], ...] = ()
    floating_cpus: tuple[int, ...] = ()
    volume_paths: tuple[tuple[str, str], ...] = ()
