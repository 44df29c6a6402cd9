# SPDX-License-Identifier: Apache-2.0
"""The proof that a CPU runs guests: tried on an emulated CPU, which does."""

import shutil
import subprocess

import pytest

from services.compute.virt.libvirt.kvm_proof import PROOF, boot_sector
from tests.contracts.drivers.contract import wait_until


def test_the_proof_is_what_a_bios_starts():
    sector = boot_sector()

    assert len(sector) == 512
    assert sector[-2:] == b"\x55\xaa"


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")
def test_a_cpu_that_works_gives_the_proof(tmp_path):
    disk, serial = tmp_path / "disk", tmp_path / "serial"
    disk.write_bytes(boot_sector().ljust(1 << 20, b"\0"))
    serial.touch()
    guest = subprocess.Popen(
        [
            "qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", "16", "-display", "none",
            "-vga", "none", "-nic", "none", "-drive", f"file={disk},format=raw,if=ide",
            "-serial", f"file:{serial}",
        ]
    )  # fmt: skip
    try:
        wait_until(lambda: PROOF in serial.read_bytes(), within_s=30)
    finally:
        guest.kill()
        guest.wait()
