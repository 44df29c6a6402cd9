# SPDX-License-Identifier: Apache-2.0
"""Peers: the libvirts of other hosts, to which guests move and from which their disks come."""

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import libvirt

from common.errors import DiskFull, HypervisorError
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt import power
from services.compute.virt.libvirt.disk_files import copy_file
from services.compute.virt.libvirt.offers import MANIFEST, Offer, Offers, pool_name, read_offer

LOG = logging.getLogger(__name__)

_KEEPALIVE_S = 5
_KEEPALIVE_COUNT = 6
_NOT_OFFERED = (libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_STORAGE_VOL)


class Peers:
    """Other hosts by their names. `uri` is libvirt's of one of them, with `{host}` for its name."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def uri(self, host: str) -> str:
        """Where libvirt of `host` listens."""
        return self._uri.replace("{host}", quote(host, safe=":"))

    @contextlib.contextmanager
    def of(self, host: str) -> Iterator["Peer"]:
        """The host, for as long as the block takes.

        Raises: HypervisorError, in words, when it cannot be reached or breaks off.
        """
        uri = self.uri(host)
        try:
            connection = libvirt.open(uri)
        except libvirt.libvirtError as refused:
            reason = f"libvirt of {host} cannot be reached at {uri}: {refused}"
            raise HypervisorError(reason=reason) from refused
        try:
            connection.setKeepAlive(_KEEPALIVE_S, _KEEPALIVE_COUNT)
            yield Peer(connection, host)
        except libvirt.libvirtError as failed:
            raise HypervisorError(reason=f"libvirt of {host} said: {failed}") from failed
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()


class Peer:
    """Another host, connected. Every method may raise libvirtError, which `Peers.of` translates."""

    def __init__(self, connection: Any, host: str) -> None:
        self._connection = connection
        self._host = host

    def runs(self, instance_uuid: str) -> bool:
        """Whether the guest lives there, and is not merely on its way."""
        try:
            domain = self._connection.lookupByUUIDString(instance_uuid)
            return not power.is_off(domain) and not power.is_arriving(domain)
        except libvirt.libvirtError as unknown:
            if unknown.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return False

    def offer(self, instance_uuid: str) -> Offer:
        """What it offers of an instance. Raises: HypervisorError."""
        received = bytearray()
        self._receive(instance_uuid, MANIFEST, received.extend, lambda _: None)
        return read_offer(bytes(received))

    def fetch(self, instance_uuid: str, name: str, target: Path, checkpoint: Checkpoint) -> None:
        """Write a file that it offers. Raises: HypervisorError, DiskFull, OperationCancelled."""
        started = time.monotonic()
        with target.open("wb") as file, _full_disk_is_said(name, file):

            def write(data: bytes) -> None:
                checkpoint()
                file.write(data)

            self._receive(instance_uuid, name, write, lambda count: _skip(file, count))
            file.truncate(file.tell())
        LOG.info(
            "Fetched %s of %s from %s: %d MiB in %.1f s", name, instance_uuid, self._host,
            target.stat().st_blocks >> 11, time.monotonic() - started,
        )  # fmt: skip

    def _receive(
        self,
        instance_uuid: str,
        name: str,
        write: Callable[[bytes], Any],
        skip: Callable[[int], Any],
    ) -> None:
        try:
            pool = self._connection.storagePoolLookupByName(pool_name(instance_uuid))
            volume = pool.storageVolLookupByName(name)
        except libvirt.libvirtError as refused:
            if refused.get_error_code() not in _NOT_OFFERED:
                raise
            reason = f"{self._host} does not offer {name} of instance {instance_uuid}"
            raise HypervisorError(reason=f"{reason}; its log may say why") from refused

        def take(_: Any, data: bytes, __: Any) -> int:
            write(data)
            return len(data)

        def leave_out(_: Any, count: int, __: Any) -> None:
            skip(count)

        stream = self._connection.newStream()
        volume.download(stream, 0, 0, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
        stream.sparseRecvAll(take, leave_out, None)
        stream.finish()


class Shipment:
    """An instance's files on their way from the host that offers them, which may be this one."""

    def __init__(self, offers: Offers, peers: Peers, instance_uuid: str, from_host: str) -> None:
        self._instance_uuid = instance_uuid
        self._from_host = from_host
        self._peers = peers
        self._folder = offers.folder(instance_uuid)
        within_reach = offers.find(instance_uuid, of_host=from_host)
        self.is_within_reach = within_reach is not None
        self.offer = within_reach or self._ask()

    def bring(self, name: str, target: Path, checkpoint: Checkpoint) -> None:
        """Write a copy. Raises: HypervisorError, DiskFull, OperationCancelled."""
        checkpoint()
        source = self._folder / name
        if self.is_within_reach and source.exists():
            copy_file(source, target)
            return
        with self._peers.of(self._from_host) as peer:
            peer.fetch(self._instance_uuid, name, target, checkpoint)

    def _ask(self) -> Offer:
        with self._peers.of(self._from_host) as peer:
            return peer.offer(self._instance_uuid)


def _skip(file: IO[bytes], count: int) -> None:
    file.seek(count, 1)


@contextlib.contextmanager
def _full_disk_is_said(name: str, file: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except OSError as failed:
        if failed.errno != errno.ENOSPC:
            raise
        written_mib = file.tell() >> 20
        raise DiskFull(what=name, free_mib=0, need_mib=f"more than {written_mib}") from failed
