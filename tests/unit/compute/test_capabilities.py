# SPDX-License-Identifier: Apache-2.0
"""The proof that KVM runs a guest is a boot sector of our own."""

import pytest

pytest.importorskip("libvirt")

from services.compute.virt.libvirt.capabilities import boot_sector


def test_a_boot_sector_is_what_a_bios_starts():
    sector = boot_sector(b"K")

    assert len(sector) == 512
    assert sector[-2:] == b"\x55\xaa"
    assert sector.startswith(b"\xfa\xba\xf8\x03\xb0K\xee\xf4\xeb\xfd")


def test_a_message_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        boot_sector(bytes(200))
