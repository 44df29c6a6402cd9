# SPDX-License-Identifier: Apache-2.0
"""Can KVM really run a guest here? Proven by running one.

On some hosts (nested or para-virtualised ones) /dev/kvm opens, guests start, and stop at the first
instruction of their kernel. The proof is a tiny guest that gets further than that (kvm_proof.py).
The verdict holds until the host boots again.
"""

import logging
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import msgspec

from services.compute.virt.libvirt.kvm_proof import PROOF, boot_sector

LOG = logging.getLogger(__name__)

_PROOF_WITHIN_S = 5.0
_LOOK_S = 0.05
_DISK_BYTES = 1 << 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Verdict(msgspec.Struct, frozen=True):
    """Whether KVM ran a guest, in which boot of the host."""

    boot_id: str
    kvm_works: bool


def choose_virt_type(connection: Any, configured: str, state_folder: Path) -> str:
    """`kvm` or `qemu`, as configured or, for `auto`, as proven. Raises: libvirtError."""
    if configured != "auto":
        return configured
    if not _offers_kvm(connection):
        LOG.warning("libvirt offers no KVM here: CPUs are emulated, guests will be slow")
        return "qemu"
    state_folder.mkdir(parents=True, exist_ok=True)
    if _kvm_works(connection, state_folder):
        return "kvm"
    LOG.warning("KVM is offered here but runs no guest: CPUs are emulated, guests will be slow")
    return "qemu"


def _offers_kvm(connection: Any) -> bool:
    capabilities = ET.fromstring(connection.getCapabilities())
    return capabilities.find("./guest/arch[@name='x86_64']/domain[@type='kvm']") is not None


def _kvm_works(connection: Any, state_folder: Path) -> bool:
    kept = state_folder / "kvm_verdict.json"
    boot_id = _BOOT_ID.read_text().strip()
    try:
        verdict = msgspec.json.decode(kept.read_bytes(), type=Verdict)
        if verdict.boot_id == boot_id:
            return verdict.kvm_works
    except (FileNotFoundError, msgspec.DecodeError):
        pass
    works = _prove(connection, state_folder)
    if works is not None:
        kept.write_bytes(msgspec.json.encode(Verdict(boot_id, works)))
    return bool(works)


def _prove(connection: Any, state_folder: Path) -> bool | None:
    """Run the proof as a transient guest, which is gone when its power is cut.

    None when it could not be started: that may have other reasons than KVM, such as a folder that
    QEMU's user cannot enter, and is tried again at the next start.
    """
    with tempfile.TemporaryDirectory(dir=state_folder, prefix="kvm-proof-") as folder:
        Path(folder).chmod(0o777)  # QEMU may run as another user
        disk, log = Path(folder, "disk"), Path(folder, "serial")
        disk.write_bytes(boot_sector().ljust(_DISK_BYTES, b"\0"))
        disk.chmod(0o666)
        try:
            domain = connection.createXML(_proof_xml(disk, log), 0)
        except libvirt.libvirtError as refused:
            LOG.warning("The guest that shall prove KVM does not start: %s", refused)
            return None
        try:
            return _wait_for_proof(domain, log)
        finally:
            domain.destroy()


def _wait_for_proof(domain: Any, log: Path) -> bool:
    """Whether the proof came; a guest that KVM gave up on (it is paused) will not bring it."""
    deadline = time.monotonic() + _PROOF_WITHIN_S
    while time.monotonic() < deadline:
        if log.exists() and PROOF in log.read_bytes():
            return True
        if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
            return False
        time.sleep(_LOOK_S)
    return False


def _proof_xml(disk: Path, log: Path) -> str:
    return f"""
        <domain type='kvm'>
          <name>kvm-proof-{uuid.uuid4().hex[:8]}</name>
          <memory unit='MiB'>16</memory>
          <vcpu>1</vcpu>
          <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
          <devices>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw'/>
              <source file='{disk}'/>
              <target dev='hda' bus='ide'/>
            </disk>
            <serial type='file'><source path='{log}'/></serial>
            <video><model type='none'/></video>
            <memballoon model='none'/>
          </devices>
        </domain>"""
