# SPDX-License-Identifier: Apache-2.0
"""Offers: what a host lets other hosts fetch of an instance that moves to them.

An offer is a folder of links beside the instance's own, with `offer.json`, which describes it.
Hosts that share the folder of all instances read it there; others reach it as a storage pool of
this host's libvirt, by the way that guests take when they move alive. That takes no right to log in
to a host, and no path of one host is believed on another.
"""

import logging
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import libvirt
import msgspec

from common import image_check
from common.errors import HypervisorError
from services.compute.images import CachedImage
from services.compute.virt.libvirt.connection import Connection, libvirt_speaks

LOG = logging.getLogger(__name__)

BASE = "disk.base"  # the cached image that the root disk stands on
MANIFEST = "offer.json"
_FOLDER = ".offer"
_HARMLESS = ("raw", "iso", "vhd")
_IMAGE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What `host` offers: `files` by name, and what cannot be seen of them.

    `sizes` are bytes of disks as the guest sees them, whether they are among the files or not.
    `base` is the image that the root disk stands on. Of a guest that runs: `base_path` is where
    that is, `cpu` its CPU in libvirt's XML, `machine` its machine.
    """

    host: str
    files: tuple[str, ...] = ()
    sizes: dict[str, int] = {}
    base: CachedImage | None = None
    base_path: str = ""
    cpu: str = ""
    machine: str = ""


def read_offer(text: bytes) -> Offer:
    """An offer as another host wrote it. Raises: HypervisorError."""
    try:
        offer = msgspec.json.decode(text, type=Offer)
    except msgspec.DecodeError as damaged:
        raise HypervisorError(reason=f"an offer cannot be read: {damaged}") from damaged
    base = offer.base
    # It becomes the name of a file.
    if base is not None and not (
        _IMAGE_ID.fullmatch(base.image_id) and base.format in ("raw", "qcow2")
    ):
        raise HypervisorError(reason=f"an offer names a strange image: {base.image_id[:80]!r}")
    return offer


def pool_name(instance_uuid: str) -> str:
    """The storage pool that an offer is."""
    return f"kilonova-{instance_uuid}"


class Offers:
    """Offers of this host, and of those that share its folder."""

    def __init__(self, host: str, instances: Path, connection: Connection) -> None:
        self._host = host
        self._instances = instances
        self._connection = connection

    def folder(self, instance_uuid: str) -> Path:
        """Where an offer is, if it is within reach."""
        return self._instances / f"{instance_uuid}{_FOLDER}"

    def find(self, instance_uuid: str, *, of_host: str) -> Offer | None:
        """The offer of `of_host` if it is within reach: this host's own, or on a shared folder."""
        offer = self._read(instance_uuid)
        return offer if offer is not None and offer.host == of_host else None

    def make(
        self,
        instance_uuid: str,
        offer: Offer,
        links: Mapping[str, Path],
        *,
        written_by_guest: Collection[Path] = (),
    ) -> None:
        """Offer the files that `links` leads to, by name. Again: anew.

        `written_by_guest` are those whose very beginning is the guest's. libvirt looks at that and
        follows what it takes for the name of a backing file, so what looks like a disk image of
        another format stays on this host. Raises: HypervisorError.
        """
        self.withdraw(instance_uuid)
        folder = self.folder(instance_uuid)
        folder.mkdir(mode=0o711)
        fresh = folder / f"{MANIFEST}.new"
        fresh.write_bytes(msgspec.json.encode(offer))
        fresh.replace(folder / MANIFEST)
        for name, target in links.items():
            (folder / name).symlink_to(target)
        disguised = [p.name for p in written_by_guest if image_check.sniff(p) not in _HARMLESS]
        if disguised:
            LOG.warning(
                "Other hosts cannot have %s: the guest has made %s look like another format",
                instance_uuid, ", ".join(disguised),
            )  # fmt: skip
            return
        with libvirt_speaks(instance_uuid, self._host):
            _publish(self._connection.get(), pool_name(instance_uuid), folder)

    def withdraw(self, instance_uuid: str) -> None:
        """Offer nothing of the instance any more. Again, or another host's: fine."""
        with libvirt_speaks(instance_uuid, self._host):
            _close(self._connection.get(), pool_name(instance_uuid))
        offer = self._read(instance_uuid)
        if offer is None or offer.host == self._host:
            shutil.rmtree(self.folder(instance_uuid), ignore_errors=True)

    def _read(self, instance_uuid: str) -> Offer | None:
        try:
            return read_offer((self.folder(instance_uuid) / MANIFEST).read_bytes())
        except FileNotFoundError:
            return None


def _publish(connection: Any, name: str, folder: Path) -> None:
    """A pool that is gone after `_close`, and after a boot of the host. Raises: libvirtError."""
    connection.storagePoolCreateXML(
        f"<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>", 0
    )


def _close(connection: Any, name: str) -> None:
    try:
        connection.storagePoolLookupByName(name).destroy()
    except libvirt.libvirtError as refused:
        if refused.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
