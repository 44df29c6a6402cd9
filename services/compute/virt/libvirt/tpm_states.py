# SPDX-License-Identifier: Apache-2.0
"""What a guest's TPM remembers, while the guest moves.

libvirt keeps it in a folder of its own for each guest, of which nobody but root knows anything, and
throws it away with the definition. It is read and written here as a storage pool of libvirt's, and
travels as one file among the instance's own.
"""

import errno
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import msgspec

from common.errors import HypervisorError
from services.compute.virt.libvirt.connection import another

# Where libvirt's builds for Linux distributions have it; it is no option of theirs.
_FOLDER = "/var/lib/libvirt/swtpm/{uuid}/{sub}"
_SUBFOLDERS = {"1.2": "tpm1.2", "2.0": "tpm2"}
_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.-]{0,63}")
_MOST_BYTES = 4 << 20


class TpmState(msgspec.Struct, frozen=True):
    """Files of a TPM of `version`, by name."""

    version: str
    files: dict[str, bytes]


def keep(domain: Any, file: Path) -> None:
    """Write the state of a guest that is off into `file`; of one without a TPM, nothing.

    Again: anew. Raises: libvirtError.
    """
    version = _version(domain)
    if version is None:
        return
    state = TpmState(version, _read(domain, version))
    fresh = file.with_suffix(".new")
    fresh.touch(0o600)
    fresh.write_bytes(msgspec.json.encode(state))
    fresh.replace(file)


def give_back(domain: Any, file: Path) -> None:
    """Let the guest, which is off, have the state that `file` keeps, if it does; it is used up.

    Again: nothing. Raises: libvirtError; HypervisorError, when the file cannot be right.
    """
    if not file.exists():
        return
    version = _version(domain)
    if version is not None:
        state = _parse(file.read_bytes())
        if state.version == version and state.files:
            _write(domain, state)
    file.unlink()


def _parse(text: bytes) -> TpmState:
    try:
        state = msgspec.json.decode(text, type=TpmState)
    except msgspec.DecodeError as damaged:
        raise HypervisorError(reason=f"the state of a TPM cannot be read: {damaged}") from damaged
    # Each becomes the name of a file; the state comes from another host.
    strange = [name for name in state.files if not _NAME.fullmatch(name)]
    if strange or sum(map(len, state.files.values())) > _MOST_BYTES:
        raise HypervisorError(reason="the state of a TPM is not what one looks like")
    return state


def _version(domain: Any) -> str | None:
    backend = ET.fromstring(domain.XMLDesc(0)).find("devices/tpm/backend[@type='emulator']")
    version = None if backend is None else backend.get("version")
    return version if version in _SUBFOLDERS else None


def _read(domain: Any, version: str) -> dict[str, bytes]:
    with another(domain.connect()) as connection:
        try:
            pool = _open(connection, domain.UUIDString(), version, 0)
        except libvirt.libvirtError as refused:
            if refused.get_int1() != errno.ENOENT:
                raise
            return {}  # a guest that was never started has none
        try:
            return {
                volume.name(): _download(connection, volume)
                for volume in pool.listAllVolumes()
                if _NAME.fullmatch(volume.name())
            }
        finally:
            pool.destroy()


def _write(domain: Any, state: TpmState) -> None:
    with another(domain.connect()) as connection:
        flags = libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD
        pool = _open(connection, domain.UUIDString(), state.version, flags)
        try:
            for volume in pool.listAllVolumes():
                volume.delete(0)
            for name, content in state.files.items():
                volume = pool.createXML(_volume_xml(name, len(content)), 0)
                if content:
                    _upload(connection, volume, content)
        finally:
            pool.destroy()


def _open(connection: Any, uuid: str, version: str, flags: int) -> Any:
    """The folder as a pool, which is gone when it is destroyed. Raises: libvirtError."""
    name = f"kilonova-tpm-{uuid}"
    try:
        connection.storagePoolLookupByName(name).destroy()  # a killed daemon's
    except libvirt.libvirtError as refused:
        if refused.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
    folder = _FOLDER.format(uuid=uuid, sub=_SUBFOLDERS[version])
    return connection.storagePoolCreateXML(
        f"<pool type='dir'><name>{name}</name><target><path>{folder}</path>"
        "<permissions><mode>0700</mode></permissions></target></pool>",
        flags,
    )


def _volume_xml(name: str, size: int) -> str:
    return (
        f"<volume><name>{name}</name><capacity>{size}</capacity><target><format type='raw'/>"
        "<permissions><mode>0600</mode></permissions></target></volume>"
    )


def _download(connection: Any, volume: Any) -> bytes:
    received = bytearray()

    def take(_: Any, data: bytes, __: Any) -> int:
        received.extend(data)
        return len(data)

    stream = connection.newStream()
    volume.download(stream, 0, 0)
    stream.recvAll(take, None)
    stream.finish()
    return bytes(received)


def _upload(connection: Any, volume: Any, content: bytes) -> None:
    left = memoryview(content)

    def give(_: Any, count: int, __: Any) -> bytes:
        nonlocal left
        data, left = left[:count], left[count:]
        return bytes(data)

    stream = connection.newStream()
    volume.upload(stream, 0, len(content))
    stream.sendAll(give, None)
    stream.finish()
